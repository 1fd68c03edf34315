# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A state has one writer, and the columns of a job stand in one list.

States are written by ``store/transitions.py`` (any SQL of it in ``sql/``) and by the moves
of a ``Job`` as a value. Each other place that names a state as a value is listed here.
"""

import ast
import re

from odoo.tests import BaseCase, TransactionCase, tagged

from odoo.addons.queue_job.store import mapping

from .source import ADDON, SATELLITES, functions, name_of, sources, strings

# The writers.
MAY_WRITE = {"store/transitions.py", "job.py"}
_FOLLOWS = "the value says again what the row says, after the work was undone"
PLACES = {
    "queue_job_batch/models/queue_job_batch.py: QueueJobBatch._move": (
        "state of a batch, not of a job"
    ),
    "states.py: Move.values": "the table of moves itself",
    "insight/channel_counts.py: ChannelCounts._count_of_companies": (
        "parameter of a query"
    ),
    "insight/explain.py: explanation": "an answer to a screen",
    "models/queue_job.py: QueueJob._move_as_by_button": "asks for a right only",
    "models/queue_job.py: QueueJob._record_move": "column of queue.job.move",
    "store/records.py: offer": "kind of a server action",
    "store/rows.py: notify_started": "values that overrides of write() see as before",
    "worker/lease.py: _claim_expression": "parameter of a query",
    "worker/lease.py: Lease.renew": "attribute of a lease",
    "worker/lease.py: Lease.is_current": "parameter of a query",
    "worker/outcome.py: record": _FOLLOWS,
    "worker/outcome.py: _record_postponed": _FOLLOWS,
    "worker/outcome.py: _record_stopped": _FOLLOWS,
    "worker/outcome.py: _record_suspended": _FOLLOWS,
    "worker/outcome.py: _record_failure": _FOLLOWS,
}
_WRITTEN_BY_SQL = re.compile(
    r"\bUPDATE\s+queue_job\b(?!_)[^;]*?\bSET\b[^;]*?\bstate\s*=|"
    r"\bINSERT\s+INTO\s+queue_job\s*\([^)]*\bstate\b|\bNEW\.state\s*:=",
    re.IGNORECASE,
)

# A list of so many columns is a list of columns.
MANY = 5
COLUMN_LISTS = {
    "models/queue_job_failure.py: QueueJobFailure": "columns that a view depends on",
    "insight/graph_picture.py: _jobs_of_graph": "columns that a graph shows",
    "models/queue_job.py: QueueJob._compute_timeline": (
        "columns that a computed field depends on"
    ),
}
# Stored columns of the model that no job has as a value.
NOT_OF_A_JOB = {
    *("create_date", "create_uid", "id", "write_date", "write_uid"),
}


def is_state(node):
    return isinstance(node, ast.Constant) and node.value == "state"


def names_state(node):
    """Return whether a node gives a value to a state: attribute, item, keyword, dict."""
    if isinstance(node, ast.Dict):
        return any(map(is_state, node.keys))
    if isinstance(node, ast.keyword):
        return node.arg == "state"
    if isinstance(node, ast.Attribute):
        return node.attr == "state" and isinstance(node.ctx, ast.Store)
    if isinstance(node, ast.Subscript):
        return is_state(node.slice) and isinstance(node.ctx, ast.Store)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id == "setattr" and any(map(is_state, node.args))
    return False


def places_that_write(path):
    tree = ast.parse(path.read_text())
    for function, node in functions(tree):
        if names_state(node):
            yield f"{name_of(path)}: {function}"
    for function, text in strings(tree):
        if _WRITTEN_BY_SQL.search(text):
            yield f"{name_of(path)}: {function}"


def literals(tree):
    """Yield ``(qualified name, texts)`` of each list, tuple, set and dict."""
    for function, node in functions(tree):
        if isinstance(node, ast.Dict):
            entries = node.keys
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            entries = node.elts
        else:
            continue
        yield (
            function,
            {entry.value for entry in entries if isinstance(entry, ast.Constant)},
        )


def installed(places):
    """Leave out the places in satellites that are not beside this addon."""
    here = {addon.name for addon in SATELLITES}
    return {
        place
        for place in places
        if not place.startswith("queue_job_") or place.partition("/")[0] in here
    }


@tagged("standard", "at_install")
class TestStateWriters(BaseCase):
    maxDiff = None

    def test_state_is_written_in_one_place(self):
        found = {
            place
            for path in sources(ADDON, *SATELLITES)
            if name_of(path) not in MAY_WRITE
            for place in places_that_write(path)
        }
        self.assertEqual(sorted(found), sorted(installed(PLACES)))

    def test_each_way_of_writing_is_found(self):
        """The test above is blind to no usual way of writing a state."""
        for text in (
            "job.state = 'done'",
            "job.state: str = 'done'",
            "values['state'] = 'done'",
            "setattr(job, 'state', 'done')",
            "job.write({'state': 'done'})",
            "job.write(dict(state='done'))",
            "cr.execute('UPDATE queue_job SET state = %s')",
            "cr.execute('UPDATE queue_job q SET retry = 0, ' 'state = %s')",
            "cr.execute(f'UPDATE queue_job SET {x}, state = %s')",
            "cr.execute('INSERT INTO queue_job (uuid, state) VALUES (1, 2)')",
            "F = 'BEGIN NEW.state := 1; END'",
        ):
            tree = ast.parse(text)
            with self.subTest(text):
                self.assertTrue(
                    any(names_state(node) for _name, node in functions(tree))
                    or any(_WRITTEN_BY_SQL.search(sql) for _name, sql in strings(tree))
                )
        for text in (
            "job.state == 'done'",
            "print(job.state)",
            "cr.execute('SELECT state FROM queue_job')",
            "cr.execute('UPDATE queue_job SET retry = 0')",
            "cr.execute('UPDATE queue_job_key SET state = 0')",
        ):
            tree = ast.parse(text)
            with self.subTest(text):
                self.assertFalse(
                    any(names_state(node) for _name, node in functions(tree))
                    or any(_WRITTEN_BY_SQL.search(sql) for _name, sql in strings(tree))
                )


@tagged("standard", "at_install")
class TestColumnLists(TransactionCase):
    maxDiff = None

    def test_columns_stand_in_one_list(self):
        columns = {column.name for column in mapping.COLUMNS}
        found = {
            f"{name_of(path)}: {function}"
            for path in sources(ADDON, *SATELLITES)
            if name_of(path) != "store/mapping.py"
            for function, texts in literals(ast.parse(path.read_text()))
            if len(texts & columns) >= MANY
        }
        self.assertEqual(sorted(found), sorted(installed(COLUMN_LISTS)))

    def test_each_column_is_listed_once(self):
        names = [column.name for column in mapping.COLUMNS]
        self.assertEqual(sorted(names), sorted(set(names)))

    def test_list_has_the_columns_of_the_model(self):
        """A new column gets its rules at once: who may change it, whether it is loaded."""
        model = self.env["queue.job"]
        stored = {
            name
            for name, field in model._fields.items()
            if field.store and field.column_type and "queue_job" in field._modules
        }
        listed = {column.name for column in mapping.COLUMNS}
        self.assertEqual(sorted(stored - listed - NOT_OF_A_JOB), [])
        self.assertEqual(sorted(listed - set(model._fields)), [])

    def test_model_has_its_lists_from_there(self):
        model = self.env["queue.job"]
        self.assertIs(model._protected_fields, mapping.PROTECTED)
        self.assertIs(model._moved_fields, mapping.MOVED)
        self.assertFalse(set(mapping.PROTECTED) & set(mapping.MOVED))
