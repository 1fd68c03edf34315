-- name: side_settings
-- Of the side connection of a worker. What it writes is shown, and lost with the server
-- without harm. It waits for nothing: a job waits for it.
SET synchronous_commit = off;
SET lock_timeout = '1s';
SET statement_timeout = '5s';
SET application_name = 'queue_job side connection';
SET idle_in_transaction_session_timeout = '5s'
