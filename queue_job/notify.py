# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The triggers that tell the runner, and what they keep silent.

A commit that notifies holds one lock of the whole PostgreSQL cluster until it is
flushed, so the trigger speaks only when a job may have become runnable or
must be forgotten. What the runner does itself, and the outcomes it is told
in the answer to its request, stay silent. The payload is the uuid and
nothing else: the row is the truth, the notification a hint.
"""

import hashlib

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
        WHERE tgrelid = '{table}'::regclass AND tgname = '{name}' AND tgenabled = 'O'
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

JOB_TRIGGER_DDL = trigger_ddl(
    "queue_job_notify",
    "queue_job",
    "AFTER INSERT OR UPDATE OR DELETE ON queue_job "
    "FOR EACH ROW EXECUTE FUNCTION queue_job_notify()",
)

CONFIG_FUNCTION_DDL = """
CREATE OR REPLACE FUNCTION queue_job_channel_notify() RETURNS trigger AS $$
BEGIN
    PERFORM pg_notify('queue_job_channel', '');
    RETURN NULL;
END;
$$ LANGUAGE plpgsql
"""

CONFIG_TRIGGER_DDL = trigger_ddl(
    "queue_job_channel_notify",
    "queue_job_channel",
    "AFTER INSERT OR UPDATE OR DELETE ON queue_job_channel "
    "FOR EACH STATEMENT EXECUTE FUNCTION queue_job_channel_notify()",
)

# The statements that make each trigger: those of its function, then its own.
DDL = {
    JOB_TRIGGER: (JOB_FUNCTION_DDL, JOB_TRIGGER_DDL),
    CONFIG_TRIGGER: (CONFIG_FUNCTION_DDL, CONFIG_TRIGGER_DDL),
}

# Three rows each: one for each of INSERT, UPDATE and DELETE.
MISSING_TRIGGERS = f"""
SELECT wanted.name
FROM (VALUES ('{JOB_TRIGGER}', 'queue_job'), ('{CONFIG_TRIGGER}', 'queue_job_channel'))
    AS wanted(name, of_table)
WHERE 3 <> (
    SELECT count(*) FROM information_schema.triggers
    WHERE trigger_name = wanted.name AND event_object_table = wanted.of_table
)
"""


def install(execute, triggers=tuple(DDL)):
    """Create or replace functions, and triggers that are not as they should be.

    :param execute: the ``execute`` of a cursor; the caller commits
    """
    for trigger in triggers:
        for statement in DDL[trigger]:
            execute(statement)
