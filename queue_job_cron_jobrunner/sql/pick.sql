-- name: begin_pick
-- Begin a transaction whose statements see what is committed. A pick takes milliseconds:
-- a session that holds its lock longer is in trouble of its own.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '10s'

-- name: lock_pick
-- Wait for the picks of other cron workers.
SELECT pg_advisory_xact_lock(%(lock)s, 0)

-- name: database_time
-- The time by which channels and locks are compared.
SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8

-- name: cron_count
-- How many runner crons there are.
SELECT count(*) FROM ir_cron WHERE queue_job_runner AND active

-- part: condition
-- Between the claim and the lock of its liveness a job is free for a moment. A job that a
-- regular runner has sent may wait for a worker for longer.
COALESCE(q.date_enqueued, q.date_started, '1970-01-01'::timestamp)
    < (clock_timestamp() AT TIME ZONE 'UTC')
    - CASE WHEN q.state = 'started' THEN interval '3 seconds' ELSE interval '10 seconds' END

-- name: alive
-- The jobs that hold a slot: enqueued and started ones, less those whose lock is free.
SELECT q.channel, q.uuid, q.id, {readable_date}, q.priority, q.state
FROM queue_job q LEFT JOIN queue_job_lock l ON l.queue_job_id = q.id
WHERE q.state IN ('enqueued', 'started') AND NOT ({condition} AND {is_free})

-- name: last_starts
-- The last starts in throttled channels. A start that is later than now was written
-- before the clock was set back: it holds nothing back.
SELECT channel, started FROM queue_job_cron_start
WHERE started <= EXTRACT(EPOCH FROM clock_timestamp())

-- name: remember_starts
-- Remember a start in some channels.
INSERT INTO queue_job_cron_start (channel, started)
SELECT channel, %(now)s FROM unnest(%(channels)s::varchar[]) AS channel
ON CONFLICT (channel) DO UPDATE SET started = excluded.started

-- name: next_trigger
-- The time of the next trigger of a runner cron.
SELECT EXTRACT(EPOCH FROM min(t.call_at))::float8
FROM ir_cron_trigger t JOIN ir_cron c ON c.id = t.cron_id
WHERE c.queue_job_runner AND c.active AND t.call_at > clock_timestamp() AT TIME ZONE 'UTC'

-- name: has_trigger
-- Whether a cron is still triggered.
SELECT FROM ir_cron_trigger WHERE cron_id = %(cron)s AND call_at <= %(now)s LIMIT 1

-- name: overdue
-- Since when a runner cron should have run. A pass keeps its trigger until it ends, and may
-- be long, but then a job runs.
SELECT EXTRACT(EPOCH FROM (clock_timestamp() AT TIME ZONE 'UTC') - min(t.call_at))::float8
FROM ir_cron_trigger t JOIN ir_cron c ON c.id = t.cron_id
WHERE c.queue_job_runner AND c.active
  AND t.call_at < (clock_timestamp() AT TIME ZONE 'UTC') - %(late)s * interval '1 second'
  AND NOT EXISTS (SELECT FROM queue_job WHERE state = 'started')
