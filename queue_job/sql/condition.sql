-- name: has_condition
-- Whether the table of the runner's condition exists: an older database lacks it.
SELECT to_regclass('queue_job_runner') IS NOT NULL

-- name: begin_condition
-- Record the runner that was just elected; its predecessor is over.
DELETE FROM queue_job_runner;
INSERT INTO queue_job_runner (name, is_pooled) VALUES (%(name)s, %(is_pooled)s)

-- name: record_condition
-- Record how the requests of the runner fail, or that they are answered again.
UPDATE queue_job_runner SET trouble = %(trouble)s, status = %(status)s,
    address = %(address)s, since = now() AT TIME ZONE 'UTC'
WHERE name = %(name)s

-- name: read_condition
-- The condition of the runner that was elected last.
SELECT name, is_pooled, trouble, status, address, since
FROM queue_job_runner ORDER BY id DESC LIMIT 1

-- name: backend_pid
-- The process of PostgreSQL that answers: behind a pooler not the one that was connected to.
SELECT pg_backend_pid()
