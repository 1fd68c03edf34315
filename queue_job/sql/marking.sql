-- part: obtained
-- The jobs that can be marked now. The row lock is asked for first and not waited for; then
-- the keys, each only tried. A job of a key that a refused caller holds stays pending and is
-- tried again.
--
-- Every job passes through every index on the state, and its entries stay there as
-- long as the longest running job pins the horizon of vacuum. So the statements that run
-- often find jobs by key, and compare states in a way that no index offers
-- (IS NOT DISTINCT FROM): the planner believes those indexes to be almost empty
-- and would walk over the entries of all jobs that passed.
WITH free AS MATERIALIZED (
    SELECT id, identity_key, twin_key, date_stopped FROM queue_job
    WHERE id = ANY($1) AND state IS NOT DISTINCT FROM 'pending'
      AND (eta IS NULL OR eta <= to_timestamp($2 + 1) AT TIME ZONE 'UTC')
    FOR NO KEY UPDATE SKIP LOCKED
), obtained AS MATERIALIZED (
    SELECT id FROM free
    WHERE queue_job_key_is_free(identity_key) AND queue_job_key_is_free(twin_key)
      -- Only of a job that was stopped is it likely that work of an earlier run goes on.
      AND (date_stopped IS NULL OR NOT queue_job_is_held(id))
)

-- name: obtainable
-- Which of some jobs could be marked now.
EXECUTE queue_job_obtainable(%(ids)s::integer[], %(now)s)

-- name: mark
-- Mark jobs as enqueued, before a worker is asked.
EXECUTE queue_job_mark(%(ids)s::integer[], %(now)s, %(date)s)

-- name: mark_one
-- Mark a job whatever its eta or key.
UPDATE queue_job SET state = 'enqueued', date_enqueued = %(date)s
WHERE uuid = %(uuid)s AND state IS NOT DISTINCT FROM 'pending'

-- name: put_back
-- Requeue enqueued jobs that no worker has claimed: a claim holds the row, which is
-- skipped.
WITH free AS MATERIALIZED (
    SELECT id FROM queue_job
    WHERE uuid = ANY(%(uuids)s) AND state IS NOT DISTINCT FROM 'enqueued'
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE queue_job SET state = 'pending', date_enqueued = NULL
FROM free WHERE queue_job.id = free.id AND queue_job.state IS NOT DISTINCT FROM 'enqueued'
RETURNING queue_job.uuid

-- name: fail_unusable
-- Fail a job that can never run, with the reason for people to see.
WITH free AS MATERIALIZED (
    SELECT id FROM queue_job WHERE id = %(id)s AND state IS NOT DISTINCT FROM 'pending'
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE queue_job SET state = 'failed', exc_name = 'UnusableJob',
    exc_message = %(reason)s, exc_info = %(reason)s
FROM free WHERE queue_job.id = free.id AND queue_job.state IS NOT DISTINCT FROM 'pending'
