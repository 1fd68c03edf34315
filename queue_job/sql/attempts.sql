-- name: keep_attempt
-- Keep the error of an attempt that just ended.
INSERT INTO queue_job_attempt (
    job_id, function, run_number, number, outcome, worker_pid,
    date_started, date_ended, exc_name, exc_message, exc_info
)
SELECT id, channel_method_name, run_number, %(number)s, %(outcome)s, worker_pid,
    date_started, clock_timestamp() AT TIME ZONE 'UTC',
    %(exc_name)s, %(exc_message)s, %(exc_info)s
FROM queue_job WHERE id = %(job)s

-- name: drop_old_attempts
-- Delete the attempts of a job but for the last ones.
DELETE FROM queue_job_attempt WHERE job_id = %(job)s AND id <= (
    SELECT id FROM queue_job_attempt WHERE job_id = %(job)s
    ORDER BY id DESC OFFSET %(kept)s LIMIT 1
)
