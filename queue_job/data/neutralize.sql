-- pause all jobs: those that wait would do here what the original does with them
-- (a database that comes from OCA's queue_job has the column after its update only)
ALTER TABLE queue_job_channel ADD COLUMN IF NOT EXISTS paused boolean;
UPDATE queue_job_channel
   SET paused = true
 WHERE name = 'root'
   AND parent_id IS NULL;
