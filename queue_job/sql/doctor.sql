-- name: has_cron_runner
-- Whether cron workers perform the jobs of this database.
SELECT EXISTS (
    SELECT FROM ir_module_module
    WHERE name = 'queue_job_cron_jobrunner' AND state IN ('installed', 'to upgrade')
)

-- name: listen_to_doctor
-- Listen on a channel of notifications of one check.
SELECT set_config('application_name', 'queue_job doctor', false); LISTEN queue_job_doctor

-- name: notify_doctor
-- Notify the check that listens.
SELECT pg_notify('queue_job_doctor', %(token)s)

-- name: invalid_indexes
-- Indexes of the queue that PostgreSQL does not use: their creation was interrupted.
SELECT indexrelid::regclass::text FROM pg_index
JOIN pg_class ON pg_class.oid = indrelid
WHERE NOT (indisvalid AND indisready) AND relname ~ '^queue_job'
  AND relnamespace = current_schema()::regnamespace
ORDER BY 1

-- name: clock_of_database
-- The time of the server of PostgreSQL.
SELECT extract(epoch FROM clock_timestamp())::float8

-- name: vacuum_of_jobs
-- Whether autovacuum cleans the table of jobs, and how many rows are dead.
SELECT current_setting('autovacuum')::boolean
        AND NOT COALESCE('autovacuum_enabled=false' = ANY(reloptions), false),
    COALESCE(n_dead_tup, 0), COALESCE(n_live_tup, 0)
FROM pg_class LEFT JOIN pg_stat_user_tables ON relid = pg_class.oid
WHERE pg_class.oid = 'queue_job'::regclass

-- name: longest_job
-- The function whose job took longest in the last day, and the seconds.
SELECT function, max(longest) FROM queue_job_hour
WHERE hour > now() AT TIME ZONE 'UTC' - interval '1 day'
GROUP BY function ORDER BY 2 DESC NULLS LAST LIMIT 1
