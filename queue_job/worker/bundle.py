# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A bundle: the jobs of one request, performed one after another by one worker.

The commit that ends one job claims the next. Between two jobs nothing leaks:
environments, caches, thread attributes and pending hooks are those of a new
request, and registry signals are sent and followed.
"""

import contextlib
import threading
import time
from collections import deque

import psycopg2
from psycopg2 import OperationalError
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from odoo import http
from odoo.sql_db import Cursor

from .. import protocol
from ..exception import LostRunError, contained
from ..job import Job
from ..states import DONE, FAILED, PENDING, WAIT_DEPENDENCIES
from ..store import links, release, rows, transitions
from ..store.waking import inside_job
from .attempt import commit_work, may_commit
from .lease import CHANGED, CLAIMED, Lease, claim, claim_or_undo, rollback
from .log import logger

CLAIM_TRIES = 3
# Seconds in a bundle between two checks for changes of registry and caches by other
# processes: the check costs as much as a short job.
SIGNAL_INTERVAL = 0.1

# The outcome that a report gives, by the state in which the job was left.
OUTCOMES = {
    DONE: protocol.DONE,
    FAILED: protocol.FAILED,
    PENDING: protocol.POSTPONED,
    WAIT_DEPENDENCIES: protocol.POSTPONED,
}


@contextlib.contextmanager
def _surroundings_kept(env):
    """Restore thread, request, cursor and transaction as they were before a job."""
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
            # Never emptied: other threads read this one.
            attributes.update(before)
            for name in attributes.keys() - before.keys():
                del attributes[name]
        # The others follow its connection, which the job may have lost.
        for name in vars(env.cr).keys() - known_of_cursor:
            del vars(env.cr)[name]


class Bundle:
    """Jobs of one channel that one worker performs one after another; commits each.

    :param doors: class of the worker, for the steps that modules override
    :param env: superuser environment on the cursor of the jobs
    :param budget: seconds after which no further job is started
    :param stop_at_failure: for a sequential channel: a job that is not done ends
        the bundle, because a proxy may have sent it again, and its first job
        runs elsewhere
    """

    def __init__(
        self, doors, env, uuids, budget=protocol.TIME_BUDGET, stop_at_failure=False
    ):
        self.doors = doors
        self.env = env
        self.waiting = deque(uuids)
        self.deadline = time.monotonic() + budget
        self.stop_at_failure = stop_at_failure
        self.report = protocol.Report()
        # Jobs read together before they are claimed, with the version of the row.
        self.prefetched = {}
        # The lease that was claimed together with the end of the job before.
        self.claimed = None
        self.overridden = doors.overridden_doors()
        # Ids of finished jobs whose dependents still have to be checked.
        self.unchecked = []
        # The request has just checked.
        self.next_signal_check = time.monotonic() + SIGNAL_INTERVAL

    def perform(self):
        """Perform the jobs and report on each; a job not started is left enqueued."""
        if len(self.waiting) > 1:
            self.prefetch(self.waiting)
        return self.drain()

    def drain(self):
        """Perform jobs as long as there are some and time is left; return the report."""
        with inside_job(self.env.cr.dbname):
            while self.has_next():
                job = self.next_job()
                if job:
                    self.perform_one(job)
        self._release_deferred()
        self.report.left = list(self.waiting)
        return self.report

    # Order ------------------------------------------------------------------

    def has_next(self):
        """Return whether there is a job to perform, and time for it."""
        return bool(self.claimed or self.next_uuid())

    def next_uuid(self):
        """Return the next job that there is time for, or None."""
        if self.waiting and time.monotonic() < self.deadline:
            return self.waiting[0]
        return None

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
        """Report on a job; in a sequential channel no job overtakes one that is not done."""
        self.report.add(uuid, outcome, seconds)
        if self.stop_at_failure and outcome != protocol.DONE:
            self.stop()

    def prefetch(self, uuids):
        """Read jobs, and who waits for them, in one statement each."""
        jobs = self.env["queue.job"].sudo()
        # The session is cleaned before.
        transitions.send(self.env.cr)
        found = {
            row["uuid"]: (rows.job_of(Job, jobs, row), row["version"])
            for row in rows.read(jobs, "uuid", uuids)
        }
        links.read_after(jobs, [Lease(job) for job, _version in found.values()])
        self.prefetched.update(found)

    # Claim ------------------------------------------------------------------

    def next_job(self):
        """Return the next job, claimed and locked, or None when it cannot be had."""
        lease, self.claimed = self.claimed, None
        if self._follow_registry():
            self.prefetched.clear()
            lease = lease and Lease(Job.load(self.env, lease.job.uuid))
        if lease:
            lease.is_unlocked = not lease.has_begun
            return lease.job
        if "_acquire_job" in self.overridden:
            job = self.doors._acquire_job(self.env, self.waiting[0])
            self.take(None if job else protocol.REFUSED)
            if job is None:
                self.env.cr.rollback()
            return job
        for _try in range(CLAIM_TRIES):
            job, verdict = claim_or_undo(self.env, self.waiting[0], self.prefetched)
            if verdict != CHANGED:
                break
            self.env.cr.rollback()
        if job and not self._commit_claim(job.lease):
            job, verdict = None, protocol.REFUSED
        self.take(None if job else verdict)
        if job is None:
            # A held job is pending again.
            cr = self.env.cr
            cr.commit() if verdict == protocol.HELD else cr.rollback()
        return job

    def _commit_claim(self, lease):
        """Commit ``started``; return whether the liveness lock could be taken."""
        if not self.may_chain():
            self.env.cr.commit()
            return lease.lock()
        try:
            lease.commit_and_begin_work(self.env.cr)
        except LostRunError:
            lease.log_lost()
            return False
        except psycopg2.Error:
            # A signal that was meant for the job before may arrive behind the commit.
            rollback(self.env.cr)
            if self.env.cr.closed or not lease.is_own():
                raise
            lease.is_unlocked = True
        return True

    def claim_next(self):
        """Claim the next job in the transaction that ends this one.

        What else is to be done about it, if it cannot be had, is done in another one:
        this one may be rolled back.
        """
        uuid = self.next_uuid()
        if not uuid or "_acquire_job" in self.overridden:
            return
        job, verdict = claim(self.env, uuid, self.prefetched)
        if verdict == CLAIMED:
            self.take()
            self.claimed = job.lease
        elif verdict == protocol.REFUSED:
            self.take(verdict)

    def unclaim(self):
        """Forget the claim that was rolled back together with the job before."""
        if self.claimed:
            self.waiting.appendleft(self.claimed.job.uuid)
            self.claimed = None

    def _follow_registry(self):
        """Signal and follow changes of registry and caches, as between two requests.

        Return whether the registry was loaded again.
        """
        cr = self.env.cr
        before = self.env.registry
        before.signal_changes()
        if time.monotonic() >= self.next_signal_check:
            before.check_signaling(cr)
            self.next_signal_check = time.monotonic() + SIGNAL_INTERVAL
        # Takes the registry that is valid now, and forgets the users and companies
        # that the environments of the job before kept.
        cr.reset()
        return cr.transaction.registry is not before

    # End of a job -----------------------------------------------------------

    def store_done(self, lease):
        """Write the row of a job that is done, and claim the next, in one message."""
        try:
            with lease.held_writes(self.env.cr):
                lease.job.store()
                self.env.cr.flush()
                self.claim_next()
        except BaseException:
            self.unclaim()
            raise

    def commit_done(self, lease):
        """Commit a job that is done, and begin the next where nothing comes between."""
        self.defer_release(lease)
        try:
            if self.claimed and self.may_chain():
                self.claimed.commit_and_begin_work(self.env.cr, before=lease)
            else:
                commit_work(self.env, lease)
        except LostRunError:
            self.claimed.log_lost()
            self.note(self.claimed.job.uuid, protocol.REFUSED)
            self.claimed = None
        except BaseException as error:
            if self._was_committed(lease, error):
                self.claimed.is_unlocked = True
                return
            self.unclaim()
            rollback(self.env.cr)
            raise

    def _was_committed(self, lease, error):
        """Return whether a job was committed as done, though the message failed.

        A signal may arrive behind the commit that begins the message.
        """
        chained = self.claimed and isinstance(error, psycopg2.Error)
        if not chained or self.env.cr.closed:
            return False
        rollback(self.env.cr)
        return lease.is_done()

    def may_chain(self):
        """Return whether the next transaction may begin together with this commit.

        Hooks of the commit and overridden doors come between; their work would
        become part of the work of the next job.
        """
        cr = self.env.cr
        return (
            isinstance(cr, Cursor)
            and may_commit()
            and not cr.postcommit
            and not self.overridden - {"_acquire_job"}
        )

    def perform_one(self, job):
        """Perform a claimed job through the doors, and report on it."""
        started = time.monotonic()
        lease = Lease.of(job)
        lease.bundle = self
        with _surroundings_kept(self.env):
            try:
                self.doors._runjob(self.env, job)
                if self._has_to_commit(lease):
                    self.env.cr.commit()
            except BaseException as error:
                contained(error)
                self._log_unrecorded(job)
                rollback(self.env.cr)
        if job.state == DONE and self.env["queue.job"]._is_followed(job):
            self.unchecked.append(job.row_id)
        outcome = OUTCOMES.get(job.state, protocol.REFUSED)
        self.note(job.uuid, outcome, time.monotonic() - started)
        if self.env.cr.closed:
            self.stop()
            self.claimed = None

    def _has_to_commit(self, lease):
        """Return whether the release of the dependents of a job is still to be committed."""
        if lease.has_no_dependents or (self.claimed and self.claimed.has_begun):
            return False
        status = self.env.cr.connection.get_transaction_status()
        return status != TRANSACTION_STATUS_IDLE

    def _log_unrecorded(self, job):
        """Log an error around a job that nothing else has logged."""
        if job.state == DONE:
            # Its work is committed: the changes of that are still to be signalled.
            logger.exception("job %s: done, but the steps after it failed", job.uuid)
            return
        if job.state not in OUTCOMES:
            logger.exception("job %s: could not record the outcome", job.uuid)
        self.env.registry.reset_changes()

    # Release ----------------------------------------------------------------

    def defer_release(self, lease):
        """Leave the check of dependents to the end of the bundle, if it will find none.

        The links were read when the bundle began. A job that came to wait since is
        found at the end, or by the runner if this worker dies.
        """
        following = (self.claimed and self.claimed.links_after) or set()
        if lease.links_after is not None and lease.links_after <= following:
            lease.has_no_dependents = True
            self.unchecked.append(lease.job.row_id)

    def _release_deferred(self):
        """Release the dependents of finished jobs whose check was left to the end."""
        if not self.unchecked or self.env.cr.closed:
            return
        jobs = self.env["queue.job"].sudo().browse(self.unchecked)
        try:
            jobs._release_dependents()
            self.env.cr.commit()
        except OperationalError:
            rollback(self.env.cr)
            release.behind_apart(jobs)
