"""``setup/generate``: a database with a million jobs, as a company of some years has them.

The rows are made by PostgreSQL itself, with the trigger off that would tell a runner of each.
Their channels are paused: no module has the methods that the jobs name, and a runner would
make all of them fail before anybody has looked.
"""

import time

from . import progress
from .errors import SetupError
from .locks import FileLock
from .serving import Installation
from .suite import Suite, choose_addons, find_addons

# Jobs in one statement: enough to be fast, few enough to show progress.
BATCH = 100_000

SESSION = """
SELECT setseed(%(seed)s);
SET synchronous_commit = off;
SET jit = off
"""

CHANNELS = """
INSERT INTO queue_job_channel (name, complete_name, parent_id, removal_interval, paused)
SELECT child, 'root.' || child, root.id, 30, true
FROM queue_job_channel root,
    unnest(ARRAY['export', 'import', 'mail', 'stock', 'slow', 'users']) AS child
WHERE root.complete_name = 'root'
ON CONFLICT (complete_name) DO UPDATE SET paused = true
"""

# What is called, how often, where, and how long it takes (median, seconds).
FUNCTIONS = """
CREATE TEMP TABLE generated_function AS
SELECT * FROM (VALUES
    (0.00, 0.35, 'res.partner', 'action_export', 'Export a contact', 'root.export', 0.4),
    (0.35, 0.55, 'mail.mail', 'action_send', 'Send an e-mail', 'root.mail', 0.15),
    (0.55, 0.75, 'res.partner', 'action_import', 'Import a contact', 'root.import', 0.8),
    (0.75, 0.87, 'res.users', 'action_synchronize', 'Synchronize a user', 'root.users', 0.05),
    (0.87, 0.95, 'res.company', 'action_recompute', 'Recompute the stock', 'root.stock', 3.0),
    (0.95, 1.01, 'res.company', 'action_report', 'Make the report', 'root.slow', 60.0)
) AS f(low, high, model, method, title, channel, median)
"""

JOBS = """
WITH drawn AS MATERIALIZED (
    SELECT number, random() AS what, random() AS fate, random() AS luck,
        exp(random() * 2 - 1) AS factor,
        -- Most jobs are of the last days.
        power(random(), 2) * interval '30 days' AS age
    FROM generate_series(%(first)s, %(last)s) AS number
), job AS (
    SELECT drawn.*, f.*,
        CASE
            WHEN fate < 0.85 THEN 'done'
            WHEN fate < 0.88 THEN 'cancelled'
            WHEN fate < 0.91 THEN 'failed'
            WHEN fate < 0.985 OR fate < 0.9999 AND number %% 200 >= 20 THEN 'pending'
            WHEN fate < 0.9999 THEN 'wait_dependencies'
            WHEN fate < 0.99995 THEN 'enqueued'
            ELSE 'started'
        END AS state,
        (now() AT TIME ZONE 'UTC') - CASE
            WHEN fate < 0.9999 THEN age WHEN fate < 0.99995 THEN age / 40000 ELSE age / 4000
        END AS created,
        -- One job of ten is in a graph, most of twenty, one of a thousand jobs.
        CASE WHEN number %% 200 < 20 THEN md5('graph' || number / 200)::uuid::text
             WHEN number BETWEEN 1000 AND 2999 AND number %% 2 = 1 THEN md5('large')::uuid::text
        END AS graph
    FROM drawn JOIN generated_function f ON what >= low AND what < high
), timed AS (
    SELECT job.*,
        created + interval '1 second' * (1 + factor * 20 * luck) AS started,
        created + interval '1 second' * (1 + factor * (20 * luck + median)) AS ended,
        (ARRAY['requests.exceptions.ConnectTimeout', 'odoo.exceptions.UserError',
               'builtins.KeyError', 'odoo.addons.queue_job.exception.FailedJobError',
               'psycopg2.errors.SerializationFailure', 'JobFoundDead'])[1 + floor(luck * luck * 6)]
            AS error
    FROM job
)
INSERT INTO queue_job (
    uuid, graph_uuid, user_id, company_id, name, model_name, method_name, channel_method_name,
    records, args, kwargs, func_string, state, priority, retry, max_retries, run_number, channel,
    job_function_id, date_created, date_enqueued, date_started, date_done, date_cancelled,
    exec_time, eta, exc_name, exc_message, exc_info, result, worker_pid, identity_key
)
SELECT
    md5(%(seed)s || '/' || number)::uuid::text, graph, 2, (SELECT min(id) FROM res_company),
    title || ' ' || number %% 5000, model, method, '<' || model || '>.' || method,
    jsonb_build_object('_type', 'odoo_recordset', 'model', model,
        'ids', jsonb_build_array(1 + number %% 5000), 'uid', 2, 'su', false,
        'context', jsonb_build_object('lang', 'en_US', 'tz', 'Europe/Brussels')),
    jsonb_build_array(number, 'backend-' || number %% 7), jsonb_build_object('force', luck < 0.5),
    model || '(' || 1 + number %% 5000 || ',).' || method || '(' || number || ', ''backend-'
        || number %% 7 || ''', force=' || (luck < 0.5) || ')',
    state, 5 + 5 * floor(luck * 3)::int,
    CASE WHEN state = 'failed' THEN 5
        WHEN state IN ('done', 'started') THEN 1 + floor(luck * luck * 3)::int
        WHEN state = 'pending' AND luck > 0.9 THEN 2 ELSE 0 END,
    5, CASE WHEN state IN ('done', 'failed', 'started') THEN 1 ELSE 0 END, channel,
    (SELECT min(id) FROM queue_job_function WHERE name = '<' || model || '>.' || method), created,
    CASE WHEN state IN ('enqueued', 'started', 'done', 'failed')
        THEN created + interval '1 second' END,
    CASE WHEN state IN ('started', 'done', 'failed') THEN started END,
    CASE WHEN state = 'done' THEN ended END,
    CASE WHEN state = 'cancelled' THEN created + interval '1 hour' * luck END,
    CASE WHEN state = 'done' THEN extract(epoch FROM ended - started) END,
    CASE WHEN state = 'pending' AND luck > 0.9
        THEN (now() AT TIME ZONE 'UTC') + age * (luck - 0.5) END,
    CASE WHEN state = 'failed' THEN error END,
    CASE WHEN state = 'failed' THEN 'The other side did not answer: backend-' || number %% 7 END,
    CASE WHEN state = 'failed' THEN 'Traceback (most recent call last):' || repeat(
        E'\n  File "addons/connector/models/backend.py", line 42, in _send\n    raise error', 12)
        || E'\n' || error || ': The other side did not answer' END,
    CASE WHEN state = 'cancelled' THEN 'Cancelled by Administrator' END,
    CASE WHEN state IN ('started', 'done', 'failed') THEN 1000 + number %% 8 ELSE 0 END,
    CASE WHEN luck < 0.05 THEN md5('key' || number) END
FROM timed
"""

# Behind each job of a small graph the next one; in the large one two behind each.
EDGES = """
INSERT INTO queue_job_dependency (parent_id, child_id)
SELECT parent.id, child.id FROM (
    SELECT id, graph_uuid, row_number() OVER (PARTITION BY graph_uuid ORDER BY id) AS place
    FROM queue_job WHERE graph_uuid IS NOT NULL
) AS parent
JOIN (
    SELECT id, graph_uuid, row_number() OVER (PARTITION BY graph_uuid ORDER BY id) AS place
    FROM queue_job WHERE graph_uuid IS NOT NULL
) AS child ON child.graph_uuid = parent.graph_uuid AND (
    child.place = parent.place + 1
    OR parent.graph_uuid = md5('large')::uuid::text
        AND child.place IN (2 * parent.place, 2 * parent.place + 1)
)
ON CONFLICT DO NOTHING
"""

ATTEMPTS = """
INSERT INTO queue_job_attempt (
    job_id, function, run_number, number, outcome, date_started, date_ended,
    exc_name, exc_message, exc_info
)
SELECT id, channel_method_name, number, number,
    CASE WHEN number = retry AND state = 'failed' THEN 'failed' ELSE 'postponed' END,
    date_started - interval '10 minutes' * (retry - number),
    date_started - interval '10 minutes' * (retry - number) + interval '1 second',
    exc_name, exc_message, exc_info
FROM queue_job, generate_series(greatest(1, retry - 1), retry) AS number
WHERE state = 'failed'
"""


def main(options, cache):
    """Make the database where it is missing, and the jobs in it; return the exit code."""
    suite = Suite.provision(cache, options)
    mine = FileLock(cache.root / ("run-%s.lock" % options.database))
    if not mine.acquire(wait=False):
        raise SetupError(
            "A setup/run serves the database %s." % options.database,
            "Stop it, or choose another one with --database.",
        )
    addons = choose_addons(
        find_addons([*suite.odoo.addons_paths]), options.addons.split(",")
    )
    if options.fresh:
        suite.databases.drop(options.database)
    Installation(suite, options.database, addons).ensure()
    started = time.monotonic()
    connection = suite.server.connect(options.database)
    try:
        with connection.cursor() as cursor:
            Generation(cursor, options.count, options.seed).run()
    finally:
        connection.close()
    progress.say(
        "%d jobs in the database %s, made in %.0f s. Their channels are paused. See them:\n"
        "    setup/run --database %s"
        % (
            options.count,
            options.database,
            time.monotonic() - started,
            options.database,
        )
    )
    return 0


class Generation:
    """The rows of one call; each run of statements is a transaction."""

    def __init__(self, cursor, count, seed):
        self.cursor = cursor
        self.count = count
        self.seed = seed

    def run(self):
        """Insert the jobs, their edges and their attempts, and gather statistics."""
        self.cursor.execute(SESSION, {"seed": self._seed()})
        self.cursor.execute(CHANNELS)
        self.cursor.execute(FUNCTIONS)
        for first in range(0, self.count, BATCH):
            last = min(first + BATCH, self.count) - 1
            with progress.step("Jobs %d to %d" % (first + 1, last + 1)):
                self._quietly(
                    JOBS, {"first": first, "last": last, "seed": str(self.seed)}
                )
        with progress.step("Edges of graphs, attempts, statistics"):
            self.cursor.execute(EDGES)
            self.cursor.execute(ATTEMPTS)
            self.cursor.execute("VACUUM (ANALYZE) queue_job")
            self.cursor.execute("VACUUM (ANALYZE) queue_job_dependency")
            self.cursor.execute("VACUUM (ANALYZE) queue_job_attempt")

    def _seed(self):
        return (hash(self.seed) % 2000 - 1000) / 1000

    def _quietly(self, statement, values):
        """Execute with the trigger off; nobody else can write the table meanwhile."""
        self.cursor.execute("BEGIN")
        try:
            self.cursor.execute("ALTER TABLE queue_job DISABLE TRIGGER USER")
            self.cursor.execute(statement, values)
            self.cursor.execute("ALTER TABLE queue_job ENABLE TRIGGER USER")
        except BaseException:
            self.cursor.execute("ROLLBACK")
            raise
        self.cursor.execute("COMMIT")
