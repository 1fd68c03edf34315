-- part: dead_jobs
-- Requeue or fail the dead among the jobs of a condition on queue_job q.
--
-- A dead job was sent to a worker or claimed by one, and its lock is free: at two checks
-- before (see is_free), and now.
-- Both locks are taken before the move and none is waited for: a lock row that is
-- locked means alive, a job row that is locked is being moved by another session. Locking
-- a row reads its newest version, so a job that ended after the statement began no
-- longer matches. The run number is left alone: the old worker, should it come
-- back, finds another state or another number and writes nothing.
--
-- A started job has used up a try; the others were never tried, and fail only
-- when their tries were used up before. A try that was used up is kept as an attempt.
-- A try that has committed a step begins to count anew.
--
-- A job whose worker died may have been the reason. It waits for 5 seconds, 20, 45, 80 and
-- so on, and the others run: at once it would be the next one again.
WITH freed AS MATERIALIZED (
    SELECT l.queue_job_id FROM queue_job_lock l JOIN queue_job q ON q.id = l.queue_job_id
    WHERE {condition}
    FOR NO KEY UPDATE OF l SKIP LOCKED
), dead AS MATERIALIZED (
    SELECT q.id, q.state = 'started' AS was_started,
        queue_job_tries(q.id, COALESCE(q.run_number, 0), q.retry) AS tries,
        CASE
            WHEN COALESCE(q.max_retries, 0) <= 0 THEN false
            WHEN q.state = 'started'
                THEN queue_job_tries(q.id, COALESCE(q.run_number, 0), q.retry) >= q.max_retries
            ELSE COALESCE(q.retry, 0) > q.max_retries
        END AS is_over
    FROM queue_job q
    WHERE {condition}
      AND (
        q.id IN (SELECT queue_job_id FROM freed)
        OR NOT EXISTS (SELECT FROM queue_job_lock l WHERE l.queue_job_id = q.id)
      )
    FOR NO KEY UPDATE OF q SKIP LOCKED
), moved AS (
    UPDATE queue_job SET
        state = CASE WHEN dead.is_over THEN 'failed' ELSE 'pending' END,
        retry = CASE WHEN dead.was_started THEN dead.tries ELSE queue_job.retry END,
        eta = CASE WHEN dead.was_started AND NOT dead.is_over
            THEN (now() AT TIME ZONE 'UTC') + GREATEST(LEAST(dead.tries, 8), 1) ^ 2 * interval '5 seconds'
            ELSE queue_job.eta END,
        exc_name = CASE WHEN dead.is_over THEN 'JobFoundDead' ELSE queue_job.exc_name END,
        exc_message = CASE WHEN dead.is_over
            THEN 'The worker that ran this job vanished, or could not say what became of it, '
                || 'and its tries are used up'
            ELSE queue_job.exc_message END,
        exc_info = CASE WHEN dead.is_over
            THEN 'Job found dead after too many retries' ELSE queue_job.exc_info END,
        to_report = CASE WHEN dead.is_over THEN true ELSE queue_job.to_report END
    FROM dead
    WHERE queue_job.id = dead.id AND (
        queue_job.state IS NOT DISTINCT FROM 'enqueued'
        OR queue_job.state IS NOT DISTINCT FROM 'started'
    )
    RETURNING queue_job.id, queue_job.uuid, queue_job.channel_method_name,
        queue_job.run_number, queue_job.retry, queue_job.worker_pid, queue_job.date_started,
        dead.was_started
), kept AS (
    INSERT INTO queue_job_attempt (
        job_id, function, run_number, number, outcome, worker_pid, date_started, date_ended,
        exc_name, exc_message
    )
    SELECT id, channel_method_name, run_number, retry, 'dead', worker_pid, date_started,
        now() AT TIME ZONE 'UTC', 'JobFoundDead',
        'The worker that ran this job vanished, or could not say what became of it'
    FROM moved WHERE was_started
)
SELECT uuid FROM moved

-- part: is_abandoned
-- Ten seconds: between the claim and the lock a started job is free for a moment.
q.date_enqueued < (now() AT TIME ZONE 'UTC') - interval '10 seconds'

-- part: abandoned
-- By the index of what runs.
q.state IN ('enqueued', 'started') AND {is_abandoned}

-- part: running_among
-- By key.
q.uuid = ANY(%(uuids)s)
AND (q.state IS NOT DISTINCT FROM 'enqueued' OR q.state IS NOT DISTINCT FROM 'started')
AND (%(at_once)s OR {is_abandoned})

-- part: begun_among
-- By key.
q.uuid = ANY(%(uuids)s) AND q.state IS NOT DISTINCT FROM 'started'
AND q.date_started < (now() AT TIME ZONE 'UTC') - interval '10 seconds'

-- name: requeue_dead
-- Sweep all jobs, without a check before: the runner does not. No parameters and no percent
-- sign: others execute it as it stands.
{dead_jobs condition=abandoned}

-- name: requeue_dead_among
-- Sweep some jobs, at once where their requests are known to be gone.
{dead_jobs condition=running_among}

-- part: is_free
-- The liveness row l of a job is free: the transaction that locked it last is over. A lock
-- may not be taken to find that out, because a worker that commits a step, or begins again
-- after a conflict, takes its lock anew at that moment and would find it taken. So one
-- check proves little: dead is a job whose row is free at two checks a second apart with
-- the same xmax, which changes with each lock. The sweep then locks the row all the same: a
-- row with several lockers has a number as xmax that no transaction has.
(l.xmax IS NULL OR l.xmax <> ALL (ARRAY(
    SELECT transactionid FROM pg_locks
    WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted
)))

-- part: free_locks_of
-- The running jobs of a condition whose liveness row is free, with the last lock of it.
SELECT q.uuid, concat_ws(' ', l.xmax, q.state, q.run_number) AS last_lock
FROM queue_job q LEFT JOIN queue_job_lock l ON l.queue_job_id = q.id
WHERE {condition} AND {is_free}

-- name: free_locks
-- Check the liveness rows of some jobs, without locks.
{free_locks_of condition=running_among}

-- name: free_locks_of_begun
-- The same of those that began a while ago, however long they waited in an open request.
{free_locks_of condition=begun_among}

-- name: is_done
-- Whether a run is committed as done.
SELECT FROM queue_job
WHERE id = %(job)s AND state IS NOT DISTINCT FROM 'done' AND COALESCE(run_number, 0) = %(run)s

-- name: is_in_run
-- Whether a job is in a run.
SELECT true FROM queue_job
WHERE id = %(job)s AND state IS NOT DISTINCT FROM 'started' AND COALESCE(run_number, 0) = %(run)s
