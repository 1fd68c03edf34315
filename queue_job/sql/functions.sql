-- name: named_methods
-- The methods that job functions name, with the XML id of each. By to_jsonb, because a
-- database before its update lacks columns.
SELECT COALESCE(data.module || '.' || data.name, function.name), model.model,
    ARRAY[function.method, to_jsonb(function) ->> 'on_fail_method']
FROM queue_job_function AS function
JOIN ir_model AS model ON model.id = function.model_id
LEFT JOIN ir_model_data AS data
  ON data.model = 'queue.job.function' AND data.res_id = function.id
ORDER BY function.id
