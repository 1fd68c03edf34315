-- name: count_equal_failures
-- How many jobs of a function failed with an error since a date, up to a limit.
SELECT count(*) FROM (
    SELECT FROM queue_job
    WHERE state = 'failed' AND channel_method_name = %(function)s AND exc_name = %(error)s
      AND {failed_at} > %(since)s
    LIMIT %(limit)s
) AS failed

-- name: many_failures
-- Functions, errors and companies with many failures since a date, and one of the jobs.
SELECT channel_method_name, exc_name, max(id), count(*)::int, min({failed_at})
FROM queue_job
WHERE state = 'failed' AND channel_method_name IS NOT NULL AND exc_name IS NOT NULL
  AND {failed_at} > %(since)s
GROUP BY channel_method_name, exc_name, company_id
