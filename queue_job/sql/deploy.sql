-- name: record_deploy
-- Record versions of modules that were not seen before. Whoever loads a registry at the
-- same time does not wait for this transaction, which may be a long upgrade.
INSERT INTO queue_job_deploy (fingerprint, date)
SELECT %(fingerprint)s, now() AT TIME ZONE 'UTC'
WHERE NOT EXISTS (SELECT FROM queue_job_deploy WHERE fingerprint = %(fingerprint)s)
  AND pg_try_advisory_xact_lock(hashtext('queue_job_deploy'))
ON CONFLICT DO NOTHING
