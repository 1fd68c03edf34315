-- part: advisory_class
-- Of the shared advisory lock that the second connection of a job holds: "job" in ASCII.
7106402

-- part: backends_of
-- The PostgreSQL backends that work for job q: the one whose transaction locked the liveness
-- row last, and that of the second connection of a job with one.
SELECT t.pid FROM queue_job_lock l JOIN pg_locks t ON t.transactionid = l.xmax
WHERE l.queue_job_id = q.id AND t.locktype = 'transactionid'
  AND t.mode = 'ExclusiveLock' AND t.granted
UNION ALL
SELECT t.pid FROM pg_locks t
WHERE t.locktype = 'advisory' AND t.classid = {advisory_class} AND t.objid::bigint = q.id
  AND t.objsubid = 2 AND t.mode = 'ShareLock' AND t.granted
  AND t.database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- part: is_stopped
-- Jobs that were stopped not long ago, whatever became of them since. A started one runs
-- again: it is not claimed before the work that was stopped is over.
q.date_stopped > (now() AT TIME ZONE 'UTC') - interval '1 hour'
AND q.state IS DISTINCT FROM 'started'

-- name: interrupt_stopped
-- Interrupt the work of jobs that were stopped, if it is still going on: cancel the statement
-- that runs, and after ten seconds end the backend. The check and the signal are one
-- statement; the signal may all the same arrive when the backend works for another job,
-- which then begins again.
SELECT q.uuid, b.pid, CASE
    WHEN q.date_stopped < (now() AT TIME ZONE 'UTC') - interval '10 seconds'
    THEN pg_terminate_backend(b.pid) ELSE pg_cancel_backend(b.pid)
END
FROM queue_job q CROSS JOIN LATERAL ({backends_of}) AS b
WHERE {is_stopped} AND b.pid IS NOT NULL AND b.pid <> pg_backend_pid()

-- name: interrupt_among
-- Cancel the statements that run for some jobs, before they are stopped.
SELECT q.uuid, b.pid, pg_cancel_backend(b.pid)
FROM queue_job q CROSS JOIN LATERAL ({backends_of}) AS b
WHERE q.id = ANY(%(jobs)s) AND q.state IS NOT DISTINCT FROM 'started'
  AND b.pid IS NOT NULL AND b.pid <> pg_backend_pid()

-- name: stopped_among
-- Those of some jobs that were stopped while they ran.
SELECT q.uuid FROM queue_job q WHERE q.uuid = ANY(%(uuids)s) AND {is_stopped}

-- name: backends_of_job
-- The backends that work for one job.
SELECT b.pid FROM queue_job q CROSS JOIN LATERAL ({backends_of}) AS b WHERE q.id = %(job)s

-- name: lock_started
-- Lock those of some jobs that are started. A job that has written its own row is waited
-- for a second.
SELECT id FROM queue_job WHERE id = ANY(%(jobs)s) AND state IS NOT DISTINCT FROM 'started'
ORDER BY id FOR NO KEY UPDATE

-- name: set_lock_timeout
-- Limit the wait for locks in this transaction; returns nothing of use.
SELECT set_config('lock_timeout', %(timeout)s, true)

-- name: lock_timeout
-- How long this transaction waits for locks.
SELECT current_setting('lock_timeout')

-- name: hold_own_session
-- Let the second connection of a job be found; a shared lock, because nothing waits for it.
SELECT pg_advisory_lock_shared({advisory_class}, %(job)s)
