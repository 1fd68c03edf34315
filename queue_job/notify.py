# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The triggers: those that tell the runner, with what they keep silent, and those of keys.

A commit that notifies holds one lock of the whole PostgreSQL cluster until it is
flushed, so the trigger speaks only when a job may have become runnable or
must be forgotten. What the runner does itself, and the outcomes it is told
in the answer to its request, stay silent. The payload is the uuid and
nothing else: the row is the truth, the notification a hint.
"""

import hashlib

from .key_functions import KEY_FUNCTIONS_DDL, KEY_TRIGGERS

JOB_CHANNEL = "queue_job"
CONFIG_CHANNEL = "queue_job_channel"
JOB_TRIGGER = "queue_job_notify"
CONFIG_TRIGGER = "queue_job_channel_notify"


def trigger_ddl(name, table, definition):
    """Return the statement that makes a trigger, where it is not there as it should be.

    To replace one is to wait for all who have written to the table, running jobs
    included, while everybody else waits behind. So it is not done without need: a
    comment on the trigger tells what it was made from.
    """
    made_from = hashlib.sha256(definition.encode()).hexdigest()
    return f"""
DO $do$ BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_trigger
        WHERE tgrelid = '{table}'::regclass AND tgname = '{name}'
          AND tgenabled IN ('O', 'A')
          AND obj_description(oid, 'pg_trigger') = '{made_from}'
    ) THEN
        DROP TRIGGER IF EXISTS {name} ON {table};
        CREATE TRIGGER {name} {definition};
        COMMENT ON TRIGGER {name} ON {table} IS '{made_from}';
    END IF;
END $do$
"""


JOB_FUNCTION_DDL = """
CREATE OR REPLACE FUNCTION queue_job_notify() RETURNS trigger AS $$
DECLARE
    told varchar;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.state IN ('pending', 'enqueued', 'started', 'failed') THEN
            told := OLD.uuid;
        END IF;
    ELSIF TG_OP = 'INSERT' THEN
        IF NEW.state IN ('pending', 'enqueued', 'started', 'failed') THEN
            told := NEW.uuid;
        END IF;
    ELSIF NEW.state = 'pending' THEN
        IF (NEW.state, NEW.priority, NEW.eta, NEW.channel)
           IS DISTINCT FROM (OLD.state, OLD.priority, OLD.eta, OLD.channel) THEN
            told := NEW.uuid;
        END IF;
    ELSIF OLD.state IN ('pending', 'failed') THEN
        IF NEW.state NOT IN (OLD.state, 'enqueued', 'started') THEN
            told := NEW.uuid;
        END IF;
    ELSIF OLD.state IN ('enqueued', 'started') THEN
        IF NEW.state IN ('cancelled', 'wait_dependencies') THEN
            told := NEW.uuid;
        END IF;
    END IF;
    IF told IS NOT NULL THEN
        PERFORM pg_notify('queue_job', told);
    END IF;
    RETURN NULL;
END;
$$ LANGUAGE plpgsql
"""

CONFIG_FUNCTION_DDL = """
CREATE OR REPLACE FUNCTION queue_job_channel_notify() RETURNS trigger AS $$
BEGIN
    PERFORM pg_notify('queue_job_channel', '');
    RETURN NULL;
END;
$$ LANGUAGE plpgsql
"""

TRIGGERS = {
    JOB_TRIGGER: (
        "queue_job",
        "AFTER INSERT OR UPDATE OR DELETE ON queue_job "
        "FOR EACH ROW EXECUTE FUNCTION queue_job_notify()",
    ),
    CONFIG_TRIGGER: (
        "queue_job_channel",
        "AFTER INSERT OR UPDATE OR DELETE ON queue_job_channel "
        "FOR EACH STATEMENT EXECUTE FUNCTION queue_job_channel_notify()",
    ),
    **{name: ("queue_job", definition) for name, definition in KEY_TRIGGERS.items()},
}
# The statements of the functions that triggers call.
FUNCTIONS = {
    JOB_TRIGGER: JOB_FUNCTION_DDL,
    CONFIG_TRIGGER: CONFIG_FUNCTION_DDL,
    **dict.fromkeys(KEY_TRIGGERS, KEY_FUNCTIONS_DDL),
}
JOB_TRIGGERS = [name for name, (table, _) in TRIGGERS.items() if table == "queue_job"]

# Bits of pg_trigger.tgtype.
_EVENTS = {" INSERT": 4, " DELETE": 8, " UPDATE": 16, " TRUNCATE": 32}


def _events(definition):
    when = definition.partition(" ON ")[0]
    return sum(bit for event, bit in _EVENTS.items() if event in when)


# Triggers that are not there, are disabled, or miss an event. Their definitions are not
# compared: a runner of another version would replace those of its successor.
MISSING_TRIGGERS = f"""
SELECT wanted.name
FROM (VALUES {
    ", ".join(
        f"('{name}', '{table}', {_events(definition)})"
        for name, (table, definition) in TRIGGERS.items()
    )
}) AS wanted(name, of_table, events)
WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = wanted.of_table::regclass AND tgname = wanted.name
      AND tgenabled IN ('O', 'A') AND tgtype & wanted.events = wanted.events
)
"""


def install(execute, triggers=tuple(TRIGGERS)):
    """Create or replace functions, and triggers that are not as they should be.

    :param execute: the ``execute`` of a cursor; the caller commits
    """
    for statement in dict.fromkeys(FUNCTIONS[name] for name in triggers):
        execute(statement)
    for name in triggers:
        execute(trigger_ddl(name, *TRIGGERS[name]))
