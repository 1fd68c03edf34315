# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The columns of ``queue_job``: the only list of them besides the fields of the model."""

from typing import NamedTuple

from ..utils import SHORT_TEXT


class Column(NamedTuple):
    """One column and its rules.

    :param attribute: of a :class:`~..job.Job` that holds the value, if one does
    :param constant: written once, when the row is made
    :param text: made storable before it is written
    :param limit: characters of a text that are kept; the middle of a longer one is cut
    :param checked: a number that must fit, because attributes of a job may be any
    :param loaded: ``as is``, as a ``number``, or by a rule of its own (``rule``)
    :param protected: ``always``: changed with the edit sentinel only; ``from people``:
        moved by methods of jobs only
    """

    name: str
    attribute: str | None = None
    constant: bool = False
    text: bool = False
    limit: int | None = None
    checked: bool = False
    loaded: str | None = None
    protected: str | None = None


ALWAYS, FROM_PEOPLE = "always", "from people"
AS_IS, NUMBER, RULE = "as is", "number", "rule"

COLUMNS = (
    Column("user_id", "user_id", constant=True, loaded=RULE),
    Column("channel", "channel", constant=True, loaded=AS_IS),
    Column("uuid", "uuid", constant=True, loaded=RULE, protected=ALWAYS),
    Column(
        "name",
        "description",
        constant=True,
        text=True,
        limit=SHORT_TEXT,
        loaded=RULE,
        protected=ALWAYS,
    ),
    Column("func_string", "func_string", constant=True, text=True, protected=ALWAYS),
    Column(
        "date_created", "date_created", constant=True, loaded=AS_IS, protected=ALWAYS
    ),
    Column("model_name", "model_name", constant=True, loaded=RULE, protected=ALWAYS),
    Column("method_name", "method_name", constant=True, loaded=RULE, protected=ALWAYS),
    Column("job_function_id", "job_function_id", constant=True, protected=ALWAYS),
    Column("channel_method_name", "job_function_name", constant=True, protected=ALWAYS),
    Column("records", "recordset", constant=True, loaded=RULE, protected=ALWAYS),
    Column("args", "args", constant=True, loaded=RULE, protected=ALWAYS),
    Column("kwargs", "kwargs", constant=True, loaded=RULE, protected=ALWAYS),
    Column("traceparent", "traceparent", constant=True, loaded=AS_IS, protected=ALWAYS),
    Column("state", "state", loaded=AS_IS, protected=FROM_PEOPLE),
    Column("priority", "priority", checked=True, loaded=NUMBER),
    Column("retry", "retry", loaded=NUMBER, protected=FROM_PEOPLE),
    Column("max_retries", "max_retries", checked=True, loaded=NUMBER),
    Column(
        "exc_name",
        "exc_name",
        text=True,
        limit=SHORT_TEXT,
        loaded=AS_IS,
        protected=FROM_PEOPLE,
    ),
    Column(
        "exc_message",
        "exc_message",
        text=True,
        limit=SHORT_TEXT,
        loaded=AS_IS,
        protected=FROM_PEOPLE,
    ),
    Column("exc_info", "exc_info", text=True, loaded=AS_IS, protected=FROM_PEOPLE),
    Column("company_id", "company_id", loaded=RULE, protected=FROM_PEOPLE),
    Column("result", "result", text=True, loaded=AS_IS, protected=FROM_PEOPLE),
    Column("date_enqueued", "date_enqueued", loaded=AS_IS, protected=FROM_PEOPLE),
    Column("date_started", "date_started", loaded=AS_IS, protected=FROM_PEOPLE),
    Column("date_done", "date_done", loaded=AS_IS, protected=FROM_PEOPLE),
    Column("date_cancelled", "date_cancelled", loaded=AS_IS, protected=FROM_PEOPLE),
    Column("date_stopped", protected=FROM_PEOPLE),
    Column("exec_time", "exec_time", protected=FROM_PEOPLE),
    Column("eta", "eta", loaded=AS_IS),
    Column(
        "identity_key", "identity_key", text=True, loaded=AS_IS, protected=FROM_PEOPLE
    ),
    Column("worker_pid", "worker_pid", loaded=NUMBER, protected=FROM_PEOPLE),
    Column("run_number", "run_number", loaded=NUMBER, protected=FROM_PEOPLE),
    Column("graph_uuid", "graph_uuid", loaded=AS_IS, protected=FROM_PEOPLE),
    Column("dependencies", loaded=RULE, protected=FROM_PEOPLE),
    Column("twin_key", protected=FROM_PEOPLE),
    Column("twin_states", protected=FROM_PEOPLE),
    Column("record_id", protected=FROM_PEOPLE),
    Column("record_ids", protected=FROM_PEOPLE),
    Column("exc_cause", protected=FROM_PEOPLE),
    Column("to_report", protected=FROM_PEOPLE),
)

# Written when the row is made.
CREATED = [column for column in COLUMNS if column.attribute]
# Written at each store.
MUTABLE = [column for column in CREATED if not column.constant]
# Columns that no store-values hook may set.
CORE = {column.name for column in CREATED} | {"dependencies"}
LOADED = ("id", *(column.name for column in COLUMNS if column.loaded))
LOADED_AS_IS = [column.name for column in COLUMNS if column.loaded == AS_IS]
LOADED_NUMBERS = [column.name for column in COLUMNS if column.loaded == NUMBER]
PROTECTED = tuple(c.name for c in COLUMNS if c.protected == ALWAYS)
MOVED = tuple(c.name for c in COLUMNS if c.protected == FROM_PEOPLE)
