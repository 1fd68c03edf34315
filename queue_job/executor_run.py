# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Perform a run: several jobs, one after another, in one request.

The commit that ends one job claims the next. Between two jobs nothing leaks:
environments, caches, thread attributes and pending hooks are those of a new
request, and registry signals are sent and heard.
"""

import contextlib
import logging
import threading
import time
from collections import deque

from psycopg2 import OperationalError
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from odoo import http
from odoo.sql_db import Cursor

from . import run
from .exception import LostRunError, exceptions_only
from .executor import JobExecutor, _rollback
from .job import Job
from .states import DONE, FAILED, PENDING, WAIT_DEPENDENCIES

# The name that administrators and test suites know.
_logger = logging.getLogger("odoo.addons.queue_job.controllers.main")

CLAIM_TRIES = 3
# Seconds in a run between two looks for what other processes changed in registry
# and caches: the look costs as much as a short job.
SIGNAL_INTERVAL = 0.1

# The steps that others may extend, as they are here.
STEPS = {
    name: getattr(JobExecutor, name).__func__
    for name in (
        "_acquire_job",
        "_runjob",
        "_try_perform_job",
        "_enqueue_dependent_jobs",
    )
}

# What a run reports, by the state in which the job was left.
OUTCOMES = {
    DONE: run.DONE,
    FAILED: run.FAILED,
    PENDING: run.POSTPONED,
    WAIT_DEPENDENCIES: run.POSTPONED,
}


@contextlib.contextmanager
def _surroundings_kept(env):
    """Give thread, request, cursor and transaction back as they were before a job."""
    transaction = env.cr.transaction
    default_env = transaction.default_env
    holders = [threading.current_thread(), *filter(None, (http.request,))]
    kept = [(vars(holder), dict(vars(holder))) for holder in holders]
    known_of_cursor = set(vars(env.cr))
    try:
        yield
    finally:
        transaction.default_env = default_env
        for attributes, before in kept:
            # Never emptied: other threads look at this one.
            attributes.update(before)
            for name in attributes.keys() - before.keys():
                del attributes[name]
        # The others follow its connection, which the job may have lost.
        for name in vars(env.cr).keys() - known_of_cursor:
            del vars(env.cr)[name]


class Run:
    """The jobs that one request asks this worker to perform one after another."""

    def __init__(self, uuids, budget=run.TIME_BUDGET):
        self.waiting = deque(uuids)
        self.deadline = time.monotonic() + budget
        self.report = run.Report()
        # Jobs read together before they are claimed, with the version of the row.
        self.read = {}
        self.claimed = None
        # Ids of jobs that are done and behind which nobody has looked yet.
        self.unlooked = []
        # The request has just looked.
        self.next_signal_check = time.monotonic() + SIGNAL_INTERVAL
        self.stop_at_failure = False

    def next_uuid(self):
        """Return the next job that there is time for, or None."""
        if self.waiting and time.monotonic() < self.deadline:
            return self.waiting[0]
        return None

    def unclaim(self):
        """Forget the claim that was rolled back together with the job before."""
        if self.claimed:
            self.waiting.appendleft(self.claimed.uuid)
            self.claimed = None

    def leave_look(self, job):
        """Leave the look behind a job to the end of the run, if it will find nobody.

        Its links were read when the run began. Who came to wait for it since is found
        at the end, or by the runner if this worker dies.
        """
        if job.seemed_to_free_nobody(self.claimed):
            job.frees_nobody = True
            self.unlooked.append(job._db_id)

    def stop(self):
        """Start no further job."""
        self.deadline = 0

    def take(self, outcome=None):
        """Remove the first waiting job, with its outcome when it has one."""
        uuid = self.waiting.popleft()
        if outcome:
            self.note(uuid, outcome)
        return uuid

    def note(self, uuid, outcome, seconds=0.0):
        """Report on a job; in a sequential channel nobody overtakes one that is not done."""
        self.report.add(uuid, outcome, seconds)
        if self.stop_at_failure and outcome != run.DONE:
            self.stop()


class RunExecutor(JobExecutor):
    """Performs runs; the HTTP and the cron runner inherit from it."""

    @classmethod
    def run(cls, env, uuids, budget=run.TIME_BUDGET, stop_at_failure=False):
        """Perform several jobs one after another and report on each.

        Commits each job. Stops between two jobs when the time budget is spent,
        or, for a sequential channel, at a job that is not done: a proxy may have
        sent the run again, and its first job runs elsewhere. What was not looked
        at is left enqueued.
        """
        job_run = Run(uuids, budget)
        job_run.stop_at_failure = stop_at_failure
        cls._read_together(env, job_run)
        while job_run.claimed or job_run.next_uuid():
            job = cls._next_in_run(env, job_run)
            if job:
                cls._perform_in_run(env, job, job_run)
        cls._look_behind(env, job_run)
        job_run.report.left = list(job_run.waiting)
        return job_run.report

    @classmethod
    def _read_together(cls, env, job_run):
        """Read the jobs of a run of several in one go."""
        if len(job_run.waiting) > 1:
            job_run.read = cls._read(env, job_run.waiting)

    @classmethod
    def _read(cls, env, uuids):
        """Return ``{uuid: (job, version)}`` of the jobs that exist."""
        jobs = env["queue.job"].sudo()
        read = {
            row["uuid"]: (Job._of_row(jobs, row), row["version"])
            for row in jobs._read_rows("uuid", uuids)
        }
        Job._read_links([job for job, _version in read.values()])
        return read

    @classmethod
    def _next_in_run(cls, env, job_run):
        """Return the next job, claimed and locked, or None when it cannot be had."""
        job, verdict = job_run.claimed, "claimed"
        job_run.claimed = None
        if cls._follow_registry(env, job_run):
            job_run.read.clear()
            job = job and Job.load(env, job.uuid)
        if job:
            job.lock_with_work = not job._work
            return job
        if cls._is_extended("_acquire_job"):
            job = cls._acquire_job(env, job_run.waiting[0])
            job_run.take(None if job else run.REFUSED)
            if job is None:
                env.cr.rollback()
            return job
        for _try in range(CLAIM_TRIES):
            job, verdict = cls._claim_or_undo(env, job_run.waiting[0], job_run.read)
            if verdict != "changed":
                break
            env.cr.rollback()
        if job and not cls._commit_claim(env, job):
            job, verdict = None, run.REFUSED
        job_run.take(None if job else verdict)
        if job is None:
            # A held job is pending again.
            env.cr.commit() if verdict == run.HELD else env.cr.rollback()
        return job

    @classmethod
    def _commit_claim(cls, env, job):
        """Let everybody see ``started``; return whether the liveness lock could be taken."""
        if not cls._may_chain(env):
            env.cr.commit()
            return cls._lock_or_warn(job)
        try:
            job._commit_and_begin_work()
        except LostRunError:
            cls._warn_lost(job)
            return False
        return True

    @classmethod
    def _follow_registry(cls, env, job_run):
        """Tell and hear what changed in registry and caches, as between two requests.

        Return whether the registry was loaded again.
        """
        before = env.registry
        before.signal_changes()
        if time.monotonic() >= job_run.next_signal_check:
            before.check_signaling(env.cr)
            job_run.next_signal_check = time.monotonic() + SIGNAL_INTERVAL
        # Takes the registry that is valid now, and forgets the users and companies
        # that the environments of the job before kept.
        env.cr.reset()
        return env.cr.transaction.registry is not before

    @classmethod
    def _store_done(cls, env, job):
        """Write the row of a job that is done, and claim the next of its run.

        Both travel to the database together.
        """
        if not job.run:
            super()._store_done(env, job)
            return
        try:
            with env["queue.job"]._writes_held(job):
                job.store()
                env.cr.flush()
                cls._claim_next(env, job.run)
        except BaseException:
            job.run.unclaim()
            raise

    @classmethod
    def _commit_done(cls, env, job):
        job_run = job.run
        if job_run:
            job_run.leave_look(job)
        try:
            if not job_run or not job_run.claimed or not cls._may_chain(env):
                return super()._commit_done(env, job)
            job_run.claimed._commit_and_begin_work(before=job)
        except LostRunError:
            cls._warn_lost(job_run.claimed)
            job_run.note(job_run.claimed.uuid, run.REFUSED)
            job_run.claimed = None
        except BaseException:
            if job_run:
                job_run.unclaim()
            _rollback(env.cr)
            raise
        return None

    @classmethod
    def _may_chain(cls, env):
        """Return whether the next transaction may begin together with this commit.

        Hooks come between, and what others do in methods that they extend; it
        would become part of the work of the next job.
        """
        return (
            isinstance(env.cr, Cursor)
            and cls._may_commit()
            and not env.cr.postcommit
            and not cls._is_extended(
                "_runjob", "_try_perform_job", "_enqueue_dependent_jobs"
            )
        )

    @classmethod
    def _is_extended(cls, *names):
        """Return whether one of these steps is another one than here."""
        return any(
            getattr(getattr(cls, name), "__func__", None) is not STEPS[name]
            for name in names
        )

    @classmethod
    def _claim_next(cls, env, job_run):
        """Claim the next job in the transaction that ends this one.

        What else is to be done about it, if it cannot be had, is done in another one:
        this one may be rolled back.
        """
        uuid = job_run.next_uuid()
        if not uuid or cls._is_extended("_acquire_job"):
            return
        job, verdict = cls._claim(env, uuid, job_run.read)
        if job:
            job_run.take()
            job_run.claimed = job
        elif verdict == run.REFUSED:
            job_run.take(verdict)

    @classmethod
    def _has_to_commit(cls, env, job):
        """Return whether the release of the dependents of a job is to be committed."""
        next_job = job.run.claimed
        if job.frees_nobody or (next_job and next_job._work):
            return False
        return env.cr.connection.get_transaction_status() != TRANSACTION_STATUS_IDLE

    @classmethod
    def _look_behind(cls, env, job_run):
        """Release who waits for jobs of the run behind which nobody has looked."""
        if not job_run.unlooked or env.cr.closed:
            return
        jobs = env["queue.job"].sudo().browse(job_run.unlooked)
        try:
            jobs._release_dependents()
            env.cr.commit()
        except OperationalError:
            _rollback(env.cr)
            jobs._release_dependents_apart()

    @classmethod
    def _perform_in_run(cls, env, job, job_run):
        started = time.monotonic()
        job.run = job_run
        with _surroundings_kept(env):
            try:
                with exceptions_only():
                    cls._runjob(env, job)
                    if cls._has_to_commit(env, job):
                        env.cr.commit()
            except Exception:
                cls._tell_unrecorded(env, job)
                _rollback(env.cr)
        outcome = OUTCOMES.get(job.state, run.REFUSED)
        job_run.note(job.uuid, outcome, time.monotonic() - started)
        if env.cr.closed:
            job_run.stop()
            job_run.claimed = None

    @classmethod
    def _tell_unrecorded(cls, env, job):
        """Log what nobody has told yet of an error around a job."""
        if job.state == DONE:
            # Its work is committed: what that changed is for others to hear of.
            _logger.exception(
                "job %s is done, but what follows it could not be done", job.uuid
            )
            return
        if job.state not in OUTCOMES:
            _logger.exception("what became of job %s could not be recorded", job.uuid)
        env.registry.reset_changes()
