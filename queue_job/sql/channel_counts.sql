-- name: is_due
-- Condition: the eta has come.
state = 'pending' AND eta IS NOT NULL AND eta <= (now() AT TIME ZONE 'UTC')

-- name: is_scheduled
-- Condition: the eta is to come.
state = 'pending' AND eta IS NOT NULL AND eta > (now() AT TIME ZONE 'UTC')

-- name: in_progress_by_channel
-- Jobs that take slots, by channel and state.
SELECT channel, state, count(*)::int FROM (
    SELECT channel, state, company_id FROM queue_job
    WHERE state IN ('enqueued', 'started') LIMIT %(limit)s
) AS job WHERE %(visible)s GROUP BY 1, 2

-- name: some_jobs
-- Jobs to count. No column: where the index alone will do, the table is not read.
SELECT FROM queue_job WHERE %(condition)s AND %(match)s LIMIT %(limit)s

-- name: some_jobs_of_companies
-- Jobs of a channel to count, of some companies or of none.
({jobs_of_channel} = ANY(%(companies)s) LIMIT %(limit)s)
UNION ALL
({jobs_of_channel} IS NULL LIMIT %(limit)s)

-- part: jobs_of_channel
-- The jobs of a channel in a state, with a condition on their company.
SELECT state, eta FROM queue_job WHERE state = %(state)s AND %(match)s AND company_id

-- name: count_such
-- How many of the jobs read are such.
(count(*) FILTER (WHERE %(condition)s))::int

-- name: count_in_channels
-- Counts of jobs read, for each channel and for jobs without one.
SELECT asked.channel, seen.*
FROM unnest(%(names)s::varchar[]) AS asked(channel) CROSS JOIN LATERAL (
    SELECT count(*)::int, %(counts)s FROM (%(named)s) AS job
) AS seen
UNION ALL
SELECT NULL, count(*)::int, %(counts)s FROM (%(nameless)s) AS job
WHERE array_position(%(names)s::varchar[], NULL) IS NOT NULL

-- name: dependents_by_channel
-- Jobs that wait for others, by channel: all, and those to count.
SELECT channel, count(*)::int, (count(*) FILTER (WHERE %(visible)s))::int FROM (
    SELECT channel, company_id FROM queue_job
    WHERE state = 'wait_dependencies' LIMIT %(limit)s
) AS job GROUP BY 1

-- part: plain_jobs
-- The jobs of a channel that may start, as their index knows them.
SELECT COALESCE(priority, 0) AS priority, date_created, company_id FROM queue_job
WHERE state = 'pending' AND eta IS NULL AND %(match)s

-- name: oldest_of_channels
-- The date of the job that waits longest, for each channel. The index is ordered by
-- priority, then date: the first job of each priority is looked up.
SELECT asked.channel, min(seen.date_created)
FROM unnest(%(names)s::varchar[]) AS asked(channel) CROSS JOIN LATERAL (
    WITH RECURSIVE first AS (
        (SELECT job.*, 1 AS depth FROM ({plain_jobs} ORDER BY %(order)s LIMIT 1) AS job)
        UNION ALL
        SELECT job.*, first.depth + 1 FROM first CROSS JOIN LATERAL (
            {plain_jobs} AND COALESCE(priority, 0) > first.priority
            ORDER BY %(order)s LIMIT 1
        ) AS job WHERE first.depth < %(depth)s
    )
    SELECT date_created FROM first WHERE %(visible)s
) AS seen GROUP BY 1

-- name: of_asked_channel
-- Condition: of the channel asked about.
channel = asked.channel

-- name: of_no_channel
-- Condition: without channel.
channel IS NULL

-- name: oldest_due_of_channels
-- The eta that passed first, for each channel.
SELECT asked.channel, job.eta FROM unnest(%(names)s::varchar[]) AS asked(channel)
CROSS JOIN LATERAL (
    SELECT eta, company_id FROM queue_job
    WHERE state = 'pending' AND eta IS NOT NULL AND eta <= (now() AT TIME ZONE 'UTC')
      AND channel = asked.channel ORDER BY eta, id LIMIT 1
) AS job WHERE %(visible)s

-- name: statistics_of_pairs
-- How many jobs each pair of state and channel has: the two are not independent.
CREATE STATISTICS IF NOT EXISTS queue_job_state_channel (mcv) ON state, channel FROM queue_job

-- name: estimates_of_pairs
-- The shares that ANALYZE found of each pair, and what changed since.
SELECT stats.most_common_vals, stats.most_common_freqs, class.reltuples,
    pg_stat_get_mod_since_analyze(class.oid)
FROM pg_stats_ext stats, pg_class class
WHERE stats.statistics_name = 'queue_job_state_channel'
  AND stats.schemaname = current_schema()
  AND class.oid = 'queue_job'::regclass

-- name: entries_of_pending
-- The entries of the indexes on pending jobs, as VACUUM found them.
SELECT relname, GREATEST(reltuples, 0)::float8 FROM pg_class
WHERE relname IN ('queue_job_candidates_index', 'queue_job_eta_index')
  AND relnamespace = current_schema()::regnamespace
