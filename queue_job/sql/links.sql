-- name: joint_sequence
-- The numbers of joints.
CREATE SEQUENCE IF NOT EXISTS queue_job_joint_seq OWNED BY queue_job_dependency.joint

-- name: next_joints
-- As many new numbers of joints.
SELECT nextval('queue_job_joint_seq') FROM generate_series(1, %(count)s)

-- name: add_links
-- Store links that are not there yet.
INSERT INTO queue_job_dependency (parent_id, child_id, joint)
SELECT * FROM unnest(%(parents)s::int[], %(children)s::int[], %(joints)s::int[])
ON CONFLICT DO NOTHING

-- name: add_links_of_uuids
-- Store links between jobs that exist.
INSERT INTO queue_job_dependency (parent_id, child_id)
SELECT parent.id, child.id
FROM unnest(%(parents)s::varchar[], %(children)s::varchar[]) AS pair(parent, child)
JOIN queue_job parent ON parent.uuid = pair.parent
JOIN queue_job child ON child.uuid = pair.child
ON CONFLICT DO NOTHING

-- name: drop_links
-- Delete the links to parents or to children of some jobs, joints excepted.
DELETE FROM queue_job_dependency WHERE joint IS NULL
AND (child_id = ANY(%(parents_of)s) OR parent_id = ANY(%(children_of)s))

-- name: pairs_of
-- Both ends of all links that start at some jobs, joints written out.
SELECT %(here)s, %(there)s FROM queue_job_dependency
WHERE %(here)s = ANY(%(ids)s) AND joint IS NULL
UNION
SELECT near.%(here)s, far.%(there)s
FROM queue_job_dependency near
JOIN queue_job_dependency far ON far.joint = near.joint AND far.%(there)s IS NOT NULL
WHERE near.%(here)s = ANY(%(ids)s) AND near.joint IS NOT NULL

-- name: linked_to
-- The jobs with a link to one of a query.
(
SELECT %(here)s FROM queue_job_dependency
WHERE %(there)s IN %(ids)s AND joint IS NULL AND %(here)s IS NOT NULL
UNION
SELECT %(here)s FROM queue_job_dependency
WHERE %(here)s IS NOT NULL AND joint IN (
    SELECT joint FROM queue_job_dependency
    WHERE %(there)s IN %(ids)s AND joint IS NOT NULL
))

-- name: links_after
-- The links of jobs to those that wait, or waited, for them.
SELECT parent_id, array_agg(COALESCE(joint, -child_id))
FROM queue_job_dependency WHERE parent_id = ANY(%(jobs)s) GROUP BY parent_id

-- name: has_dependents
-- Whether any job waits, or waited, for one.
SELECT EXISTS (SELECT FROM queue_job_dependency WHERE parent_id = %(job)s)

-- name: stored_links
-- The rows with one of some jobs at an end.
SELECT parent_id, child_id, joint FROM queue_job_dependency
WHERE parent_id = ANY(%(jobs)s) OR child_id = ANY(%(jobs)s)
