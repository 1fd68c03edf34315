-- part: newest_of_channel
-- The jobs of a channel that were done last; bounded, because no index knows functions.
SELECT exec_time, channel_method_name, company_id FROM queue_job
WHERE channel = %(channel)s AND date_done IS NOT NULL
ORDER BY date_done DESC LIMIT %(limit)s

-- name: durations_of_function
-- Durations of a function among the jobs of its channel that were done last, and how many
-- took how long, by edges in seconds.
WITH mine AS MATERIALIZED (
    SELECT exec_time FROM ({newest_of_channel}) AS newest
    WHERE channel_method_name = %(function)s AND exec_time IS NOT NULL AND %(visible)s
)
SELECT count(*)::int, avg(exec_time)::float8, max(exec_time)::float8,
    percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY exec_time),
    (SELECT json_object_agg(place, number) FROM (
        SELECT width_bucket(exec_time::float8, %(edges)s::float8[]) AS place,
            count(*) AS number
        FROM mine GROUP BY 1
    ) AS bar)
FROM mine

-- name: waiting_of_function
-- How many jobs of a function wait: in two states, up to a limit of jobs of the channel each.
SELECT count(*)::int FROM (
    (SELECT channel_method_name, company_id FROM queue_job
     WHERE state = 'pending' AND eta IS NULL AND channel = %(channel)s LIMIT %(limit)s)
    UNION ALL
    (SELECT channel_method_name, company_id FROM queue_job
     WHERE state = 'pending' AND eta IS NOT NULL AND channel = %(channel)s LIMIT %(limit)s)
) AS waiting WHERE channel_method_name = %(function)s AND %(visible)s

-- name: hours_of_function
-- Done and failed jobs of a function, by hours before now, those added up.
SELECT floor(extract(epoch FROM %(now)s - hour) / 3600)::int AS age,
    sum(done)::int, sum(failed)::int
FROM queue_job_hour
WHERE function = %(function)s AND hour > %(now)s - interval '24 hours' AND %(visible)s
GROUP BY 1
