-- part: blocks
-- A parent that is cancelled blocks no dependent: they were cancelled with it, and a
-- person who requeues one of them alone wants it to run.
p.state NOT IN ('done', 'cancelled')

-- part: blocks_now
-- The parent of the link d blocks its child.
(SELECT {blocks} FROM queue_job p WHERE p.id = d.parent_id)

-- part: blocks_then
-- Or is one of the jobs that become pending.
(d.parent_id = ANY(%(jobs)s) OR {blocks_now})

-- part: last_blocking
-- The parent that blocks a job, without joints.
(
    SELECT d.parent_id FROM queue_job_dependency d
    WHERE d.child_id = job.id AND d.joint IS NULL AND {condition}
    ORDER BY d.parent_id DESC LIMIT 1
)

-- part: is_behind_open_joint
-- A joint that is open blocks the job.
EXISTS (
    SELECT FROM queue_job_dependency d JOIN open ON open.joint = d.joint
    WHERE d.child_id = job.id AND d.parent_id IS NULL
)

-- name: release_functions
-- The jobs that wait for nothing now, behind some jobs or among some. Functions, because
-- planning such a query takes longer than its execution, and because the first
-- step, which mostly finds none, must not be mixed with the second.
--
-- The parents of a job or a joint are read from the last one backwards, because
-- that one ends last: one read, not one per parent. By a subquery, not a join or EXISTS:
-- for those the planner would rather walk over all jobs, from the newest on. A joint is
-- read once for all its jobs: a query that is not MATERIALIZED is executed for
-- each row. The jobs found are locked in the order of their ids.
CREATE OR REPLACE FUNCTION queue_job_joint_is_open(which integer) RETURNS boolean AS $$
DECLARE
    blocking integer;
BEGIN
    SELECT d.parent_id INTO blocking FROM queue_job_dependency d
    WHERE d.joint = which AND d.parent_id IS NOT NULL
      AND {blocks_now}
    ORDER BY d.parent_id DESC LIMIT 1;
    RETURN FOUND;
END;
$$ LANGUAGE plpgsql STABLE;

CREATE OR REPLACE FUNCTION queue_job_free_among(jobs integer[]) RETURNS SETOF integer AS $$
DECLARE
    open_joints integer[];
BEGIN
    WITH before AS MATERIALIZED (
        SELECT DISTINCT d.joint FROM queue_job_dependency d
        WHERE d.child_id = ANY(jobs) AND d.parent_id IS NULL
    )
    SELECT array_agg(joint) INTO open_joints FROM before WHERE queue_job_joint_is_open(joint);
    RETURN QUERY
    SELECT job.id FROM queue_job job
    -- Not "=": while statistics say that hardly any job waits, the planner would rather
    -- read all that wait.
    WHERE job.id = ANY(jobs) AND job.state IS NOT DISTINCT FROM 'wait_dependencies'
      AND {last_blocking condition=blocks_now} IS NULL
      AND (open_joints IS NULL OR NOT EXISTS (
        SELECT FROM queue_job_dependency d
        WHERE d.child_id = job.id AND d.parent_id IS NULL AND d.joint = ANY(open_joints)
      ))
    ORDER BY job.id
    FOR NO KEY UPDATE OF job;
END;
$$ LANGUAGE plpgsql;

CREATE OR REPLACE FUNCTION queue_job_free_behind(jobs integer[]) RETURNS SETOF integer AS $$
DECLARE
    children integer[];
BEGIN
    WITH own AS MATERIALIZED (
        SELECT DISTINCT d.joint FROM queue_job_dependency d
        WHERE d.parent_id = ANY(jobs) AND d.joint IS NOT NULL
    )
    SELECT array_agg(child_id) INTO children FROM (
        SELECT child_id FROM queue_job_dependency
        WHERE parent_id = ANY(jobs) AND joint IS NULL
        UNION
        SELECT d.child_id FROM queue_job_dependency d
        WHERE d.child_id IS NOT NULL AND d.joint IN (
            SELECT joint FROM own WHERE NOT queue_job_joint_is_open(joint)
        )
    ) AS behind;
    IF children IS NOT NULL THEN
        RETURN QUERY SELECT queue_job_free_among(children);
    END IF;
END;
$$ LANGUAGE plpgsql;

-- Whether no job is to be released behind a job. The answer is no while another session
-- moves those jobs.
CREATE OR REPLACE FUNCTION queue_job_frees_nobody(job_id integer) RETURNS boolean AS $$
BEGIN
    -- Most often it has no dependent, or is not the last parent of its joint.
    PERFORM FROM queue_job_dependency d
    WHERE d.parent_id = job_id AND (d.joint IS NULL OR NOT queue_job_joint_is_open(d.joint));
    IF NOT FOUND THEN
        RETURN true;
    END IF;
    BEGIN
        PERFORM queue_job_free_behind(ARRAY[job_id]);
        RETURN NOT FOUND;
    EXCEPTION WHEN serialization_failure OR deadlock_detected OR lock_not_available THEN
        RETURN false;
    END;
END;
$$ LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan;

-- name: free_behind
-- Lock the jobs that waited for some jobs and wait for nothing now.
SELECT queue_job_free_behind(%(jobs)s)

-- name: free_among
-- Lock those of some jobs that wait for nothing.
SELECT queue_job_free_among(%(jobs)s)

-- name: release
-- Make locked jobs pending, where no override of write() wants to know.
UPDATE queue_job SET state = 'pending' WHERE id = ANY(%(jobs)s)

-- name: held_back
-- Those of some jobs that a parent holds back, which may be another one of them: all
-- become pending together.
WITH before AS MATERIALIZED (
    SELECT DISTINCT d.joint FROM queue_job_dependency d
    WHERE d.child_id = ANY(%(jobs)s) AND d.parent_id IS NULL
), open AS MATERIALIZED (
    SELECT joint FROM before WHERE queue_job_joint_is_open(joint) OR EXISTS (
        SELECT FROM queue_job_dependency d
        WHERE d.joint = before.joint AND d.parent_id = ANY(%(jobs)s)
    )
)
SELECT job.id FROM unnest(%(jobs)s) AS job(id)
WHERE {last_blocking condition=blocks_then} IS NOT NULL OR {is_behind_open_joint}

-- name: waiting_behind
-- All jobs that wait for some, directly or not. Goes through each joint once, however
-- many parents it has.
WITH RECURSIVE behind(id, joint) AS (
    SELECT id, NULL::integer FROM unnest(%(jobs)s) AS parent(id)
    UNION
    SELECT next.id, next.joint FROM behind CROSS JOIN LATERAL (
        SELECT d.child_id AS id, d.joint FROM queue_job_dependency d
        WHERE d.parent_id = behind.id
        UNION ALL
        SELECT d.child_id, NULL FROM queue_job_dependency d
        WHERE d.joint = behind.joint AND d.child_id IS NOT NULL
    ) AS next
    WHERE next.id IS NULL OR (
        SELECT state = 'wait_dependencies' FROM queue_job child WHERE child.id = next.id
    )
)
SELECT child.id FROM queue_job child
WHERE child.id IN (SELECT id FROM behind) AND child.state = 'wait_dependencies'

-- name: behind_cancelled
-- Those of some jobs that wait for a parent that was cancelled.
SELECT child.id FROM queue_job child
WHERE child.id = ANY(%(jobs)s) AND child.state = 'wait_dependencies' AND EXISTS (
    SELECT FROM queue_job_dependency d
    LEFT JOIN queue_job_dependency j
        ON d.parent_id IS NULL AND j.joint = d.joint AND j.parent_id IS NOT NULL
    JOIN queue_job p ON p.id = COALESCE(d.parent_id, j.parent_id)
    WHERE d.child_id = child.id AND p.state = 'cancelled'
)

-- name: release_behind_ended
-- Make pending the jobs that wait for some and wait for nothing now, as a worker does after
-- the commit of a job, if it lives.
WITH free AS MATERIALIZED (
    SELECT queue_job_free_behind(
        ARRAY(SELECT id FROM queue_job WHERE uuid = ANY(%(uuids)s))
    ) AS id
)
{release_free}

-- part: release_free
-- Make pending the jobs that were locked.
UPDATE queue_job SET state = 'pending' FROM free
WHERE queue_job.id = free.id AND queue_job.state IS NOT DISTINCT FROM 'wait_dependencies'
RETURNING queue_job.uuid

-- name: release_unblocked
-- Make pending those of some jobs that can be locked.
WITH free AS MATERIALIZED (
    SELECT id FROM queue_job
    WHERE id = ANY(%(ids)s) AND state IS NOT DISTINCT FROM 'wait_dependencies'
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
{release_free}

-- part: old_waiting_jobs
-- The next jobs that wait for a while, and whether a parent blocks them. Rows of older
-- databases know their parents by uuid only: those are found in the text, because a cast of
-- a text that is no JSON fails the statement for all.
WITH job AS MATERIALIZED (
    SELECT id, dependencies FROM queue_job
    WHERE state = 'wait_dependencies' AND id > %(after)s
      AND {created} < (now() AT TIME ZONE 'UTC') - interval %(age)s
    ORDER BY id LIMIT 500
), before AS MATERIALIZED (
    SELECT DISTINCT d.joint FROM job JOIN queue_job_dependency d ON d.child_id = job.id
    WHERE d.parent_id IS NULL
), open AS MATERIALIZED (
    SELECT joint FROM before WHERE queue_job_joint_is_open(joint)
)
SELECT job.id,
    {last_blocking condition=blocks_now} IS NOT NULL OR {is_behind_open_joint} OR EXISTS (
        SELECT FROM regexp_matches(
            substring(job.dependencies FROM '"depends_on" *: *\[([^]]*)\]'), '"([^"]*)"', 'g'
        ) AS parent(uuid)
        WHERE (SELECT bool_or({blocks}) FROM queue_job p WHERE p.uuid = parent.uuid[1])
    ) AS is_blocked
FROM job ORDER BY job.id

-- name: old_waiting
-- The same, by itself.
{old_waiting_jobs}
