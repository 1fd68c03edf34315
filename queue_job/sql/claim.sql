-- name: claim_functions
-- What a claim, its lock and its end need; planned once for each connection, because
-- planning takes longer than execution.
--
-- Claim the first of these jobs that can be had: lock its row, if it is in this state, due
-- and free, and its keys; make its liveness row; move it to started, without a date of
-- start only lock it. Skips, never waits. The version of the row before
-- tells whether what was read of it is still true. An exception block instead of a
-- savepoint: the claim of the next job of a bundle shares the transaction of the one
-- before, which must survive a row that changed after its snapshot.
-- Returns verdict, version and uuid: an array, because a set would be stored on its way.
-- A pending job, which no runner has sent, gets its date of sending too.
-- A job whose liveness row is locked is held: no run begins beside another.
CREATE OR REPLACE FUNCTION queue_job_is_held(job_id integer) RETURNS boolean AS $$
    SELECT EXISTS (
        SELECT FROM (SELECT job_id AS id) AS q CROSS JOIN LATERAL ({backends_of}) AS b
        WHERE b.pid IS DISTINCT FROM pg_backend_pid()
    );
$$ LANGUAGE sql;

CREATE OR REPLACE FUNCTION queue_job_claim_first(
    uuids varchar[], from_state varchar, started timestamp, pid integer, sent timestamp
) RETURNS text[] AS $$
DECLARE
    job record;
    verdict text := 'refused';
BEGIN
    FOR n IN 1 .. cardinality(uuids) LOOP
        BEGIN
            SELECT id, xmin, identity_key, twin_key INTO job FROM queue_job
            WHERE uuid = uuids[n] AND state IS NOT DISTINCT FROM from_state AND (
                from_state = 'enqueued' OR eta IS NULL
                OR eta <= clock_timestamp() AT TIME ZONE 'UTC'
            )
            LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
            IF NOT FOUND THEN
                verdict := 'refused';
            ELSIF (job.identity_key IS NOT NULL OR job.twin_key IS NOT NULL) AND NOT (
                queue_job_key_is_free(job.identity_key) AND queue_job_key_is_free(job.twin_key)
                AND queue_job_key_may_start(uuids[n])
            ) THEN
                verdict := 'held';
            ELSE
                INSERT INTO queue_job_lock (id, queue_job_id) VALUES (job.id, job.id)
                ON CONFLICT (id) DO NOTHING;
                -- The work of an earlier run may still be going on.
                IF NOT FOUND AND queue_job_is_held(job.id) THEN
                    verdict := 'held';
                    CONTINUE;
                END IF;
                IF started IS NOT NULL THEN
                    UPDATE queue_job SET state = 'started', date_started = started,
                        worker_pid = pid, run_number = COALESCE(run_number, 0) + 1,
                        date_enqueued = CASE WHEN from_state = 'pending' THEN sent
                            ELSE date_enqueued END
                    WHERE id = job.id;
                END IF;
                RETURN ARRAY['claimed', job.xmin::text, uuids[n]];
            END IF;
        EXCEPTION WHEN serialization_failure THEN
            verdict := 'changed';
        END;
    END LOOP;
    RETURN ARRAY[verdict, '', ''];
END;
$$ LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan;

-- The same for workers of releases before.
DROP FUNCTION IF EXISTS queue_job_claim(varchar);
CREATE OR REPLACE FUNCTION queue_job_claim(job_uuid varchar, started timestamp, pid integer)
RETURNS text[] AS $$
    SELECT (queue_job_claim_first(ARRAY[job_uuid], 'enqueued', started, pid, NULL))[1:2];
$$ LANGUAGE sql;

-- Whether the run could be locked.
CREATE OR REPLACE FUNCTION queue_job_lock_run(job_id integer, own_run integer)
RETURNS boolean AS $$
BEGIN
    {lock_run_of_job};
    RETURN FOUND;
END;
$$ LANGUAGE plpgsql;

-- The same as a statement whose result is not read. The message says whether the run is
-- over, or a sweep holds the row for a moment.
CREATE OR REPLACE FUNCTION queue_job_lock_own_run(job_id integer, own_run integer)
RETURNS void AS $$
BEGIN
    {lock_run_of_job};
    IF NOT FOUND THEN
        RAISE SQLSTATE 'QJ002' USING MESSAGE = CASE WHEN EXISTS (
            SELECT FROM queue_job
            WHERE id = job_id AND state IS NOT DISTINCT FROM 'started'
              AND COALESCE(run_number, 0) = own_run
        ) THEN 'locked' ELSE 'over' END;
    END IF;
END;
$$ LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan;

-- The columns that almost every job writes when it is done.
CREATE OR REPLACE FUNCTION queue_job_write_done(
    job_id integer, done timestamp, seconds double precision, tries integer, told text
) RETURNS void AS $$
BEGIN
    UPDATE queue_job SET state = 'done', date_done = done, exec_time = seconds, retry = tries,
        result = COALESCE(told, result)
    WHERE id = job_id;
END;
$$ LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan;

-- part: lock_run_of_job
-- Lock the liveness row of a job at its begin. Temporary tables of this very transaction
-- stay.
IF pg_current_xact_id_if_assigned() IS NULL THEN
    DISCARD TEMP;
END IF;
{lock_row_of_run}

-- part: lock_row_of_run
-- Lock the liveness row of a job, if its last run is this one. While the transaction
-- lasts, no timeout of the database or role ends it: the lock would be free while the
-- job runs.
PERFORM set_config(name, '0', true) FROM unnest(
    ARRAY['idle_in_transaction_session_timeout', 'transaction_timeout']
) AS name WHERE current_setting(name, true) <> '0';
PERFORM FROM queue_job_lock
    WHERE queue_job_id = job_id AND EXISTS (
        SELECT FROM queue_job
        WHERE id = job_id AND state IS NOT DISTINCT FROM 'started'
          AND COALESCE(run_number, 0) = own_run
    )
    FOR NO KEY UPDATE SKIP LOCKED

-- name: claim_call
-- The expression that claims the first of some jobs; see the function.
queue_job_claim_first(%(uuids)s::varchar[], %(state)s, %(started)s, %(pid)s, %(sent)s)

-- name: claim
-- Claim one of some jobs that were read before.
SELECT %(call)s

-- name: savepoint_of_work
-- Begin the work of a job whose liveness lock is held.
SAVEPOINT "queue_job_work"

-- name: lock_and_begin_work
-- Take the liveness lock of a run and begin its work, in one message.
SELECT queue_job_lock_own_run(%(job)s, %(run)s); SAVEPOINT "queue_job_work"

-- name: release_work
-- End the work of a job, right before its commit.
RELEASE SAVEPOINT "queue_job_work"

-- name: undo_work
-- Undo the work of a job.
ROLLBACK TO SAVEPOINT "queue_job_work"

-- part: leave_session
-- Take from the session what a job left in it, before its outcome is written: a role or
-- search path might forbid that. In the message of the outcome: all of it costs
-- microseconds, and no other way finds what SQL functions and other cursors of the
-- connection did. Temporary tables go when the next job begins, because those of this
-- transaction may have checks that wait for its commit.
RESET SESSION AUTHORIZATION; RESET ALL; UNLISTEN *; CLOSE ALL; DEALLOCATE ALL;
DISCARD SEQUENCES; SELECT pg_advisory_unlock_all()

-- name: clean_session
-- Clean the session of a job that ended.
{leave_session}

-- name: clean_idle_session
-- The same, for a transaction that has done nothing yet.
DISCARD TEMP; {leave_session}

-- name: enter_session
-- Begin on the connection that a job has for itself. The other connection of the job
-- waits in its transaction; this one while the job computes.
DISCARD TEMP; {leave_session}; SET idle_in_transaction_session_timeout = 0

-- name: commit_and_begin_work
-- End the transaction of one job and begin the work of the next, in one message.
COMMIT AND CHAIN; SELECT queue_job_lock_own_run(%(job)s, %(run)s); SAVEPOINT "queue_job_work"

-- name: commit_and_begin_work_behind
-- The same; the answer is whether the job before releases no other. It comes last,
-- because a message returns the answer of its last statement.
COMMIT AND CHAIN; SELECT queue_job_lock_own_run(%(job)s, %(run)s); SAVEPOINT "queue_job_work";
SELECT queue_job_frees_nobody(%(before)s)

-- name: lock_run
-- Lock the liveness row of a job, if its last run is this one.
SELECT queue_job_lock_run(%(job)s, %(run)s)

-- name: is_own_run
-- Lock the row of a job that was not moved since its state was written.
SELECT FROM queue_job
WHERE id = %(job)s AND state IS NOT DISTINCT FROM %(state)s
  AND COALESCE(run_number, 0) = %(run)s
FOR NO KEY UPDATE

-- name: add_lock_row
-- Make the liveness row of a job, if there is none.
INSERT INTO queue_job_lock (id, queue_job_id) SELECT id, id FROM queue_job
WHERE id = %(job)s ON CONFLICT (id) DO NOTHING

-- name: write_done
-- Write a row that is done; see the function.
SELECT queue_job_write_done(
    %(job)s, %(date_done)s, %(exec_time)s, %(retry)s, %(result)s
)

-- name: fail_plainly
-- Record a failure where the ORM cannot.
UPDATE queue_job SET state = 'failed', retry = %(retry)s, exc_name = %(exc_name)s,
    exc_message = %(exc_message)s, exc_info = %(exc_info)s
WHERE id = %(job)s AND state = 'started' AND COALESCE(run_number, 0) = %(run)s
