# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One pass of a runner cron: takes jobs until none may start or its time is up.

Odoo gives a cron ten seconds, then lets the other crons have their turn. A
pass that leaves jobs behind says so through Odoo's progress API and is called
again after them. Odoo counts a pass without any progress after a kill as a time-out
and gives the cron up: so a job counts as progress when it is claimed.
"""

import logging
import time
from datetime import datetime, timedelta, timezone

from odoo import SUPERUSER_ID, api
from odoo.modules.registry import Registry

from odoo.addons.queue_job.worker import announce_dead, inside_job

from .alarm import alarm_clock
from .limits import LimitGuard, WorkerClock

_logger = logging.getLogger("odoo.addons.queue_job_cron_jobrunner.models.queue_job")

# Seconds between two triggers for the other runner crons while jobs are left for them.
SPREAD_INTERVAL = 1
# Seconds that a pass waits for what time or a lock of another session holds back, in all.
LONGEST_WAIT = 2
SHORTEST_WAIT = 0.1
# Seconds after which what a lock holds back, young claims, and a database that a regular
# runner serves are looked at again.
LOCKED_AGAIN = 5
YOUNG_AGAIN = 4
INTERRUPT_AGAIN = 1
SERVED_AGAIN = 60
# An eta may be any date, also one that is none.
LATEST_AGAIN = 24 * 3600

# Databases of which it was said that the regular runner serves them.
_served = set()


class CronPass:
    """Performs the jobs of one call of a runner cron; commits.

    :param jobs: ``queue.job`` in the environment that the cron gives
    """

    def __init__(self, jobs):
        self.jobs = jobs
        self.env = jobs.env
        # Ids, not records: a pass outlives many transactions.
        self.own_cron_id = self.env.context.get("cron_id")
        self.end = self.env.context.get("cron_end_time", float("inf"))
        self.clock = WorkerClock()
        self.guard = LimitGuard(self.clock, self._fail_over_limit)
        self.pick = None
        self.processed = 0
        self._spread_at = 0
        self._waited = 0

    def run(self):
        """Perform jobs; at the end report to Odoo whether some are left."""
        if self._is_time_up():
            # Called again although the time is up: that is how a cron is let go.
            self._finish(self.jobs._count_due())
            return
        if self._is_served():
            return
        self._look_after_others()
        with self.guard, inside_job(self.env.cr.dbname):
            self._finish(self._drain())

    # Jobs -------------------------------------------------------------------

    def _drain(self):
        """Perform jobs until none may start; return how many are left to be taken later."""
        while self.clock.restart() and not self._is_time_up():
            self.jobs._begin_pick()
            job = self.jobs._acquire_one_job()
            self.pick = self.jobs._last_pick()
            if job:
                self._waited = 0
                self._spread()
                report = job._process(commit=True)
                # The first job was counted with its claim.
                self.processed += max(0, len(report.outcomes) - 1) if report else 0
            elif not self._wait():
                self._leave()
                return 0
        self.env.cr.rollback()
        return self.jobs._count_due()

    def _is_time_up(self):
        return time.monotonic() >= self.end

    def _spread(self):
        """Wake the other runner crons, now and then, while they could take a job too.

        One that found its channels full sleeps, without a notification that there is
        room again.
        """
        if self.pick.has_more and time.monotonic() >= self._spread_at:
            self._spread_at = time.monotonic() + SPREAD_INTERVAL
            others = self.env["ir.cron"].sudo()._runner_crons()
            for cron in others.filtered(lambda cron: cron.id != self.own_cron_id):
                cron._trigger()

    def _wait(self):
        """Wait a moment for what is held back; return False when it is not worth it."""
        self.env.cr.rollback()
        pauses = []
        if self.pick.is_hindered:
            pauses.append(max(SHORTEST_WAIT, self._waited))
        if self.pick.wake_in is not None:
            pauses.append(max(SHORTEST_WAIT / 2, self.pick.wake_in))
        if not pauses or self._waited + min(pauses) > LONGEST_WAIT:
            return False
        time.sleep(min(pauses))
        self._waited += min(pauses)
        return True

    # Beginning and end ------------------------------------------------------

    def _is_served(self):
        """Return whether a regular runner dispatches here; say so once."""
        db_name = self.env.cr.dbname
        if not self.jobs._is_regular_runner_alive():
            _served.discard(db_name)
            return False
        if db_name not in _served:
            _served.add(db_name)
            _logger.warning(
                "the job runner of the server performs the jobs of %s: cron workers do not",
                db_name,
            )
        if self.jobs._count_due():
            self._trigger_in(SERVED_AGAIN)
        return True

    def _look_after_others(self):
        """Requeue what dead workers left, announce failures that are not announced yet."""
        self._requeue_dead_jobs()
        if pause := self.jobs._check_dead_in():
            time.sleep(pause)
            self._requeue_dead_jobs()
        self._interrupt_stopped()
        self._announce_failures()

    def _interrupt_stopped(self):
        """Interrupt the work of stopped jobs that goes on; come back while there is some."""
        if self.jobs._interrupt_stopped():
            self._trigger_in(INTERRUPT_AGAIN)
        self.env.cr.commit()  # pylint: disable=invalid-commit

    def _requeue_dead_jobs(self):
        self.jobs._begin_pick()
        for uuid in self.jobs._requeue_dead_jobs():
            _logger.warning("Re-queued dead job with uuid: %s", uuid)
        # The lock of picks is not kept while failures are announced.
        self.env.cr.commit()  # pylint: disable=invalid-commit

    def _announce_failures(self):
        """Tell of jobs that failed while their worker could not; each once."""
        env = api.Environment(self.env.cr, SUPERUSER_ID, {})
        skipped = []
        while uuid := self.jobs._next_unreported(skipped):
            try:
                announce_dead(env, uuid)
            except Exception:
                # Left to the next pass, because others wait behind it.
                _logger.exception("the failure of job %s could not be announced", uuid)
                self.env.cr.rollback()
                skipped.append(uuid)
                continue
            # Gives back the lock of those who announce, and takes a new snapshot.
            self.env.cr.commit()  # pylint: disable=invalid-commit

    def _leave(self):
        """Schedule the next pass for when there may be something to do."""
        self._release_forgotten()
        if self.pick.is_hindered:
            self._trigger_in(LOCKED_AGAIN)
        elif self.pick.wake_in is not None:
            self._trigger_in(self.pick.wake_in)
        if self.jobs._has_young_claims():
            self._trigger_in(YOUNG_AGAIN)
        next_trigger = self.jobs._next_trigger()
        if next_trigger:
            alarm_clock.set(self.env.cr.dbname, [next_trigger])

    def _release_forgotten(self):
        after_id, released = 0, []
        while True:
            uuids, after_id = self.jobs._release_forgotten(after_id)
            released += uuids
            if not after_id or released:
                break
        for uuid in released:
            _logger.warning("job %s waited for nothing, it is pending now", uuid)
        if released:
            self.jobs._cron_trigger()

    def _trigger_in(self, seconds):
        # Triggers are kept in whole seconds: rather late than in vain.
        moment = datetime.now(timezone.utc).replace(tzinfo=None, microsecond=0)
        seconds = min(seconds, LATEST_AGAIN)
        self.jobs._cron_trigger(at=moment + timedelta(seconds=int(seconds) + 1))

    def _finish(self, remaining):
        """Tell Odoo what was done and what is left; commit."""
        self.env["ir.cron"]._commit_progress(self.processed, remaining=remaining)

    def _fail_over_limit(self, job, limit):
        """Record that the job is too long, on a cursor of its own; called by the guard."""
        with Registry(self.env.cr.dbname).cursor() as cr:
            jobs = api.Environment(cr, SUPERUSER_ID, {})["queue.job"]
            if jobs._fail_over_limit(job.row_id, job.run_number, limit):
                _logger.error(
                    "job %s takes longer than %s allows, it is failed",
                    job.uuid,
                    limit[1],
                )
                jobs._cron_trigger()
