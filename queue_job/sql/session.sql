-- name: session_settings
-- Of the runner's session. A lock of a session that rebuilds the table is not waited for:
-- other databases have jobs too. PostgreSQL must notice a runner that vanished. Nothing
-- that the runner writes needs to reach the disk before it is relied on: the
-- claim of a worker flushes the mark before it, and a mark, a sweep or a job put
-- back that is lost with the server is done again. All statements take few rows by
-- key, or in the order of an index: the planner is not to find out, from statistics
-- of an hour ago, that a sort would do as well.
SET lock_timeout = '1s';
SET statement_timeout = '40s';
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = '20s';
SET default_transaction_isolation = 'read committed';
SET synchronous_commit = off;
SET jit = off;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET enable_incremental_sort = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off

-- name: limit_idleness
-- End the session when it asks for nothing. PostgreSQL 13 has no such setting.
SELECT set_config(name, %(limit)s, false) FROM pg_settings WHERE name = 'idle_session_timeout'

-- name: keep_alive
-- Give and ask for a sign of life.
SELECT 1

-- name: has_module_table
-- Whether this is a database of Odoo.
SELECT to_regclass('ir_module_module') IS NOT NULL

-- name: is_installed
-- Whether there are jobs to dispatch.
SELECT true FROM ir_module_module WHERE name = 'queue_job' AND state IN ('installed', 'to upgrade')

-- name: count_columns
-- How many of some columns the table has.
SELECT count(*) FROM pg_attribute
WHERE attrelid = to_regclass('queue_job') AND attname = ANY(%(names)s) AND NOT attisdropped

-- name: has_functions
-- Whether the functions of this release are there, that of steps being the newest.
SELECT to_regproc('queue_job_tries') IS NOT NULL

-- name: try_lock
-- Stand for election.
SELECT pg_try_advisory_lock(%(key)s)

-- name: end_backend
-- End a connection of this process that was lost and whose end PostgreSQL has not seen.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %(pid)s AND application_name = %(name)s AND datname = current_database()

-- name: backend_lives
-- Whether PostgreSQL still knows a connection of this process.
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE pid = %(pid)s AND application_name = %(name)s AND datname = current_database()
)

-- name: secret
-- The secret that requests are signed with.
SELECT value FROM ir_config_parameter WHERE key = 'database.secret'

-- name: modules_changing
-- Whether workers may not know all modules now.
SELECT EXISTS (
    SELECT FROM ir_module_module WHERE state IN ('to install', 'to upgrade', 'to remove')
)

-- name: prepare
-- The statements of each bundle, planned once for each connection: planning takes longer
-- than execution.
SET plan_cache_mode = force_generic_plan;
PREPARE queue_job_read (varchar[]) AS
SELECT {columns} FROM queue_job WHERE uuid = ANY($1);
PREPARE queue_job_obtainable (integer[], double precision) AS
{obtained} SELECT id FROM obtained;
PREPARE queue_job_mark (integer[], double precision, timestamp) AS
{obtained}
UPDATE queue_job SET state = 'enqueued', date_enqueued = $3
FROM obtained
WHERE queue_job.id = obtained.id AND queue_job.state IS NOT DISTINCT FROM 'pending'
RETURNING queue_job.uuid
