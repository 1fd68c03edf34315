-- name: batches_of_jobs
-- The batches of some jobs.
SELECT DISTINCT job_batch_id FROM queue_job
WHERE id = ANY(%(jobs)s) AND job_batch_id IS NOT NULL ORDER BY job_batch_id

-- name: open_batches
-- Batches that are not finished and have jobs, for the sweep.
SELECT b.id FROM queue_job_batch b
WHERE b.state <> 'finished'
  AND EXISTS (SELECT FROM queue_job q WHERE q.job_batch_id = b.id)
ORDER BY b.id

-- name: states_of_jobs
-- The states in which batches have a job. Each state is one step of an index, however many
-- jobs there are: backwards, because entries of rows that moved on gather in front. By
-- a comparison of rows, because the planner would walk over the jobs for equal columns.
SELECT b.id, ARRAY(
    SELECT s.state FROM unnest(%(states)s::varchar[]) AS s(state)
    WHERE (
        SELECT q.job_batch_id = b.id AND q.state = s.state FROM queue_job q
        WHERE q.job_batch_id IS NOT NULL
          AND (q.job_batch_id, q.state, q.id) <= (b.id, s.state, 2147483647)
        ORDER BY q.job_batch_id DESC, q.state DESC, q.id DESC LIMIT 1
    )
)
FROM unnest(%(batches)s::integer[]) AS b(id)

-- name: lock_timeout
-- Wait no longer for a transaction in which jobs join: its jobs derive the state again.
SET LOCAL lock_timeout = '1s'

-- name: lock_batch
-- Lock a batch against other writers of its state, and against jobs that join: those
-- share the lock of its key.
SELECT FROM queue_job_batch WHERE id = %(batch)s FOR UPDATE

-- name: execution_time
-- Seconds between the first start and the last end of the jobs of a batch.
SELECT EXTRACT(EPOCH FROM
    max(COALESCE(date_done, date_cancelled, date_started)) - min(date_started)
)::float8
FROM queue_job WHERE job_batch_id = %(batch)s

-- name: adopt_drafts
-- Rename a state of earlier series.
UPDATE queue_job_batch SET state = 'pending' WHERE state = 'draft' OR state IS NULL
