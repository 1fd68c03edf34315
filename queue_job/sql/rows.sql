-- name: read_row
-- The columns that a job is loaded from, and the version of the row.
SELECT %(columns)s, xmin::text AS version%(more)s FROM queue_job

-- name: read_row_of_uuid
-- The row of one job.
%(row)s WHERE uuid = %(uuid)s LIMIT 1

-- name: read_rows
-- The rows with given values of one column.
SELECT job.* FROM unnest(%(values)s::%(type)s[]) AS asked(value)
CROSS JOIN LATERAL (%(row)s WHERE %(name)s = asked.value LIMIT 1) AS job

-- name: write_equal
-- Write equal values to all rows in one statement.
UPDATE queue_job SET %(assignments)s WHERE id = ANY(%(ids)s)

-- name: assignment
-- One column of such a statement.
%(column)s = %(value)s::%(type)s

-- name: insert_row
-- Insert the row of one job.
INSERT INTO queue_job (%(columns)s) VALUES (%(values)s) RETURNING id
