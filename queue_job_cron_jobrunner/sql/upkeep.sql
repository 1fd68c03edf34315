-- part: claimed
-- The jobs that run, or should.
q.state IN ('enqueued', 'started') AND {condition}

-- part: claimed_among
-- Some of them.
q.uuid = ANY(%(uuids)s) AND {claimed}

-- name: free_locks
-- Check liveness rows, as the regular runner does; also claims without a date.
{free_locks_of condition=claimed}

-- name: requeue_dead
-- Requeue or fail jobs that two checks found dead.
{dead_jobs condition=claimed_among}

-- name: has_young
-- Whether jobs are too young to be found dead, or forgotten by their parents. The newest
-- dependent stands for all: one step of an index.
SELECT EXISTS (
    SELECT FROM queue_job q WHERE q.state IN ('enqueued', 'started') AND NOT ({condition})
) OR COALESCE((
    SELECT date_created > (clock_timestamp() AT TIME ZONE 'UTC') - interval '5 seconds'
    FROM queue_job WHERE state = 'wait_dependencies' ORDER BY id DESC LIMIT 1
), false)

-- name: try_announce
-- Lock the announcement of failures, unless another cron worker does it.
SELECT pg_try_advisory_xact_lock(%(lock)s, 1)

-- name: next_unreported
-- The next job whose failure was not announced.
SELECT uuid FROM queue_job
WHERE to_report AND state = 'failed' AND uuid <> ALL(%(skipped)s)
ORDER BY id LIMIT 1

-- name: due_count
-- How many jobs may start by their eta; up to a limit.
SELECT count(*) FROM (
    SELECT FROM queue_job
    WHERE state = 'pending' AND (eta IS NULL OR eta <= clock_timestamp() AT TIME ZONE 'UTC')
    LIMIT 10000
) AS due

-- name: fail_over_limit
-- Fail a job that runs longer than its worker may.
UPDATE queue_job SET state = 'failed', to_report = true,
    exc_name = %(exc_name)s, exc_message = %(exc_message)s, exc_info = %(exc_info)s,
    retry = queue_job_tries(id, %(run_number)s, retry)
WHERE id = %(id)s AND state = 'started' AND COALESCE(run_number, 0) = %(run_number)s
RETURNING retry
