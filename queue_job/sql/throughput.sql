-- part: channels_of_jobs
-- The channels that jobs have: one step of the index each.
WITH RECURSIVE seen(channel) AS (
    (SELECT channel FROM queue_job WHERE channel IS NOT NULL ORDER BY channel LIMIT 1)
    UNION ALL
    SELECT (SELECT channel FROM queue_job WHERE channel > seen.channel
            ORDER BY channel LIMIT 1)
    FROM seen WHERE seen.channel IS NOT NULL
)
SELECT channel FROM seen WHERE channel IS NOT NULL LIMIT 1000

-- part: ended
-- The jobs that ended in a span. The index on channel and date finds those that are done (a
-- job that is requeued loses the date), the attempts those that failed.
SELECT job.* FROM ({channels_of_jobs}) AS asked CROSS JOIN LATERAL (
    SELECT date_done AS ended, company_id, channel_method_name AS function,
        false AS has_failed, exec_time AS seconds
    FROM queue_job WHERE queue_job.channel = asked.channel
      AND date_done > %(since)s AND date_done <= %(until)s
) AS job
UNION ALL
SELECT date_done, company_id, channel_method_name, false, exec_time
FROM queue_job WHERE channel IS NULL AND date_done > %(since)s AND date_done <= %(until)s
UNION ALL
SELECT date_ended, job.company_id, job.channel_method_name, true, NULL
FROM queue_job_attempt attempt JOIN queue_job job ON job.id = attempt.job_id
WHERE date_ended > %(since)s AND date_ended <= %(until)s
  AND (outcome = 'failed' OR outcome = 'dead' AND job.state = 'failed')

-- name: added_until
-- The end of the last job that is added up.
SELECT max(until) FROM queue_job_minute WHERE minute > %(since)s

-- name: lock_throughput
-- Take the right to add up, for this transaction.
SELECT pg_try_advisory_xact_lock(hashtext('queue_job_minute'))

-- name: end_of_budget
-- When so many had ended, read from the index alone; nothing when there are fewer.
SELECT date_done FROM ({channels_of_jobs}) AS asked CROSS JOIN LATERAL (
    SELECT date_done FROM queue_job
    WHERE queue_job.channel = asked.channel
      AND date_done > %(since)s AND date_done <= %(until)s
    ORDER BY date_done LIMIT %(budget)s + 1
) AS job
ORDER BY date_done OFFSET %(budget)s LIMIT 1

-- name: add_up
-- Add up the jobs that ended in a span, by minute and by function and hour.
WITH added AS MATERIALIZED ({ended}), minutes AS (
    INSERT INTO queue_job_minute (minute, company_id, done, failed, until)
    SELECT date_trunc('minute', ended), company_id,
        count(*) FILTER (WHERE NOT has_failed),
        count(*) FILTER (WHERE has_failed), max(ended)
    FROM added GROUP BY 1, 2
    ON CONFLICT (minute, COALESCE(company_id, 0)) DO UPDATE SET
        done = queue_job_minute.done + EXCLUDED.done,
        failed = queue_job_minute.failed + EXCLUDED.failed,
        until = GREATEST(queue_job_minute.until, EXCLUDED.until)
)
INSERT INTO queue_job_hour (
    hour, company_id, function, done, failed, seconds, longest
)
SELECT date_trunc('hour', ended), company_id, COALESCE(function, ''),
    count(*) FILTER (WHERE NOT has_failed), count(*) FILTER (WHERE has_failed),
    COALESCE(sum(seconds), 0), COALESCE(max(seconds), 0)
FROM added GROUP BY 1, 2, 3
ON CONFLICT (hour, function, COALESCE(company_id, 0)) DO UPDATE SET
    done = queue_job_hour.done + EXCLUDED.done,
    failed = queue_job_hour.failed + EXCLUDED.failed,
    seconds = queue_job_hour.seconds + EXCLUDED.seconds,
    longest = GREATEST(queue_job_hour.longest, EXCLUDED.longest)

-- name: drop_old_minutes
-- Delete the figures of minutes that no screen shows.
DELETE FROM queue_job_minute WHERE minute < %(before)s

-- name: drop_old_hours
-- Delete the figures of hours that no screen shows.
DELETE FROM queue_job_hour WHERE hour < %(before)s

-- name: series
-- Done and failed jobs by span, those included that are not added up yet.
SELECT floor(extract(epoch FROM at - %(start)s) / %(seconds)s)::int AS span,
    sum(done)::int, sum(failed)::int
FROM (
    SELECT minute AS at, done, failed FROM queue_job_minute
    WHERE minute >= %(start)s AND %(visible)s
    UNION ALL
    SELECT ended, (NOT has_failed)::int, has_failed::int
    FROM ({ended}) AS ended WHERE ended >= %(start)s AND %(visible)s
) AS counted GROUP BY 1

-- name: figures_of_functions
-- Figures of each function, those included that are not added up yet.
SELECT function, sum(done)::int AS done, sum(failed)::int AS failed,
    sum(seconds) / NULLIF(sum(done), 0) AS average, max(longest) AS longest
FROM (
    SELECT function, done, failed, seconds, longest FROM queue_job_hour
    WHERE hour >= %(start)s AND %(visible)s
    UNION ALL
    SELECT COALESCE(function, ''), (NOT has_failed)::int, has_failed::int,
        COALESCE(seconds, 0), COALESCE(seconds, 0)
    FROM ({ended}) AS ended WHERE ended >= %(start)s AND %(visible)s
) AS counted GROUP BY function
