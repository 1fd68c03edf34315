-- name: step_functions
-- What a job that commits in steps needs. The functions are planned once for each
-- connection.
--
-- The end of a step, before its commit: lock the row of the job, if it is started in this
-- run, and keep the checkpoint. A row that was moved or edited since the snapshot raises
-- 40001; nothing is committed then.
CREATE OR REPLACE FUNCTION queue_job_keep_step(
    own_id integer, own_run integer, number integer, now_done double precision,
    now_total double precision, now_message varchar, now_checkpoint text
) RETURNS void AS $$
BEGIN
    PERFORM FROM queue_job
    WHERE id = own_id AND state IS NOT DISTINCT FROM 'started'
      AND COALESCE(run_number, 0) = own_run
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE SQLSTATE 'QJ003';
    END IF;
    INSERT INTO queue_job_checkpoint AS kept (
        id, job_id, run_number, claims, steps, done, total, message, checkpoint, updated
    ) VALUES (
        own_id, own_id, own_run, 1, number, now_done, now_total, now_message,
        now_checkpoint, clock_timestamp() AT TIME ZONE 'UTC'
    ) ON CONFLICT (id) DO UPDATE SET
        claims = kept.claims + (kept.run_number <> own_run)::integer,
        run_number = own_run, steps = number, done = now_done, total = now_total,
        message = now_message, checkpoint = now_checkpoint, updated = excluded.updated;
END;
$$ LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan;

-- The liveness lock of the transaction that follows a step. Temporary tables of the job
-- stay, unlike at its begin.
CREATE OR REPLACE FUNCTION queue_job_lock_step(job_id integer, own_run integer)
RETURNS void AS $$
BEGIN
    {lock_row_of_run};
    IF NOT FOUND THEN
        RAISE SQLSTATE 'QJ002';
    END IF;
END;
$$ LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan;

-- The number of an attempt, given the tries before it. An attempt that has committed a
-- step begins to count anew; one in a thousand claims that did so counts all the same.
CREATE OR REPLACE FUNCTION queue_job_tries(job_id integer, own_run integer, tries integer)
RETURNS integer AS $$
    SELECT CASE WHEN EXISTS (
        SELECT FROM queue_job_checkpoint
        WHERE id = job_id AND run_number = own_run AND claims <= 1000
    ) THEN 1 ELSE LEAST(COALESCE(tries, 0), 2147483646) + 1 END
$$ LANGUAGE sql STABLE;

-- part: keep_step
-- The end of a step, before its commit.
SELECT queue_job_keep_step(
    %(job)s, %(run)s, %(number)s, %(done)s, %(total)s, %(message)s, %(checkpoint)s
)

-- part: next_step
-- The begin of a step; the answer is the number of the attempt.
SELECT queue_job_lock_step(%(job)s, %(run)s); SAVEPOINT "queue_job_work";
SELECT queue_job_tries(%(job)s, %(run)s, %(tries)s)

-- name: commit_step
-- End a step, commit it and begin the next, in one message.
{keep_step}; RELEASE SAVEPOINT "queue_job_work"; COMMIT AND CHAIN; {next_step}

-- name: keep_step_here
-- The same where the caller commits.
{keep_step}; RELEASE SAVEPOINT "queue_job_work"; SAVEPOINT "queue_job_work";
SELECT queue_job_tries(%(job)s, %(run)s, %(tries)s)

-- name: keep_step_apart
-- The end of a step on the connection that a job has for itself.
{keep_step}; SELECT queue_job_tries(%(job)s, %(run)s, %(tries)s)

-- name: begin_step_anew
-- Begin a step in a transaction of its own.
{next_step}

-- name: chain_step
-- Take a new snapshot, because hooks that ran since the commit may have written on other
-- connections.
COMMIT AND CHAIN; {next_step}

-- name: last_step
-- The number of the last step that a run has committed.
SELECT steps FROM queue_job_checkpoint WHERE id = %(job)s AND run_number = %(run)s

-- name: read_checkpoint
-- Where a job was at its last step.
SELECT done, total, message, checkpoint FROM queue_job_checkpoint WHERE id = %(job)s

-- name: drop_checkpoints
-- Forget the steps of jobs.
DELETE FROM queue_job_checkpoint WHERE id = ANY(%(jobs)s)

-- name: write_progress
-- Show how far a job is; a worker that comes back late overwrites nothing.
INSERT INTO queue_job_progress AS shown (id, run_number, done, total, message, updated)
VALUES (%(job)s, %(run)s, %(done)s, %(total)s, %(message)s,
    clock_timestamp() AT TIME ZONE 'UTC')
ON CONFLICT (id) DO UPDATE SET run_number = excluded.run_number, done = excluded.done,
    total = excluded.total, message = excluded.message, updated = excluded.updated
WHERE shown.run_number <= excluded.run_number

-- name: drop_progress
-- Forget the progress of a job that is done.
DELETE FROM queue_job_progress WHERE id = %(job)s

-- name: drop_progress_and_checkpoint
-- The same with its steps, where another connection wrote them.
WITH shown AS (DELETE FROM queue_job_progress WHERE id = %(job)s)
DELETE FROM queue_job_checkpoint WHERE id = %(job)s

-- name: progress_of
-- How far some jobs are: their last step, or what their last run said since.
SELECT q.id, COALESCE(shown.done, kept.done), COALESCE(shown.total, kept.total),
    COALESCE(shown.message, kept.message), kept.id IS NOT NULL
FROM queue_job q
LEFT JOIN queue_job_checkpoint kept ON kept.id = q.id
LEFT JOIN queue_job_progress shown ON shown.id = q.id AND shown.run_number = q.run_number
    AND (kept.id IS NULL OR shown.updated > kept.updated)
WHERE q.id = ANY(%(jobs)s) AND (kept.id IS NOT NULL OR shown.id IS NOT NULL)

-- name: drop_old_progress
-- Forget the progress of jobs that do not run, and the steps of jobs that are done.
WITH shown AS (
    DELETE FROM queue_job_progress p WHERE NOT EXISTS (
        SELECT FROM queue_job q WHERE q.id = p.id AND q.state = 'started'
    )
)
DELETE FROM queue_job_checkpoint c USING queue_job q WHERE q.id = c.id AND q.state = 'done'

-- name: fill_commit_modes
-- State the mode of job functions that have the older column only.
UPDATE queue_job_function SET commit_mode = CASE WHEN allow_commit THEN 'free' ELSE 'never' END
WHERE commit_mode IS NULL OR (commit_mode = 'free') <> COALESCE(allow_commit, false)

-- name: functions_in_steps
-- The job functions whose jobs commit in steps.
SELECT name FROM queue_job_function WHERE commit_mode = 'steps' AND name IS NOT NULL
