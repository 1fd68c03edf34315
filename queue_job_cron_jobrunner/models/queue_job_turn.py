# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Turns: how cron workers choose jobs without exceeding any channel.

What runs is counted in the database, so counting and claiming must be one step:
whoever chooses holds one advisory lock from before it counts until its claim is
committed. The snapshot must be younger than the lock; the cursors of Odoo are
REPEATABLE READ, whose snapshot is as old as the first statement, the wait for
the lock included. So the transaction of a turn is READ COMMITTED. It is short: some
index scans, one claim.

Only jobs that are started, or that a runner enqueued, count. Those that the rule of
dead jobs would requeue do not, so a crash blocks a channel for seconds.
"""

from typing import NamedTuple

from odoo import api, models
from odoo.tools import SQL

from odoo.addons.queue_job.insight.snapshot import Snapshot
from odoo.addons.queue_job.jobrunner import statements
from odoo.addons.queue_job.jobrunner.channel_config import fixed_settings
from odoo.addons.queue_job.jobrunner.rows import RowGuard
from odoo.addons.queue_job.store import attempts, transitions

from ..tree import CronTree, merged_settings

# "cron" in ASCII; PostgreSQL keeps advisory locks of one number and of two apart.
TURN_LOCK = 0x63726F6E
# Jobs read of each channel, and how many in all when there are many channels. When
# none of them can be had more are read, up to the last number.
WINDOW = 200
SMALLEST_WINDOW = 5
LARGEST_WINDOW = 20_000

# Rows that were set aside and logged by this process.
_logged = set()

CLAIM_DDL = """
CREATE OR REPLACE FUNCTION queue_job_cron_claim(
    uuids varchar[], in_order boolean, OUT claimed varchar, OUT version varchar
) AS $$
DECLARE
    job record;
BEGIN
    FOR n IN 1 .. cardinality(uuids) LOOP
        -- A row that changed after the snapshot is passed over; the transaction of
        -- the job before must survive it.
        BEGIN
            SELECT id, xmin, identity_key, twin_key INTO job FROM queue_job
            WHERE uuid = uuids[n] AND state IS NOT DISTINCT FROM 'pending'
              AND (eta IS NULL OR eta <= clock_timestamp() AT TIME ZONE 'UTC')
            LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
            IF FOUND AND queue_job_key_is_free(job.identity_key)
               AND queue_job_key_is_free(job.twin_key)
               AND ((job.identity_key IS NULL AND job.twin_key IS NULL)
                    OR queue_job_key_may_start(uuids[n])) THEN
                INSERT INTO queue_job_lock (id, queue_job_id) VALUES (job.id, job.id)
                ON CONFLICT (id) DO NOTHING;
                claimed := uuids[n];
                version := job.xmin::text;
                RETURN;
            END IF;
        EXCEPTION WHEN serialization_failure THEN
            NULL;
        END;
        EXIT WHEN in_order;
    END LOOP;
END;
$$ LANGUAGE plpgsql
"""

# Between the claim and the lock of its liveness a job is free for a moment. What a
# regular runner has sent may wait for a worker for longer.
_IS_OLD = (
    "COALESCE(q.date_enqueued, q.date_started, '1970-01-01'::timestamp)"
    " < (clock_timestamp() AT TIME ZONE 'UTC')"
    " - CASE WHEN q.state = 'started' THEN interval '3 seconds' ELSE interval '10 seconds' END"
)
# What holds a slot: enqueued and started jobs, less those that are dead.
ALIVE = f"""
WITH free AS MATERIALIZED (
    SELECT l.queue_job_id FROM queue_job_lock l JOIN queue_job q ON q.id = l.queue_job_id
    WHERE q.state IN ('enqueued', 'started') AND {_IS_OLD}
    FOR NO KEY UPDATE OF l SKIP LOCKED
)
SELECT q.channel, q.uuid, q.id, {statements.READABLE_DATE}, q.priority, q.state
FROM queue_job q
WHERE q.state IN ('enqueued', 'started') AND NOT (
    {_IS_OLD} AND (
        q.id IN (SELECT queue_job_id FROM free)
        OR NOT EXISTS (SELECT FROM queue_job_lock l WHERE l.queue_job_id = q.id)
    )
)
"""
# As the sweep of the regular runner; jobs that were claimed without a date are dead too.
DEAD_JOBS = statements.DEAD_JOBS.format(condition=_IS_OLD)
# The newest dependent stands for all: one step of an index.
YOUNG_RUNS = f"""
SELECT EXISTS (
    SELECT FROM queue_job q WHERE q.state IN ('enqueued', 'started') AND NOT ({_IS_OLD})
) OR COALESCE((
    SELECT date_created > (clock_timestamp() AT TIME ZONE 'UTC') - interval '5 seconds'
    FROM queue_job WHERE state = 'wait_dependencies' ORDER BY id DESC LIMIT 1
), false)
"""
NEXT_UNREPORTED = """
SELECT uuid FROM queue_job
WHERE to_report AND state = 'failed' AND uuid <> ALL(%(skipped)s)
ORDER BY id LIMIT 1
"""
FORGOTTEN = statements.FORGOTTEN.replace("interval '1 minute'", "interval '5 seconds'")
CRON_COUNT = "SELECT count(*) FROM ir_cron WHERE queue_job_runner AND active"
DUE_COUNT = """
SELECT count(*) FROM (
    SELECT FROM queue_job
    WHERE state = 'pending' AND (eta IS NULL OR eta <= clock_timestamp() AT TIME ZONE 'UTC')
    LIMIT 10000
) AS due
"""
FAIL_OVER_LIMIT = """
UPDATE queue_job SET state = 'failed', retry = COALESCE(retry, 0) + 1, to_report = true,
    exc_name = %(exc_name)s, exc_message = %(exc_message)s, exc_info = %(exc_info)s
WHERE id = %(id)s AND state = 'started' AND COALESCE(run_number, 0) = %(run_number)s
RETURNING retry
"""


class Look(NamedTuple):
    """What a worker saw in its turn.

    ``followers`` may run after the job in the same channel; ``has_more`` tells that
    yet another job could start now, ``is_hindered`` that jobs could start but for
    locks of others, ``wake_in`` the seconds until time alone lets one start.
    """

    uuid: str | None = None
    followers: tuple = ()
    in_order: bool = False
    has_more: bool = False
    is_hindered: bool = False
    wake_in: float | None = None


class QueueJob(models.Model):
    _inherit = "queue.job"

    def init(self):
        result = super().init()
        self.env.cr.execute(CLAIM_DDL)
        return result

    # Choosing ---------------------------------------------------------------

    @api.model
    def _begin_turn(self):
        """Begin the transaction of a turn, whose statements see what is committed."""
        self.env.cr.rollback()
        # A turn takes milliseconds; who holds it longer is in trouble of its own.
        self.env.cr.execute(
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '10s'"
        )

    @api.model
    def _look(self):
        """Choose the job to perform next, lock it and what tells of its life.

        Holds the lock of the turn until the transaction ends.
        """
        self.env.cr.execute(SQL("SELECT pg_advisory_xact_lock(%s, 0)", TURN_LOCK))
        window = WINDOW
        while True:
            now = self._database_time()
            tree = self._read_tree(window)
            look = self._lock_best(tree, now)
            if (
                look.uuid
                or not (look.is_hindered and tree.is_partial)
                or window > LARGEST_WINDOW
            ):
                return look
            window *= 10

    @api.model
    def _lock_best(self, tree, now):
        is_hindered = False
        while run := tree.take_run(now):
            channel = run[0].channel
            uuids = [job.uuid for job in run]
            uuid, _version = self._lock_pending(uuids, channel.sequential)
            if not uuid:
                is_hindered = True
                tree.pass_over(run)
                continue
            job = run[uuids.index(uuid)]
            channel.start(job, now)
            throttled = tree.throttled_names(channel)
            self.env["queue.job.cron.start"].sudo()._remember(throttled, now)
            followers = tuple(uuids[uuids.index(uuid) + 1 :])
            has_more = bool(followers) or tree.root.best(now) is not None
            return Look(uuid, followers, channel.sequential, has_more, is_hindered)
        wake_at = tree.get_wakeup_time()
        return Look(
            is_hindered=is_hindered, wake_in=max(0, wake_at - now) if wake_at else None
        )

    @api.model
    def _lock_pending(self, uuids, in_order=False):
        """Lock the first of these jobs that is pending, due and free, and its keys.

        Return ``(uuid, version of the row)``, None for both when none is. Skips,
        never waits; with ``in_order`` only the first one is asked for.
        """
        self.env.cr.execute(
            SQL(
                "SELECT claimed, version FROM queue_job_cron_claim(%s::varchar[], %s)",
                *(list(uuids), in_order),
            )
        )
        return self.env.cr.fetchone()

    def _write_started(self, job):
        """Write the claim of a job whose row is locked, together with what is held."""
        transitions.send(
            self.env.cr,
            SQL(
                "UPDATE queue_job SET state = 'started', date_started = %s, worker_pid = %s, "
                "run_number = %s, date_enqueued = %s WHERE id = %s",
                *(job.date_started, job.worker_pid, job.run_number),
                *(job.date_enqueued, self.id),
            ),
        )

    @api.model
    def _database_time(self):
        self.env.cr.execute("SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8")
        return self.env.cr.fetchone()[0]

    @api.model
    def _read_tree(self, window):
        """Return the channels with what runs, what failed and the first of what waits."""
        cr = self.env.cr
        tree = CronTree(self._channel_settings(), self._last_starts_of_channels())
        guard = RowGuard(cr.dbname, self._fail_unusable, _logged)

        def place(row):
            guard.place(lambda row: tree.place(cr.dbname, *row[:6], row.state), row)

        cr.execute(ALIVE)
        for *values, state in cr.fetchall():
            place(statements.Row(*values, None, state, None))
        self._place_failed(tree, place)
        cr.execute(statements.WAITING_CHANNELS)
        names = [name for (name,) in cr.fetchall()]
        limit = max(SMALLEST_WINDOW, window // max(1, len(names)))
        tree.is_partial = False
        for statement in (statements.CANDIDATES, statements.TIMED):
            cr.execute(statement, {"names": names, "limit": limit})
            rows = [statements.Row(*row) for row in cr.fetchall()]
            tree.is_partial |= len(rows) >= limit
            for row in rows:
                place(row)
        return tree

    @api.model
    def _fail_unusable(self, job_id, reason):
        """Fail a pending job that can never run; on a cursor of its own, because that of
        the turn is rolled back when no job can start."""
        with self.env.registry.cursor() as cr:
            cr.execute(statements.FAIL_UNUSABLE, {"id": job_id, "reason": reason})

    @api.model
    def _place_failed(self, tree, place):
        """Put failed jobs where they hold up a sequential channel."""
        if not tree.sequential_channels():
            return
        cr = self.env.cr
        cr.execute(statements.FAILED_CHANNELS)
        names = [
            name
            for (name,) in cr.fetchall()
            if tree.get_channel_by_name(name, True).sequential
        ]
        if names:
            cr.execute(statements.FAILED, {"names": names, "limit": 1})
            for row in cr.fetchall():
                place(statements.Row(*row))

    @api.model
    def _channel_settings(self):
        cr = self.env.cr
        self.env["queue.job.channel"].flush_model()
        cr.execute(CRON_COUNT)
        (cron_count,) = cr.fetchone()
        cr.execute(statements.CHANNEL_RECORDS)
        return merged_settings(fixed_settings(), cr.fetchall(), cron_count)

    @api.model
    def _last_starts_of_channels(self):
        return self.env["queue.job.cron.start"].sudo()._last_starts()

    # Looking after others ---------------------------------------------------

    @api.model
    def _is_regular_runner_alive(self):
        """Return whether a runner is elected for this database."""
        return Snapshot(self.env).runner is not None

    @api.model
    def _requeue_dead_jobs(self):
        """Requeue jobs whose worker vanished, or fail them; return their uuids."""
        self.env.flush_all()
        self.env.cr.execute(DEAD_JOBS)
        self.env.invalidate_all()
        return [uuid for (uuid,) in self.env.cr.fetchall()]

    @api.model
    def _next_unreported(self, skipped=()):
        """Return the uuid of a job whose failure nobody was told of, or None.

        :param skipped: uuids that are not returned

        None too while another worker tells: the lock of those who do is held until
        the end of the transaction.
        """
        self.env.cr.execute(SQL("SELECT pg_try_advisory_xact_lock(%s, 1)", TURN_LOCK))
        if not self.env.cr.fetchone()[0]:
            return None
        self.env.cr.execute(NEXT_UNREPORTED, {"skipped": list(skipped)})
        row = self.env.cr.fetchone()
        return row and row[0]

    @api.model
    def _release_forgotten(self, after_id=0):
        """Make pending what waits for dependencies that are all over.

        That happens when a worker died between the end of a job and the release of
        its dependents. Return ``(uuids, id to go on from)``, 0 for the end.
        """
        self.env.flush_all()
        self.env.cr.execute(FORGOTTEN, {"after": after_id})
        rows = self.env.cr.fetchall()
        ids = [job_id for job_id, is_blocked in rows if not is_blocked]
        uuids = []
        if ids:
            self.env.cr.execute(statements.RELEASE, (ids,))
            uuids = [uuid for (uuid,) in self.env.cr.fetchall()]
            self.env.invalidate_all()
        return uuids, rows[-1][0] if rows else 0

    @api.model
    def _count_due(self):
        self.env.cr.execute(DUE_COUNT)
        return self.env.cr.fetchone()[0]

    @api.model
    def _has_young_runs(self):
        """Return whether jobs are too young to be found dead, or forgotten by their parents."""
        self.env.cr.execute(YOUNG_RUNS)
        return self.env.cr.fetchone()[0]

    @api.model
    def _next_trigger(self):
        """Return the UNIX time of the next trigger of a runner cron, or None."""
        self.env.cr.execute(
            "SELECT EXTRACT(EPOCH FROM min(t.call_at))::float8 FROM ir_cron_trigger t "
            "JOIN ir_cron c ON c.id = t.cron_id WHERE c.queue_job_runner AND c.active "
            "AND t.call_at > clock_timestamp() AT TIME ZONE 'UTC'"
        )
        return self.env.cr.fetchone()[0]

    @api.model
    def _fail_over_limit(self, job_id, run_number, limit):
        """Record that a job runs longer than its worker may; the caller commits.

        Its failure is announced by the next pass of a cron worker: this one is
        about to be killed.

        :param limit: ``(seconds, option)``
        """
        error = self._error_over_limit(*limit)
        self.env.cr.execute("SET LOCAL lock_timeout = '1s'")
        values = {**error, "id": job_id, "run_number": run_number or 0}
        self.env.cr.execute(FAIL_OVER_LIMIT, values)
        row = self.env.cr.fetchone()
        if row:
            attempts.keep(self.browse(job_id), "failed", row[0], error)
        return bool(row)

    @api.model
    def _error_over_limit(self, seconds, option):
        """Return what is kept of the failure of a job that is too long, as exc_* values."""
        kind = " of CPU time" if option == "limit_time_cpu" else ""
        # In a prefork server.
        hint = " (0: no limit)" if option == "limit_time_real_cron" else ""
        message = (
            f"The job took too long: Odoo ends a cron worker whose work takes more than {seconds} "
            f"seconds{kind} ({option} = {seconds}). Raise the limit with "
            f"--{option.replace('_', '-')} or in the configuration file{hint}, or split the job "
            "into shorter ones."
        )
        return {"exc_name": "JobOverLimit", "exc_message": message, "exc_info": message}
