# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The statements of the runner, by name; ``database.py`` sends them.

The expressions of the conditions and orders are those of the partial indexes
in ``models/queue_job.py``: a literal that differs turns an index scan of
milliseconds into a sort of all waiting jobs.

Every job passes through every index on the state, and its entries stay there as
long as the longest running job pins the horizon of vacuum. So what is asked
often finds jobs by key, and compares states in a way that no index offers
(``IS NOT DISTINCT FROM``): the planner believes those indexes to be almost empty
and would walk over what passed through.
"""

from typing import NamedTuple

from ..channels.queue import rank_of

# No date of creation sorts before all: the index says the same.
_CREATED = "COALESCE({q}date_created, '1970-01-01 00:00:00'::timestamp)"

# A date that Python has, too: one that is out of its range comes as the first or last.
FIRST_DATE, LAST_DATE = "0001-01-01 00:00:00", "9999-12-31 23:59:59"
READABLE_DATE = f"""CASE WHEN date_created IS NOT NULL
    THEN GREATEST(LEAST(date_created, '{LAST_DATE}'), '{FIRST_DATE}') END"""
CONTRACT_COLUMNS = (
    f"channel, uuid, id, {READABLE_DATE}, priority, "
    "EXTRACT(EPOCH FROM eta)::float8, state"
)
_COLUMNS = (
    CONTRACT_COLUMNS
    + ", COALESCE(channel_method_name, model_name || '.' || method_name)"
)


class Row(NamedTuple):
    """What the runner reads of a job."""

    channel: str | None
    uuid: str
    id: int
    date_created: object
    priority: int | None
    eta: float | None
    state: str
    function: str | None

    @property
    def rank(self):
        return rank_of(self.priority, self.date_created, self.id)


# Of this session. A lock of somebody who rebuilds the table is not waited for: other
# databases have jobs too. PostgreSQL must notice a runner that vanished. Nothing
# that the runner writes needs to reach the disk before somebody relies on it: the
# claim of a worker flushes the mark before it, and a mark, a sweep or a job put
# back that is lost with the server is done again. All statements take few rows by
# key, or in the order of an index: the planner is not to find out, from statistics
# of an hour ago, that a sort would do as well.
SESSION_SETTINGS = """
SET lock_timeout = '1s';
SET statement_timeout = '40s';
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = '20s';
SET default_transaction_isolation = 'read committed';
SET synchronous_commit = off;
SET jit = off;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET enable_incremental_sort = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off
"""

# PostgreSQL 13 has no such setting.
LIMIT_IDLENESS = """
SELECT set_config(name, %s, false) FROM pg_settings WHERE name = 'idle_session_timeout'
"""
HAS_MODULE_TABLE = "SELECT to_regclass('ir_module_module') IS NOT NULL"
IS_INSTALLED = """
SELECT true FROM ir_module_module WHERE name = 'queue_job' AND state IN ('installed', 'to upgrade')
"""
COUNT_COLUMNS = """
SELECT count(*) FROM pg_attribute
WHERE attrelid = to_regclass('queue_job') AND attname = ANY(%s) AND NOT attisdropped
"""
TRY_LOCK = "SELECT pg_try_advisory_lock(%s)"
# A connection of this process that was lost and whose end PostgreSQL has not seen.
END_BACKEND = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %s AND application_name = %s AND datname = current_database()
"""
BACKEND_LIVES = """
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE pid = %s AND application_name = %s AND datname = current_database()
)
"""

READ = f"SELECT {_COLUMNS} FROM queue_job WHERE uuid = ANY(%s)"

# A loose index scan: one step of the index for each channel, not one for each job.
# The order says which index is meant; the one on the channel alone holds all jobs
# that ever were.
_LOOSE = """
    (SELECT channel FROM queue_job WHERE {condition} AND channel IS NOT NULL
     ORDER BY channel, {order} LIMIT 1)
    UNION ALL
    SELECT (SELECT channel FROM queue_job WHERE {condition} AND channel > seen.channel
            ORDER BY channel, {order} LIMIT 1)
    FROM seen WHERE seen.channel IS NOT NULL
"""


def _channels_where(condition, order):
    return f"""
    (WITH RECURSIVE seen(channel) AS ({_LOOSE.format(condition=condition, order=order)})
     SELECT channel FROM seen WHERE channel IS NOT NULL)
    UNION
    (SELECT channel FROM queue_job WHERE {condition} AND channel IS NULL
     ORDER BY channel, {order} LIMIT 1)
    """


_PLAIN = "state = 'pending' AND eta IS NULL"
_TIMED = "state = 'pending' AND eta IS NOT NULL"
# In which order jobs start.
RANK = f"COALESCE(priority, 0), {_CREATED.format(q='')}, id"

PLAIN_CHANNELS = _channels_where(_PLAIN, RANK)
TIMED_CHANNELS = _channels_where(_TIMED, "eta, id")
WAITING_CHANNELS = f"{PLAIN_CHANNELS} UNION {TIMED_CHANNELS}"
FAILED_CHANNELS = _channels_where("state = 'failed'", "id")


def _window(condition, order):
    """Return the statement that reads the first rows of each channel.

    The jobs without a channel are read apart: no index finds them by the
    comparison that finds the others, nor in an order without the channel.
    """
    first = f"SELECT {_COLUMNS} FROM queue_job WHERE {condition}"
    return f"""
    SELECT job.* FROM unnest(%(names)s::varchar[]) AS asked(channel)
    CROSS JOIN LATERAL (
        {first} AND queue_job.channel = asked.channel ORDER BY {order} LIMIT %(limit)s
    ) AS job
    UNION ALL
    (SELECT job.* FROM (
        {first} AND channel IS NULL ORDER BY channel, {order} LIMIT %(limit)s
    ) AS job WHERE array_position(%(names)s::varchar[], NULL) IS NOT NULL)
    """


CANDIDATES = _window(_PLAIN, RANK)
# From the last known job on: the entries of the jobs before it, which ended but
# cannot be vacuumed while a long job runs, are not walked over.
CANDIDATES_AFTER = _window(f"{_PLAIN} AND ({RANK}) > %(after)s", RANK)
TIMED = _window(_TIMED, "eta, id")
TIMED_AFTER = _window(f"{_TIMED} AND (eta, id) > %(after)s", "eta, id")
FAILED = _window("state = 'failed'", "id")

RUNNING = f"SELECT {_COLUMNS} FROM queue_job WHERE state IN ('enqueued', 'started')"

CHANNEL_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass('queue_job_channel') AND NOT attisdropped
"""
CHANNEL_RECORDS = """
SELECT complete_name, capacity, sequential, throttle, paused FROM queue_job_channel
"""
MODULES_CHANGING = """
SELECT EXISTS (
    SELECT FROM ir_module_module WHERE state IN ('to install', 'to upgrade', 'to remove')
)
"""
SECRET = "SELECT value FROM ir_config_parameter WHERE key = 'database.secret'"
# Those that were asked for in vain come last.
UNREPORTED = """
SELECT uuid FROM queue_job WHERE to_report AND state = 'failed'
ORDER BY uuid = ANY(%(behind)s), id LIMIT 50
"""

# The row lock is asked for first and not waited for; then the keys, each only
# tried. What a refused caller holds stays pending and is looked at again.
_OBTAINED = """
WITH free AS MATERIALIZED (
    SELECT id, identity_key, twin_key FROM queue_job
    WHERE id = ANY(%(ids)s) AND state IS NOT DISTINCT FROM 'pending'
      AND (eta IS NULL OR eta <= to_timestamp(%(now)s + 1) AT TIME ZONE 'UTC')
    FOR NO KEY UPDATE SKIP LOCKED
), obtained AS MATERIALIZED (
    SELECT id FROM free
    WHERE queue_job_key_is_free(identity_key) AND queue_job_key_is_free(twin_key)
)
"""
# Which of some jobs could be marked now.
OBTAINABLE = f"{_OBTAINED} SELECT id FROM obtained"
MARK = f"""{_OBTAINED}
UPDATE queue_job SET state = 'enqueued', date_enqueued = %(date)s
FROM obtained
WHERE queue_job.id = obtained.id AND queue_job.state IS NOT DISTINCT FROM 'pending'
RETURNING queue_job.uuid
"""
# What each run costs, planned once for each connection: planning takes longer than
# execution.
PREPARED = f"""
SET plan_cache_mode = force_generic_plan;
PREPARE queue_job_read (varchar[]) AS {READ % "$1"};
PREPARE queue_job_mark (integer[], double precision, timestamp) AS
{MARK % {"ids": "$1", "now": "$2", "date": "$3"}}
"""
EXECUTE_READ = "EXECUTE queue_job_read(%s::varchar[])"
EXECUTE_MARK = "EXECUTE queue_job_mark(%(ids)s::integer[], %(now)s, %(date)s)"
# A job that can never run, with the reason for people to see.
FAIL_UNUSABLE = """
WITH free AS MATERIALIZED (
    SELECT id FROM queue_job WHERE id = %(id)s AND state IS NOT DISTINCT FROM 'pending'
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE queue_job SET state = 'failed', exc_name = 'UnusableJob',
    exc_message = %(reason)s, exc_info = %(reason)s
FROM free WHERE queue_job.id = free.id AND queue_job.state IS NOT DISTINCT FROM 'pending'
"""
MARK_ONE = """
UPDATE queue_job SET state = 'enqueued', date_enqueued = %s
WHERE uuid = %s AND state IS NOT DISTINCT FROM 'pending'
"""
# Whoever claims holds the row: it is skipped, and is right.
PUT_BACK = """
WITH free AS MATERIALIZED (
    SELECT id FROM queue_job WHERE uuid = ANY(%s) AND state IS NOT DISTINCT FROM 'enqueued'
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE queue_job SET state = 'pending', date_enqueued = NULL
FROM free WHERE queue_job.id = free.id AND queue_job.state IS NOT DISTINCT FROM 'enqueued'
RETURNING queue_job.uuid
"""

# A dead job was sent to a worker or claimed by one, and nobody holds its lock.
# Both locks are taken before the move and none is waited for: a lock row that is
# held means alive, a job row that is held is being moved by somebody. Locking
# a row reads its newest version, so a job that ended after the statement began no
# longer matches. The run number is left alone: the old worker, should it come
# back, finds another state or another number and writes nothing.
#
# A started job has used up a try; the others were never tried, and fail only
# when their tries were used up before. A try that was used up is kept as an attempt.
#
# A job whose worker died may have been the reason. It waits for 5 seconds, 20, 45, 80 and
# so on, and the others run: at once it would be the next one again.
DEAD_JOBS = """
WITH freed AS MATERIALIZED (
    SELECT l.queue_job_id FROM queue_job_lock l JOIN queue_job q ON q.id = l.queue_job_id
    WHERE {condition}
    FOR NO KEY UPDATE OF l SKIP LOCKED
), dead AS MATERIALIZED (
    SELECT q.id, q.state = 'started' AS was_started,
        LEAST(COALESCE(q.retry, 0), 2147483646) + 1 AS tries,
        CASE
            WHEN COALESCE(q.max_retries, 0) <= 0 THEN false
            WHEN q.state = 'started' THEN COALESCE(q.retry, 0) >= q.max_retries - 1
            ELSE COALESCE(q.retry, 0) > q.max_retries
        END AS is_over
    FROM queue_job q
    WHERE {condition}
      AND (
        q.id IN (SELECT queue_job_id FROM freed)
        OR NOT EXISTS (SELECT FROM queue_job_lock l WHERE l.queue_job_id = q.id)
      )
    FOR NO KEY UPDATE OF q SKIP LOCKED
), moved AS (
    UPDATE queue_job SET
        state = CASE WHEN dead.is_over THEN 'failed' ELSE 'pending' END,
        retry = CASE WHEN dead.was_started THEN dead.tries ELSE queue_job.retry END,
        eta = CASE WHEN dead.was_started AND NOT dead.is_over
            THEN (now() AT TIME ZONE 'UTC') + LEAST(dead.tries, 8) ^ 2 * interval '5 seconds'
            ELSE queue_job.eta END,
        exc_name = CASE WHEN dead.is_over THEN 'JobFoundDead' ELSE queue_job.exc_name END,
        exc_message = CASE WHEN dead.is_over
            THEN 'The worker that ran this job vanished, or could not say what became of it, '
                || 'and its tries are used up'
            ELSE queue_job.exc_message END,
        exc_info = CASE WHEN dead.is_over
            THEN 'Job found dead after too many retries' ELSE queue_job.exc_info END,
        to_report = CASE WHEN dead.is_over THEN true ELSE queue_job.to_report END
    FROM dead
    WHERE queue_job.id = dead.id AND (
        queue_job.state IS NOT DISTINCT FROM 'enqueued'
        OR queue_job.state IS NOT DISTINCT FROM 'started'
    )
    RETURNING queue_job.id, queue_job.uuid, queue_job.channel_method_name,
        queue_job.run_number, queue_job.retry, queue_job.worker_pid, queue_job.date_started,
        dead.was_started
), kept AS (
    INSERT INTO queue_job_attempt (
        job_id, function, run_number, number, outcome, worker_pid, date_started, date_ended,
        exc_name, exc_message
    )
    SELECT id, channel_method_name, run_number, retry, 'dead', worker_pid, date_started,
        now() AT TIME ZONE 'UTC', 'JobFoundDead',
        'The worker that ran this job vanished, or could not say what became of it'
    FROM moved WHERE was_started
)
SELECT uuid FROM moved
"""
# Ten seconds, as in ABANDONED.
LIFELESS = """
SELECT q.uuid FROM queue_job_lock l JOIN queue_job q ON q.id = l.queue_job_id
WHERE q.uuid = ANY(%s) AND q.state IS NOT DISTINCT FROM 'started'
  AND q.date_started < (now() AT TIME ZONE 'UTC') - interval '10 seconds'
FOR NO KEY UPDATE OF l SKIP LOCKED
"""
# All that are enqueued or started, by their index; or those of known keys.
IS_RUNNING = "q.state IN ('enqueued', 'started')"
KEY_IS_RUNNING = """
(q.state IS NOT DISTINCT FROM 'enqueued' OR q.state IS NOT DISTINCT FROM 'started')
"""
# Ten seconds: between the claim and the lock a started job is free for a moment.
ABANDONED = "q.date_enqueued < (now() AT TIME ZONE 'UTC') - interval '10 seconds'"
# Stands for the jobs in open requests of this runner.
NOBODY = "1 = 1"

# A parent that is done or cancelled holds nobody back; how parents and joints are looked
# at is told in queue_job_release.py. Rows of older databases know their parents by uuid only: those
# are found in the text, because a cast of what is no JSON fails the statement for all.
FORGOTTEN = r"""
WITH job AS MATERIALIZED (
    SELECT id, dependencies FROM queue_job
    WHERE state = 'wait_dependencies' AND id > %(after)s
      AND COALESCE(date_created, '1970-01-01'::timestamp)
          < (now() AT TIME ZONE 'UTC') - interval '1 minute'
    ORDER BY id LIMIT 500
), before AS MATERIALIZED (
    SELECT DISTINCT d.joint FROM job JOIN queue_job_dependency d ON d.child_id = job.id
    WHERE d.parent_id IS NULL
), open AS MATERIALIZED (
    SELECT joint FROM before WHERE queue_job_joint_is_open(joint)
)
SELECT job.id,
    (
        SELECT d.parent_id FROM queue_job_dependency d
        WHERE d.child_id = job.id AND d.joint IS NULL AND (
            SELECT p.state NOT IN ('done', 'cancelled') FROM queue_job p WHERE p.id = d.parent_id
        )
        ORDER BY d.parent_id DESC LIMIT 1
    ) IS NOT NULL OR EXISTS (
        SELECT FROM queue_job_dependency d JOIN open ON open.joint = d.joint
        WHERE d.child_id = job.id AND d.parent_id IS NULL
    ) OR EXISTS (
        SELECT FROM regexp_matches(
            substring(job.dependencies FROM '"depends_on" *: *\[([^]]*)\]'), '"([^"]*)"', 'g'
        ) AS parent(uuid)
        WHERE (
            SELECT bool_or(p.state NOT IN ('done', 'cancelled')) FROM queue_job p
            WHERE p.uuid = parent.uuid[1]
        )
    ) AS is_blocked
FROM job ORDER BY job.id
"""
RELEASE = """
WITH free AS MATERIALIZED (
    SELECT id FROM queue_job WHERE id = ANY(%s) AND state IS NOT DISTINCT FROM 'wait_dependencies'
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE queue_job SET state = 'pending' FROM free
WHERE queue_job.id = free.id AND queue_job.state IS NOT DISTINCT FROM 'wait_dependencies'
RETURNING queue_job.uuid
"""
# What a worker does after the commit of a job, if it lives: see queue_job_release.py.
RELEASE_BEHIND = """
WITH free AS MATERIALIZED (
    SELECT queue_job_free_behind(ARRAY(SELECT id FROM queue_job WHERE uuid = ANY(%s))) AS id
)
UPDATE queue_job SET state = 'pending' FROM free
WHERE queue_job.id = free.id AND queue_job.state IS NOT DISTINCT FROM 'wait_dependencies'
RETURNING queue_job.uuid
"""
