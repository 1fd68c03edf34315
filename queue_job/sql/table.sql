-- name: table_settings
-- A queue rewrites its rows some five times and reads the newest: leave room in the
-- pages, and vacuum by number, not by share.
ALTER TABLE queue_job SET (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_analyze_threshold = 1000
)

-- name: record_moves
-- Record that a user moved jobs, at the date of their rows.
INSERT INTO queue_job_move (job_id, user_id, date, state)
SELECT id, %(user)s, COALESCE(
    CASE state WHEN 'done' THEN date_done WHEN 'cancelled' THEN date_cancelled END,
    clock_timestamp() AT TIME ZONE 'UTC'
), %(state)s
FROM queue_job WHERE id = ANY(%(jobs)s)
