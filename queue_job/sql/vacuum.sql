-- name: old_jobs
-- Jobs that ended before the deadline of their channel, the oldest first. A failed job
-- goes by the deadline for failures, where its channel has one.
SELECT job.id FROM queue_job job
LEFT JOIN unnest(%(channels)s::varchar[], %(deadlines)s::timestamp[])
  AS ended(channel, deadline) ON ended.channel = job.channel
LEFT JOIN unnest(%(failed_channels)s::varchar[], %(failed_deadlines)s::timestamp[])
  AS failed(channel, deadline) ON failed.channel = job.channel
WHERE ((job.state IN ('done', 'cancelled')
       AND LEAST(job.date_done, job.date_cancelled)
           <= COALESCE(ended.deadline, %(deadline)s))
   OR (job.state = 'failed'
       AND COALESCE(job.date_started, job.date_enqueued, job.date_created)
           <= CASE WHEN ended.channel IS NULL THEN %(failed_deadline)s
              ELSE failed.deadline END))
  AND job.id <> ALL(%(kept)s)
ORDER BY job.date_done, job.date_created
LIMIT %(limit)s
