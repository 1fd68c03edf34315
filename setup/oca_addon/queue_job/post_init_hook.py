NOTIFY = """
DROP TRIGGER IF EXISTS queue_job_notify ON queue_job;
CREATE OR REPLACE FUNCTION queue_job_notify() RETURNS trigger AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.state <> 'done' THEN
            PERFORM pg_notify('queue_job', OLD.uuid);
        END IF;
    ELSE
        PERFORM pg_notify('queue_job', NEW.uuid);
    END IF;
    RETURN NULL;
END;
$$ LANGUAGE plpgsql;
CREATE TRIGGER queue_job_notify AFTER INSERT OR UPDATE OR DELETE ON queue_job
FOR EACH ROW EXECUTE FUNCTION queue_job_notify()
"""


def post_init_hook(env):
    """Make the trigger: at installation, and at no update."""
    env.cr.execute(NOTIFY)
