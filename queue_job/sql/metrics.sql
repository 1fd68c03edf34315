-- name: waiting_of_channels
-- How many jobs of some channels are ready, up to a limit, and when the oldest of them was
-- created: in the index of jobs by priority and date, the first of each priority is the
-- oldest one.
SELECT asked.channel, (
    SELECT count(*) FROM (
        SELECT FROM queue_job WHERE {plain} AND channel = asked.channel LIMIT %(limit)s
    ) AS counted
), (
    WITH RECURSIVE first AS (
        (SELECT COALESCE(priority, 0) AS priority, date_created, 1 AS depth FROM queue_job
         WHERE {plain} AND channel = asked.channel ORDER BY {rank} LIMIT 1)
        UNION ALL
        SELECT job.*, first.depth + 1 FROM first CROSS JOIN LATERAL (
            SELECT COALESCE(priority, 0), date_created FROM queue_job
            WHERE {plain} AND channel = asked.channel
              AND COALESCE(priority, 0) > first.priority
            ORDER BY {rank} LIMIT 1
        ) AS job WHERE first.depth < 20
    )
    SELECT extract(epoch FROM min(date_created))::float8 FROM first
)
FROM unnest(%(names)s::varchar[]) AS asked(channel)

-- name: objectives
-- The objectives of channels in seconds; a database that lacks the column has none.
SELECT complete_name, (to_jsonb(channel) ->> 'objective')::int
FROM queue_job_channel channel WHERE (to_jsonb(channel) ->> 'objective')::int > 0

-- name: oldest_snapshot
-- The session whose snapshot is the oldest, and the job whose liveness row it has locked:
-- the row says which transaction locked it.
SELECT extract(epoch FROM activity.xact_start)::float8, activity.pid,
    activity.application_name, (
        SELECT job.uuid FROM queue_job job JOIN queue_job_lock lock ON lock.id = job.id
        WHERE job.state = 'started' AND lock.xmax = activity.backend_xid LIMIT 1
    )
FROM pg_stat_activity activity
WHERE activity.datname = current_database() AND activity.backend_xmin IS NOT NULL
  AND activity.xact_start IS NOT NULL
  AND activity.backend_type = 'client backend' AND activity.pid <> pg_backend_pid()
ORDER BY age(activity.backend_xmin) DESC, activity.xact_start LIMIT 1
