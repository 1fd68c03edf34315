# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Picks: how cron workers choose jobs without exceeding any channel.

Running jobs are counted in the database, so counting and claiming must be one step:
a worker that picks holds one advisory lock from before it counts until its claim is
committed. The snapshot must be younger than the lock; the cursors of Odoo are
REPEATABLE READ, whose snapshot is as old as the first statement, the wait for
the lock included. So the transaction of a pick is READ COMMITTED. It is short: some
index scans, one claim.

Only jobs that are started, or that a runner enqueued, count. The ones that the rule of
dead jobs would requeue do not, so a crash blocks a channel for seconds.
"""

from typing import NamedTuple

from odoo import api, models

from odoo.addons.queue_job.channels import ChannelRecord, fixed_settings
from odoo.addons.queue_job.insight.snapshot import Snapshot
from odoo.addons.queue_job.jobrunner.liveness import CHECK_INTERVAL, DeadJobs
from odoo.addons.queue_job.jobrunner.rows import Row, RowGuard
from odoo.addons.queue_job.sql import statements as runner_sql
from odoo.addons.queue_job.store import attempts
from odoo.addons.queue_job.worker import lock_first

from ..sql import statements as sql
from ..tree import CronTree

# "cron" in ASCII; PostgreSQL keeps advisory locks of one number and of two apart.
PICK_LOCK = 0x63726F6E
# Jobs read of each channel, and how many in all when there are many channels. When
# none of them can be had more are read, up to the last number.
WINDOW = 200
SMALLEST_WINDOW = 5
LARGEST_WINDOW = 20_000

# Rows that were set aside and logged by this process.
_logged = set()
# Suspects of this process, by database.
_dead_jobs = {}
# Of a job that waits for dependencies: a regular runner looks after a longer time.
SHORTEST_AGE = "5 seconds"


class Pick(NamedTuple):
    """The job that a worker has picked, and what it found beside it.

    ``followers`` may run after the job in the same channel; ``has_more`` means that
    yet another job could start now, ``is_hindered`` that jobs could start but for
    locks of other sessions, ``wake_in`` the seconds until time alone lets one start.
    """

    uuid: str | None = None
    followers: tuple = ()
    in_order: bool = False
    has_more: bool = False
    is_hindered: bool = False
    wake_in: float | None = None


class QueueJob(models.Model):
    _inherit = "queue.job"

    # Choosing ---------------------------------------------------------------

    def _fetch_value(self, statement, **values):
        self.env.cr.execute(statement, values)
        row = self.env.cr.fetchone()
        return row and row[0]

    @api.model
    def _begin_pick(self):
        """Begin the transaction of a pick, whose statements see what is committed."""
        self.env.cr.rollback()
        self.env.cr.execute(sql.begin_pick)

    @api.model
    def _pick_next(self):
        """Choose the job to perform next, lock it and its liveness row; return the pick.

        Holds the lock of picks until the transaction ends.
        """
        self.env.cr.execute(sql.lock_pick, {"lock": PICK_LOCK})
        window = WINDOW
        while True:
            now = self._database_time()
            tree = self._read_tree(window)
            pick = self._lock_best(tree, now)
            if (
                pick.uuid
                or not (pick.is_hindered and tree.is_partial)
                or window > LARGEST_WINDOW
            ):
                return pick
            window *= 10

    @api.model
    def _lock_best(self, tree, now):
        is_hindered = False
        while bundle := tree.take_bundle(now):
            channel = bundle[0].channel
            uuids = [job.uuid for job in bundle]
            uuid = lock_first(self.env, uuids[:1] if channel.sequential else uuids)
            if not uuid:
                is_hindered = True
                tree.pass_over(bundle)
                continue
            place = uuids.index(uuid)
            channel.start(bundle[place], now)
            throttled = tree.throttled_names(channel)
            self.env["queue.job.cron.start"].sudo()._remember(throttled, now)
            followers = tuple(uuids[place + 1 :])
            has_more = bool(followers) or tree.root.best(now) is not None
            return Pick(uuid, followers, channel.sequential, has_more, is_hindered)
        wake_at = tree.get_wakeup_time()
        return Pick(
            is_hindered=is_hindered, wake_in=max(0, wake_at - now) if wake_at else None
        )

    @api.model
    def _database_time(self):
        return self._fetch_value(sql.database_time)

    @api.model
    def _read_tree(self, window):
        """Return the channels with running, failed and the first of the waiting jobs."""
        cr = self.env.cr
        tree = self._make_tree()
        guard = RowGuard(cr.dbname, self._fail_unusable, _logged)

        def place(row):
            guard.place(lambda row: tree.place(cr.dbname, *row[:6], row.state), row)

        cr.execute(sql.alive)
        for *values, state in cr.fetchall():
            place(Row(*values, None, state, None))
        self._place_failed(tree, place)
        cr.execute(runner_sql.waiting_channels)
        names = [name for (name,) in cr.fetchall()]
        limit = max(SMALLEST_WINDOW, window // max(1, len(names)))
        tree.is_partial = False
        for statement in (runner_sql.candidates, runner_sql.timed_candidates):
            cr.execute(statement, {"names": names, "limit": limit})
            rows = [Row(*row) for row in cr.fetchall()]
            tree.is_partial |= len(rows) >= limit
            for row in rows:
                place(row)
        return tree

    @api.model
    def _fail_unusable(self, job_id, reason):
        """Fail a pending job that can never run; on a cursor of its own, because that of
        the pick is rolled back when no job can start."""
        with self.env.registry.cursor() as cr:
            cr.execute(runner_sql.fail_unusable, {"id": job_id, "reason": reason})

    @api.model
    def _place_failed(self, tree, place):
        """Place failed jobs in the sequential channels that they block."""
        if not tree.sequential_channels():
            return
        cr = self.env.cr
        cr.execute(runner_sql.failed_channels)
        names = [
            name
            for (name,) in cr.fetchall()
            if tree.get_channel_by_name(name, True).sequential
        ]
        if names:
            cr.execute(runner_sql.failed_jobs, {"names": names, "limit": 1})
            for row in cr.fetchall():
                place(Row(*row))

    @api.model
    def _make_tree(self):
        """Return the channels with the settings that apply, without jobs."""
        cr = self.env.cr
        self.env["queue.job.channel"].flush_model()
        cron_count = self._fetch_value(sql.cron_count)
        cr.execute(runner_sql.channel_records)
        records = [ChannelRecord(*row) for row in cr.fetchall()]
        last_starts = self.env["queue.job.cron.start"].sudo()._last_starts()
        return CronTree(fixed_settings(), records, cron_count, last_starts)

    # Jobs of others ---------------------------------------------------

    @api.model
    def _is_regular_runner_alive(self):
        """Return whether a runner is elected for this database."""
        return Snapshot(self.env).runner is not None

    @api.model
    def _requeue_dead_jobs(self):
        """Requeue jobs whose worker vanished, or fail them; return their uuids.

        Jobs that a call a second before has suspected, see :meth:`_check_dead_in`.
        """
        self.env.flush_all()
        self.env.cr.execute(sql.free_locks)
        free = dict(self.env.cr.fetchall())
        dead = self._dead_jobs().confirm(free, self._database_time())
        if not dead:
            return []
        self.env.cr.execute(sql.requeue_dead, {"uuids": list(dead)})
        self.env.invalidate_all()
        return [uuid for (uuid,) in self.env.cr.fetchall()]

    @api.model
    def _check_dead_in(self):
        """Return in how many seconds another check finds jobs dead, None when none may be."""
        return CHECK_INTERVAL if self._dead_jobs().suspects else None

    @api.model
    def _dead_jobs(self):
        return _dead_jobs.setdefault(self.env.cr.dbname, DeadJobs())

    @api.model
    def _interrupt_stopped(self):
        """Interrupt the work of stopped jobs; return how many still work."""
        self.env.cr.execute(runner_sql.interrupt_stopped)
        return self.env.cr.rowcount

    @api.model
    def _next_unreported(self, skipped=()):
        """Return the uuid of a job whose failure was not announced, or None.

        :param skipped: uuids that are not returned

        None too while another worker announces: its lock is held until the end of the
        transaction.
        """
        if not self._fetch_value(sql.try_announce, lock=PICK_LOCK):
            return None
        return self._fetch_value(sql.next_unreported, skipped=list(skipped))

    @api.model
    def _release_forgotten(self, after_id=0):
        """Make pending what waits for dependencies that are all over.

        That happens when a worker died between the end of a job and the release of
        its dependents. Return ``(uuids, id to go on from)``, 0 for the end.
        """
        self.env.flush_all()
        values = {"after": after_id, "age": SHORTEST_AGE}
        self.env.cr.execute(runner_sql.old_waiting, values)
        rows = self.env.cr.fetchall()
        ids = [job_id for job_id, is_blocked in rows if not is_blocked]
        uuids = []
        if ids:
            self.env.cr.execute(runner_sql.release_unblocked, {"ids": ids})
            uuids = [uuid for (uuid,) in self.env.cr.fetchall()]
            self.env.invalidate_all()
        return uuids, rows[-1][0] if rows else 0

    @api.model
    def _count_due(self):
        return self._fetch_value(sql.due_count)

    @api.model
    def _has_young_claims(self):
        """Return whether jobs are too young to be found dead, or forgotten by their parents."""
        return self._fetch_value(sql.has_young)

    @api.model
    def _next_trigger(self):
        """Return the UNIX time of the next trigger of a runner cron, or None."""
        return self._fetch_value(sql.next_trigger)

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
        tries = self._fetch_value(sql.fail_over_limit, **values)
        if tries:
            attempts.keep(self.browse(job_id), "failed", tries, error)
        return bool(tries)

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
