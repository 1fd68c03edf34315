-- part: triggers
-- Every trigger: the statement that makes its function, its table, the events that it must
-- have (bits of pg_trigger.tgtype: 4 insert, 8 delete, 16 update, 32 truncate), and its
-- definition. Databases remember the digest of a definition, so a blank that is
-- changed here makes the trigger anew in each of them.
(VALUES
    ('queue_job_notify', 'notify_function', 'queue_job', 4 + 8 + 16,
        'AFTER INSERT OR UPDATE OR DELETE ON queue_job FOR EACH ROW EXECUTE FUNCTION queue_job_notify()'),
    ('queue_job_channel_notify', 'channel_notify_function', 'queue_job_channel', 4 + 8 + 16,
        'AFTER INSERT OR UPDATE OR DELETE ON queue_job_channel FOR EACH STATEMENT EXECUTE FUNCTION queue_job_channel_notify()'),
    ('queue_job_keys_truncate', 'key_functions', 'queue_job', 32,
        'AFTER TRUNCATE ON queue_job FOR EACH STATEMENT
        EXECUTE FUNCTION queue_job_forget_keys()'),
    ('queue_job_keys_insert', 'key_functions', 'queue_job', 4,
        'AFTER INSERT ON queue_job FOR EACH ROW
        WHEN (NEW.identity_key IS NOT NULL OR NEW.twin_key IS NOT NULL)
        EXECUTE FUNCTION queue_job_keep_keys()'),
    ('queue_job_keys_update', 'key_functions', 'queue_job', 16,
        'AFTER UPDATE OF state, identity_key ON queue_job FOR EACH ROW
        WHEN (OLD.identity_key IS DISTINCT FROM NEW.identity_key
              OR OLD.state <> NEW.state
              AND (NEW.identity_key IS NOT NULL OR NEW.twin_key IS NOT NULL))
        EXECUTE FUNCTION queue_job_keep_keys()'),
    ('queue_job_keys_delete', 'key_functions', 'queue_job', 8,
        'AFTER DELETE ON queue_job FOR EACH ROW
        WHEN (OLD.identity_key IS NOT NULL OR OLD.twin_key IS NOT NULL)
        EXECUTE FUNCTION queue_job_keep_keys()')
) AS wanted(name, function, of_table, events, definition)

-- name: notify_function
-- Notify the runner of a job.
--
-- A commit that notifies holds one lock of the whole PostgreSQL cluster until it is
-- flushed, so the trigger notifies only when a job may have become runnable or
-- must be forgotten. The moves of the runner itself, and the outcomes in the answers to its
-- requests, stay silent. The payload is the uuid and nothing else: the row is the
-- truth, the notification a hint.
CREATE OR REPLACE FUNCTION queue_job_notify() RETURNS trigger AS $$
DECLARE
    changed varchar;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.state IN ('pending', 'enqueued', 'started', 'failed') THEN
            changed := OLD.uuid;
        END IF;
    ELSIF TG_OP = 'INSERT' THEN
        IF NEW.state IN ('pending', 'enqueued', 'started', 'failed') THEN
            changed := NEW.uuid;
        END IF;
    ELSIF NEW.state = 'pending' THEN
        IF (NEW.state, NEW.priority, NEW.eta, NEW.channel)
           IS DISTINCT FROM (OLD.state, OLD.priority, OLD.eta, OLD.channel) THEN
            changed := NEW.uuid;
        END IF;
    ELSIF OLD.state IN ('pending', 'failed') THEN
        IF NEW.state NOT IN (OLD.state, 'enqueued', 'started') THEN
            changed := NEW.uuid;
        END IF;
    ELSIF OLD.state IN ('enqueued', 'started') THEN
        IF NEW.state IN ('cancelled', 'wait_dependencies') THEN
            changed := NEW.uuid;
        END IF;
    END IF;
    IF changed IS NOT NULL THEN
        PERFORM pg_notify('queue_job', changed);
    END IF;
    RETURN NULL;
END;
$$ LANGUAGE plpgsql

-- name: channel_notify_function
-- Notify the runner that channels changed.
CREATE OR REPLACE FUNCTION queue_job_channel_notify() RETURNS trigger AS $$
BEGIN
    PERFORM pg_notify('queue_job_channel', '');
    RETURN NULL;
END;
$$ LANGUAGE plpgsql

-- name: missing_triggers
-- Triggers that are not there, are disabled, or lack an event. Their definitions are not
-- compared: a runner of another version would replace those of its successor.
SELECT name, function FROM {triggers}
WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = of_table::regclass AND tgname = name
      AND tgenabled IN ('O', 'A') AND tgtype & events = events
)

-- name: make_triggers
-- Make triggers, where they are not there as they should be. To replace one is to wait for
-- all transactions that have written to the table, running jobs included, while all others
-- wait behind. So it is not done without need: a comment on the trigger keeps the digest
-- of its definition.
DO $do$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT wanted.*, encode(sha256(convert_to(definition, 'UTF8')), 'hex') AS digest FROM {triggers}
        WHERE name = ANY(%(names)s::text[])
    LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_trigger
            WHERE tgrelid = made.of_table::regclass AND tgname = made.name
              AND tgenabled IN ('O', 'A') AND obj_description(oid, 'pg_trigger') = made.digest
        );
        EXECUTE concat('DROP TRIGGER IF EXISTS ', made.name, ' ON ', made.of_table);
        EXECUTE concat('CREATE TRIGGER ', made.name, ' ', made.definition);
        EXECUTE concat(
            'COMMENT ON TRIGGER ', made.name, ' ON ', made.of_table, ' IS ',
            quote_literal(made.digest)
        );
    END LOOP;
END $do$

-- name: triggers_of
-- The triggers of tables, with the statements that make their functions.
SELECT name, function FROM {triggers} WHERE of_table = ANY(%(tables)s)

-- name: listen
-- Wait for notifications of jobs and of channels.
LISTEN queue_job; LISTEN queue_job_channel
