-- part: is_election
-- The advisory lock of the election, of whatever database.
lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 1
  AND (lock.classid::bigint << 32) | lock.objid::bigint = 2293787760715711918

-- part: was_delayed_lately
-- A process that delayed a job lately takes it for granted that a runner serves the
-- database, see store/waking.py.
EXISTS (
    SELECT FROM queue_job
    WHERE date_created > (now() AT TIME ZONE 'UTC') - %(seconds)s * interval '1 second'
      AND date_created < (now() AT TIME ZONE 'UTC') + %(seconds)s * interval '1 second'
)

-- name: visit
-- Whether a database has work for a runner now, and its next eta.
SELECT
    EXISTS (SELECT FROM queue_job WHERE {plain})
    OR EXISTS (SELECT FROM queue_job WHERE state IN ('enqueued', 'started'))
    OR EXISTS (SELECT FROM queue_job WHERE to_report AND state = 'failed')
    OR {was_delayed_lately}
    OR EXISTS (SELECT FROM ({old_waiting_jobs}) AS waiting WHERE NOT is_blocked),
    (
        SELECT EXTRACT(EPOCH FROM min(first.eta))::float8 FROM (
            {channels_with condition=timed order=by_eta}
        ) AS seen CROSS JOIN LATERAL (
            (SELECT eta FROM queue_job WHERE {timed} AND queue_job.channel = seen.channel
             ORDER BY channel, {by_eta} LIMIT 1)
            UNION ALL
            (SELECT eta FROM queue_job WHERE {timed} AND channel IS NULL AND seen.channel IS NULL
             ORDER BY channel, {by_eta} LIMIT 1)
        ) AS first
    )

-- name: unlock
-- Let go of the election.
SELECT pg_advisory_unlock(%(key)s)

-- name: listen_to_wakes
-- Wait for the names of dormant databases in which jobs were delayed. Sent and listened to
-- in the database postgres, as Odoo does for scheduled actions.
LISTEN queue_job_wake

-- name: wake
-- Wake the runner of a database, unless one is elected there. Asked in the database
-- postgres, after the commit of the jobs: a runner lets go of the lock and then looks once
-- more, so one of the two sees the other. Returns a row when it notified.
SELECT pg_notify('queue_job_wake', %(name)s) WHERE NOT EXISTS (
    SELECT FROM pg_locks lock JOIN pg_database ON pg_database.oid = lock.database
    WHERE {is_election} AND pg_database.datname = %(name)s
)

-- name: listening_runner
-- A runner that waits for the wake of dormant databases, the one that does so longest.
SELECT pg_stat_clear_snapshot();
SELECT application_name, backend_start AT TIME ZONE 'UTC', host(client_addr)
FROM pg_stat_activity
WHERE datname = 'postgres' AND starts_with(application_name, 'queue_job runner ')
ORDER BY backend_start LIMIT 1
