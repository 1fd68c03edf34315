-- name: lock_cron
-- Lock a scheduled action as the scheduler does, and read it.
SELECT * FROM ir_cron WHERE id = %(cron)s FOR NO KEY UPDATE
