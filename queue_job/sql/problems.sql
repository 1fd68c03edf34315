-- name: long_running
-- The jobs that have been running longest, with what their functions usually take: the
-- mean and the longest of a day.
WITH running AS MATERIALIZED (
    SELECT id, channel, channel_method_name, date_started FROM queue_job
    WHERE state IN ('enqueued', 'started') AND state = 'started'
      AND date_started < %(before)s AND %(visible)s
    ORDER BY date_started LIMIT %(limit)s
)
SELECT running.*, usual.mean, usual.longest FROM running CROSS JOIN LATERAL (
    SELECT sum(seconds) / NULLIF(sum(done), 0) AS mean, max(longest) AS longest
    FROM queue_job_hour WHERE function = running.channel_method_name AND hour >= %(since)s
) AS usual ORDER BY date_started, id

-- name: sent_long_ago
-- How many jobs were sent to workers that have not begun them, and since when.
SELECT count(*)::int, min(date_enqueued) FROM (
    SELECT state, date_enqueued FROM queue_job
    WHERE state IN ('enqueued', 'started') AND date_enqueued < %(before)s
      AND %(visible)s ORDER BY date_enqueued LIMIT %(limit)s
) AS sent WHERE state = 'enqueued'

-- name: failed_in_graphs
-- Failed jobs for which others wait: of so many that failed last, ids and their graphs.
SELECT failed.id, failed.graph_uuid FROM (
    SELECT id, graph_uuid FROM queue_job
    WHERE state = 'failed' AND graph_uuid IS NOT NULL AND %(visible)s LIMIT %(limit)s
) AS failed WHERE EXISTS (
    SELECT FROM queue_job_dependency own JOIN queue_job child ON child.id = own.child_id
    WHERE own.parent_id = failed.id AND child.state = 'wait_dependencies'
) OR EXISTS (
    SELECT FROM queue_job_dependency own
    JOIN queue_job_dependency behind ON behind.joint = own.joint
        AND behind.child_id IS NOT NULL
    JOIN queue_job child ON child.id = behind.child_id
    WHERE own.parent_id = failed.id AND own.joint IS NOT NULL
      AND child.state = 'wait_dependencies'
) ORDER BY failed.id
