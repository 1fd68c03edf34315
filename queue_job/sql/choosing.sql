-- part: created
-- No date of creation sorts before all: the index says the same.
COALESCE(date_created, '1970-01-01 00:00:00'::timestamp)

-- part: rank
-- The order in which jobs start. The expressions of orders and conditions are those of the
-- partial indexes in models/queue_job.py: a literal that differs turns an index scan of
-- milliseconds into a sort of all waiting jobs.
COALESCE(priority, 0), {created}, id

-- part: by_eta
-- The order in which etas come.
eta, id

-- part: by_id
-- The order of creation.
id

-- part: readable_date
-- A date that Python has, too: one that is out of its range comes as the first or last.
CASE WHEN date_created IS NOT NULL THEN GREATEST(
    LEAST(date_created, '9999-12-31 23:59:59'), '0001-01-01 00:00:00'
) END

-- part: contract_columns
-- The arguments of ChannelManager.notify after the database.
channel, uuid, id, {readable_date}, priority, EXTRACT(EPOCH FROM eta)::float8, state

-- part: columns
-- The fields of rows.Row.
{contract_columns}, COALESCE(channel_method_name, model_name || '.' || method_name)

-- part: plain
-- May run now.
state = 'pending' AND eta IS NULL

-- part: timed
-- Has an eta, which may have come.
state = 'pending' AND eta IS NOT NULL

-- part: is_failed
-- Blocks its channel, if that is sequential.
state = 'failed'

-- part: plain_after
-- From the last known job on: the entries of the jobs before it, which ended but
-- cannot be vacuumed while a long job runs, are not walked over.
{plain} AND ({rank}) > %(after)s

-- part: timed_after
-- The same for etas.
{timed} AND ({by_eta}) > %(after)s


-- name: select_jobs
-- The columns of the contract; Database.select_jobs adds the condition.
SELECT {contract_columns} FROM queue_job WHERE

-- name: read_jobs
-- The rows of some jobs.
EXECUTE queue_job_read(%(uuids)s::varchar[])

-- part: channels_with
-- A loose index scan: one step of the index for each channel, not one for each job.
-- The order says which index is meant; the one on the channel alone holds all jobs
-- that ever were.
(WITH RECURSIVE seen(channel) AS (
    (SELECT channel FROM queue_job WHERE {condition} AND channel IS NOT NULL
     ORDER BY channel, {order} LIMIT 1)
    UNION ALL
    SELECT (SELECT channel FROM queue_job WHERE {condition} AND channel > seen.channel
            ORDER BY channel, {order} LIMIT 1)
    FROM seen WHERE seen.channel IS NOT NULL
 )
 SELECT channel FROM seen WHERE channel IS NOT NULL)
UNION
(SELECT channel FROM queue_job WHERE {condition} AND channel IS NULL
 ORDER BY channel, {order} LIMIT 1)

-- name: plain_channels
-- The channels in which jobs wait without an eta.
{channels_with condition=plain order=rank}

-- name: timed_channels
-- The channels in which jobs have an eta.
{channels_with condition=timed order=by_eta}

-- name: waiting_channels
-- The channels in which jobs are pending.
{channels_with condition=plain order=rank}
UNION {channels_with condition=timed order=by_eta}

-- name: failed_channels
-- The channels in which jobs have failed.
{channels_with condition=is_failed order=by_id}

-- part: window
-- The first rows of each channel. The jobs without a channel are read apart: no index finds
-- them by the comparison that finds the others, nor in an order without the channel.
SELECT job.* FROM unnest(%(names)s::varchar[]) AS asked(channel)
CROSS JOIN LATERAL (
    SELECT {columns} FROM queue_job WHERE {condition} AND queue_job.channel = asked.channel
    ORDER BY {order} LIMIT %(limit)s
) AS job
UNION ALL
(SELECT job.* FROM (
    SELECT {columns} FROM queue_job WHERE {condition} AND channel IS NULL
    ORDER BY channel, {order} LIMIT %(limit)s
) AS job WHERE array_position(%(names)s::varchar[], NULL) IS NOT NULL)

-- name: candidates
-- The best pending jobs without eta of each channel.
{window condition=plain order=rank}

-- name: candidates_after
-- The next ones.
{window condition=plain_after order=rank}

-- name: timed_candidates
-- The pending jobs of each channel whose eta comes next.
{window condition=timed order=by_eta}

-- name: timed_candidates_after
-- The next ones.
{window condition=timed_after order=by_eta}

-- name: failed_jobs
-- Some failed jobs of each channel.
{window condition=is_failed order=by_id}

-- name: running_jobs
-- The jobs that are enqueued or started.
SELECT {columns} FROM queue_job WHERE state IN ('enqueued', 'started')

-- name: channel_columns
-- The columns of channel records, of which an older database lacks some.
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass('queue_job_channel') AND NOT attisdropped

-- name: channel_records
-- The settings of channel records; a database that is not upgraded yet lacks the last ones.
SELECT complete_name, capacity, sequential, throttle, paused,
    extract(epoch FROM (to_jsonb(channel) ->> 'paused_until')::timestamp)::float8,
    (to_jsonb(channel) ->> 'capacity_default')::int,
    (to_jsonb(channel) ->> 'sequential_default')::boolean
FROM queue_job_channel AS channel

-- name: unreported
-- Jobs whose failure is still to be announced; those that were asked for in vain come last.
SELECT uuid FROM queue_job WHERE to_report AND state = 'failed'
ORDER BY uuid = ANY(%(behind)s), id LIMIT 50
