-- name: blocking_parents
-- The jobs that hold some jobs back, failed ones first. Each joint is gone through once,
-- gives so many (or one job of a large graph would leave no room for the next), and says
-- how many it has and how many of them failed.
WITH own AS MATERIALIZED (
    SELECT child_id, parent_id, joint FROM queue_job_dependency WHERE child_id = ANY(%(ids)s)
), behind_joint AS MATERIALIZED (
    SELECT d.joint, p.id, p.state,
        row_number() OVER (
            PARTITION BY d.joint ORDER BY p.state = 'failed' DESC, p.id
        ) AS place,
        count(*) OVER (PARTITION BY d.joint) AS count,
        count(*) FILTER (WHERE p.state = 'failed') OVER (PARTITION BY d.joint) AS failed
    FROM queue_job_dependency d JOIN queue_job p ON p.id = d.parent_id
    WHERE d.joint IN (SELECT joint FROM own) AND d.parent_id IS NOT NULL
      AND {blocks}
)
SELECT child_id, joint, id, state, count, failed FROM (
    SELECT own.child_id, joint, b.id, b.state, b.count, b.failed
    FROM own JOIN behind_joint b USING (joint) WHERE b.place <= %(limit)s
    UNION ALL
    SELECT own.child_id, NULL, p.id, p.state, 0, 0
    FROM own JOIN queue_job p ON p.id = own.parent_id
    WHERE own.joint IS NULL AND {blocks}
) AS blocking
ORDER BY state = 'failed' DESC, id

-- name: elected_runner
-- The session that has the lock of the election; its name is hidden from other roles.
-- A transaction sees the sessions of its first look, unless that is forgotten.
SELECT pg_stat_clear_snapshot();
SELECT activity.application_name, activity.backend_start AT TIME ZONE 'UTC',
    host(activity.client_addr)
FROM pg_locks lock LEFT JOIN pg_stat_activity activity ON activity.pid = lock.pid
WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 1
  AND lock.classid = %(high)s AND lock.objid = %(low)s
  AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- name: count_before
-- How many jobs that may run come before one, up to a limit.
SELECT count(*) FROM (
    SELECT FROM unnest(%(plain)s::varchar[]) AS asked(channel) CROSS JOIN LATERAL (
        SELECT FROM queue_job WHERE state = 'pending' AND eta IS NULL
          AND queue_job.channel = asked.channel AND (%(order)s) < %(rank)s LIMIT %(limit)s
    ) AS job
    UNION ALL
    SELECT FROM unnest(%(timed)s::varchar[]) AS asked(channel) CROSS JOIN LATERAL (
        SELECT FROM queue_job WHERE state = 'pending' AND eta IS NOT NULL AND eta <= %(now)s
          AND queue_job.channel = asked.channel AND (%(order)s) < %(rank)s LIMIT %(limit)s
    ) AS job
    LIMIT %(limit)s
) AS before

-- name: first_of_channels
-- The first job of each channel; of those whose eta has come, one that waits longest.
SELECT asked.channel, job.* FROM unnest(%(plain)s::varchar[]) AS asked(channel)
CROSS JOIN LATERAL (
    SELECT %(order)s FROM queue_job
    WHERE state = 'pending' AND eta IS NULL AND queue_job.channel = asked.channel
    ORDER BY %(order)s LIMIT 1
) AS job
UNION ALL
SELECT asked.channel, job.* FROM unnest(%(timed)s::varchar[]) AS asked(channel)
CROSS JOIN LATERAL (
    SELECT %(order)s FROM (
        SELECT priority, date_created, id FROM queue_job
        WHERE state = 'pending' AND eta IS NOT NULL AND eta <= %(now)s
          AND queue_job.channel = asked.channel
        ORDER BY eta, id LIMIT 100
    ) AS due
    ORDER BY %(order)s LIMIT 1
) AS job

-- name: earlier_with_eta
-- A better job of a channel that waits for its eta.
SELECT id, eta FROM queue_job
WHERE state = 'pending' AND eta IS NOT NULL AND eta > %(now)s AND channel = ANY(%(names)s)
  AND (%(order)s) < %(rank)s
ORDER BY eta, id LIMIT 1

-- name: last_start
-- The last start of a job that ended in some channels.
SELECT max(date_started) FROM queue_job
WHERE channel = ANY(%(names)s) AND date_done > %(since)s

-- name: jobs_in_progress
-- The jobs that take slots, started ones first.
SELECT id, channel, state, date_enqueued FROM queue_job
WHERE state IN ('enqueued', 'started') ORDER BY state = 'started' DESC, id
LIMIT %(limit)s

-- name: failed_in_channel
-- A few failed jobs of a channel.
SELECT id FROM queue_job WHERE state = 'failed'
  AND (channel = ANY(%(names)s) OR %(is_root)s AND channel IS NULL)
ORDER BY id LIMIT %(limit)s

-- name: has_jobs
-- Whether there is any job.
SELECT EXISTS (SELECT FROM queue_job)

-- name: release_dates
-- When the last parent of each job ended. A joint is gone through once.
WITH own AS MATERIALIZED (
    SELECT child_id, parent_id, joint FROM queue_job_dependency WHERE child_id = ANY(%(jobs)s)
), passed AS (
    SELECT d.joint, max(COALESCE(p.date_done, p.date_cancelled)) AS ended
    FROM queue_job_dependency d JOIN queue_job p ON p.id = d.parent_id
    WHERE d.joint IN (SELECT joint FROM own) GROUP BY d.joint
)
SELECT child_id, max(COALESCE(passed.ended, p.date_done, p.date_cancelled))
FROM own LEFT JOIN passed USING (joint) LEFT JOIN queue_job p ON p.id = own.parent_id
GROUP BY child_id

-- name: failures
-- The failed jobs by function, error and company, with the dates of their last runs.
SELECT min(id) AS id, channel_method_name AS function, exc_name, company_id,
    count(*)::int AS jobs_count,
    (count(*) FILTER (WHERE seen >= now - interval '1 hour'))::int AS last_hour,
    (count(*) FILTER (WHERE seen >= now - interval '1 day'))::int AS last_day,
    (count(*) FILTER (WHERE seen >= now - interval '7 days'))::int AS last_week,
    min(seen) AS first_seen, max(seen) AS last_seen, max(id) AS last_job_id
FROM (
    SELECT id, channel_method_name, company_id, {failed_at} AS seen,
        COALESCE(exc_cause, exc_name) AS exc_name,
        (now() AT TIME ZONE 'UTC') AS now
    FROM queue_job WHERE state = 'failed'
) AS job
GROUP BY channel_method_name, exc_name, company_id

-- part: failed_at
-- When a failed job failed, as near as its row says: the start of its last run.
COALESCE(date_started, date_enqueued, date_created)

-- name: is_of_companies
-- Belongs to one of some companies, or to none.
(company_id IS NULL OR company_id = ANY(%(companies)s))
