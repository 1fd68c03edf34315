-- name: jobs_about
-- The jobs about some records, alone or among others. One set, because PostgreSQL uses no
-- index for one side of an "or" beside a subquery.
(SELECT id FROM queue_job WHERE record_id = ANY(%(ids)s)
UNION ALL SELECT id FROM queue_job WHERE record_ids && %(ids)s::int[])

-- name: fill_records
-- Fill the columns of the records of jobs that were stored without them. The document is
-- a string that holds it, or, of other writers, the document itself.
WITH document AS (
    SELECT id AS job_id, CASE jsonb_typeof(records)
        WHEN 'string' THEN (records #>> '{}')::jsonb ELSE records
        END -> 'ids' AS ids
    FROM queue_job
    WHERE model_name = %(model)s AND record_id IS NULL AND record_ids IS NULL
)
UPDATE queue_job SET
    record_id = CASE WHEN jsonb_array_length(ids) = 1 THEN (ids->>0)::int END,
    record_ids = CASE WHEN jsonb_array_length(ids) > 1 THEN ARRAY(
        SELECT jsonb_array_elements_text(ids)::int
    ) END
FROM document
WHERE id = job_id AND jsonb_typeof(ids) = 'array' AND ids != '[]'::jsonb
