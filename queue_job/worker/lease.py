# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The lease: the claim of one worker on one job.

A claim is committed on its own, so that a crash is counted. The transaction of the
work holds the lock of the job's liveness row. Its snapshot is as old as that lock, so
the outcome cannot overwrite a move in between: PostgreSQL refuses with 40001
(cursors are REPEATABLE READ), which keeps a cancel.

Each claim is a function in the database, because planning takes longer than
execution, and goes in few messages, because a message costs as much as its statement.
States are compared in a way that no index offers: the planner would walk over all
jobs that ever passed through them.
"""

import contextlib
import os
import re
import time
from datetime import datetime
from functools import cached_property

import psycopg2
from psycopg2 import InterfaceError, OperationalError
from psycopg2.errors import InvalidSavepointSpecification, NoActiveSqlTransaction
from psycopg2.extensions import (
    ISOLATION_LEVEL_REPEATABLE_READ,
    TRANSACTION_STATUS_IDLE,
    TRANSACTION_STATUS_INTRANS,
)

from odoo import http
from odoo.sql_db import Cursor, _FlushingSavepoint
from odoo.tools import SQL

from ..exception import (
    BrokenTransactionError,
    JobSuspended,
    LostRunError,
    contained,
)
from ..job import Job
from ..protocol import HELD, REFUSED
from ..sql import statements as sql
from ..states import ENQUEUED, MOVES, PENDING
from ..store import rows, transitions
from .current import CurrentJob
from .log import logger
from .suspension import Suspension

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CLAIMED = "claimed"
CHANGED = "changed"
# Written by a claim, as attribute of a job and as column.
CLAIM_COLUMNS = ("state", *MOVES["claim"].sets)
# Raised by the function in the database that locks a run, when it cannot; the message
# while another session holds the lock.
LOST_RUN, LOCKED = "QJ002", "locked"
# Seconds in which a lock that a sweep holds for a moment is asked for again, and between.
LOCK_PATIENCE, LOCK_PAUSE = 2, 0.05
# Raised by a step that finds that its job is not started by this claim any more.
LOST_STEP = "QJ003"


BROKEN_TRANSACTION = (
    "The job ended the transaction of its worker, by COMMIT or ROLLBACK in SQL or on the "
    "connection: what was committed stays, and the job was not protected from running twice. "
    "To commit in a job, set the commit mode of its job function to Steps or, formerly Allow "
    "Commit, to Free."
)


@contextlib.contextmanager
def _broken_transaction_noticed():
    """Raise ``BrokenTransactionError`` when the savepoint of the work is gone."""
    try:
        yield
    except (InvalidSavepointSpecification, NoActiveSqlTransaction) as error:
        raise BrokenTransactionError(BROKEN_TRANSACTION) from error.__context__


class LockedRunError(LostRunError):
    """The run is this worker's, and another session holds its liveness lock."""


class WorkSavepoint(_FlushingSavepoint):
    """Where the work of a job can be undone without losing its liveness lock.

    The statement that makes it is sent by the lease; the commit of the work releases it.
    """

    def __init__(self, cr):
        self.name = "queue_job_work"
        self._cr = cr
        self.closed = False
        # The savepoints that a job in steps has made behind this one.
        self.opened = []

    def check(self):
        """Refuse a transaction that was ended; the commit finds what this does not see."""
        if self._cr.connection.get_transaction_status() == TRANSACTION_STATUS_IDLE:
            raise BrokenTransactionError(BROKEN_TRANSACTION)

    def note(self, savepoint):
        """Know a savepoint that the job makes."""
        while self.opened and self.opened[-1].closed:
            self.opened.pop()
        self.opened.append(savepoint)
        return savepoint

    def has_inner(self):
        """Return whether a savepoint of the job is open."""
        return not all(savepoint.closed for savepoint in self.opened)

    def rollback(self):
        self.opened.clear()
        self._cr.clear()
        with _broken_transaction_noticed():
            self._cr.execute(sql.undo_work, log_exceptions=False)

    def _close(self, rollback):
        if rollback:
            return super()._close(rollback)
        # A job that is done was flushed.
        self.closed = True
        return None


def lock_first(env, uuids):
    """Lock the first of these pending jobs that is due and free, and its keys.

    Return its uuid, None when none is. Skips, never waits.
    """
    verdict, _version, uuid = _call_claim(env, uuids, PENDING, None, None)
    return uuid if verdict == CLAIMED else None


def _call_claim(env, uuids, state, started, sent):
    call = _claim_expression(uuids, state, started, sent)
    transitions.send(env.cr, SQL(sql.claim, call=call))
    return env.cr.fetchone()[0]


def _claim_expression(uuids, state, started, sent):
    values = {"uuids": list(uuids), "state": state, "started": started, "sent": sent}
    return SQL(sql.claim_call, pid=os.getpid(), **values)


def claim(env, uuid, prefetched=None):
    """Claim an enqueued job in the current transaction; write nothing else.

    Return ``(job, verdict)``. The job is None unless the verdict is ``claimed``. Others
    are ``refused`` when it is not enqueued or locked elsewhere, ``held`` while a
    refused caller of its key is in a transaction, ``changed`` when the row is
    newer than this snapshot: try again in another transaction.

    :param prefetched: ``{uuid: (job, version)}`` of jobs read before
    """
    jobs = env["queue.job"].sudo()
    started = datetime.now()
    job, known_version = (prefetched or {}).pop(uuid, (None, None))
    if job:
        verdict, version, _uuid = _call_claim(env, [uuid], ENQUEUED, started, None)
    else:
        call = _claim_expression([uuid], ENQUEUED, started, None)
        row = rows.read_one(jobs, uuid, call)
        verdict, version, _uuid = row["claim"] if row else (REFUSED, "", "")
        known_version = row and row["version"]
    if verdict != CLAIMED:
        if verdict == REFUSED:
            # Over HTTP, text that is no uuid and of no row was written by a stranger.
            is_known = known_version or UUID.fullmatch(uuid) or not http.request
            logger.warning(
                "was requested to run job %s, but it does not exist, or is not in state "
                "enqueued, or is handled by another worker",
                uuid if is_known else "(not a uuid)",
            )
        return None, verdict
    if version != known_version:
        job = Job.load(env, uuid)
    else:
        job = job or rows.job_of(Job, jobs, row)
        job.become_started(started)
    Lease.of(job).notify_write_overrides()
    return job, verdict


def claim_first(env, uuids, prefetched=None, commits=True):
    """Claim the first of these pending jobs that can be had; return its lease, or None.

    For a worker that no runner sends jobs to: the claim is its date of sending too.

    :param prefetched: as for :func:`claim`
    :param commits: False: other sessions never see the claim, and a rollback undoes
        it; then it has no date that the rule of dead jobs would read
    """
    started = datetime.now()
    sent = started if commits else None
    verdict, version, uuid = _call_claim(env, uuids, PENDING, started, sent)
    if verdict != CLAIMED:
        return None
    job, known_version = (prefetched or {}).pop(uuid, (None, None))
    if version == known_version:
        job.become_started(started)
        job.date_enqueued = job.stored["date_enqueued"] = sent
    else:
        job = Job.load(env, uuid)
    lease = Lease.of(job)
    lease.commits = commits
    lease.notify_write_overrides()
    return lease


def claim_or_undo(env, uuid, prefetched=None):
    """Claim in a transaction of its own; a held job is put back to pending.

    A claim that raises is undone. The caller commits.
    """
    try:
        job, verdict = claim(env, uuid, prefetched)
        if verdict == HELD:
            transitions.move(Job.db_records_from_uuids(env, [uuid]), "put back")
            env.flush_all()
    except BaseException:
        rollback(env.cr)
        raise
    return job, verdict


def acquire(env, uuid):
    """Claim a job, commit, and take its liveness lock.

    The commit shows ``started`` to other sessions, or the return of a held job to
    pending; the lock is held by the transaction that follows. Return the job, or
    None when it cannot be had, with nothing written.
    """
    job, verdict = claim_or_undo(env, uuid)
    if job or verdict == HELD:
        env.cr.commit()
    return job if job and Lease.of(job).lock() else None


def rollback(cr):
    """Roll back, unless the connection is gone and has done so."""
    if not cr.closed:
        cr.rollback()


def clean_session(cr):
    """Take from the session what a job left that failed; its work was undone before.

    A rollback takes only a part of it. An open transaction goes on, and with it the
    liveness lock; a broken one is rolled back.
    """
    if cr.closed:
        return
    connection = cr.connection
    try:
        if connection.get_transaction_status() == TRANSACTION_STATUS_INTRANS:
            cr.execute(sql.clean_session)
            return
        # The job may have committed its work.
        cr.rollback()
        if connection.get_transaction_status() == TRANSACTION_STATUS_IDLE:
            connection.set_session(
                isolation_level=ISOLATION_LEVEL_REPEATABLE_READ,
                readonly=False,
                autocommit=False,
            )
        cr.execute(sql.clean_idle_session)
        cr.commit()
    except Exception:
        logger.warning("session of a job not cleaned; closing it", exc_info=True)
        connection.close()


@contextlib.contextmanager
def own_session(cr, job_id=None):
    """Give a job a clean session on a connection of its own; clean up behind it.

    :param job_id: for which the connection can be found, and interrupted, while it works
    :raise psycopg2.Error: at the end, where an error of the transaction was swallowed:
        nothing of the work would be left
    """
    if job_id:
        statement = f"{sql.enter_session}; {sql.hold_own_session}"
        cr.execute(statement, {"job": job_id})
    else:
        cr.execute(sql.enter_session)
    try:
        yield
        cr.execute(sql.clean_session)
    except BaseException:
        clean_session(cr)
        raise


class Lease:
    """The hold of a worker on a job that it performs; ``job.lease`` is it.

    ``state`` is the one that was stored when the run began: the outcome is written
    while the row is still in that state and in this run.
    """

    def __init__(self, job):
        self.job = job
        self.bundle = None
        # False: all happens in the transaction of the caller.
        self.commits = True
        # The liveness lock is still to be taken, together with the savepoint of the work.
        self.is_unlocked = False
        # The savepoint that was made together with the commit of the job before.
        self._begun = None
        # The savepoint of the work was released together with the outcome.
        self.work_ended = False
        # The links to later jobs when the bundle was read, see ``store/links.py``.
        self.links_after = None
        # It is known that this job releases no other.
        self.has_no_dependents = False
        # The job as its method sees it, and the steps of this attempt.
        self.current = None
        self.step_number = 0
        # When the first try of this attempt began, on the monotonic clock.
        self.began_at = None
        # The error of a claim that was lost in a step: a job that catches it is not done.
        self.lost = None
        job.lease = self
        self.renew()

    @classmethod
    def of(cls, job):
        """Return the lease of a job; a job that was never claimed gets one without lock."""
        return job.lease or cls(job)

    def renew(self):
        """Take the state and the run that were stored last for those of this worker."""
        self.state = self.job.stored.get("state", self.job.state)
        self.run_number = self.job.stored.get("run_number")

    @property
    def has_begun(self):
        return self._begun is not None

    @property
    def run(self):
        return self.run_number or 0

    def recording(self):
        """Return the block in which an outcome is recorded: a transaction of its own."""
        return self.job.in_temporary_env() if self.commits else contextlib.nullcontext()

    # Claim ------------------------------------------------------------------

    def notify_write_overrides(self):
        """Call overrides of ``write`` with the claim, which is in the row already.

        One that raises makes this job fail, and not the worker that claimed it: that
        would claim it again for ever, and the jobs around it would suffer.
        """
        job = self.job
        try:
            rows.notify_started(job, CLAIM_COLUMNS)
        except (OperationalError, InterfaceError):
            raise
        except BaseException as raised:
            error = contained(raised)
            logger.exception(
                "job %s: an override of write() raised when the job was started; "
                "marking it failed",
                job.uuid,
            )
            transitions.forget_cached(job.record)
            rows.keep_stored(job, CLAIM_COLUMNS)
            job.load_error = f"cannot be started: {type(error).__name__}: {error}"
        self.renew()

    def lock(self):
        """Lock the liveness row; return False, with a log line, when that is impossible.

        The transaction has done nothing yet: it begins again while a sweep holds the row.
        """
        deadline = time.monotonic() + LOCK_PATIENCE
        while not self.job.lock():
            if not (self._is_in_run() and self._may_lock_again(deadline)):
                self.log_lost()
                return False
        return True

    def _is_in_run(self):
        values = {"job": self.job.row_id, "run": self.run_number or 0}
        cr = self.job.env.cr
        cr.execute(sql.is_in_run, values)
        return bool(cr.rowcount)

    def _may_lock_again(self, deadline):
        """Begin a transaction and return True while it is worth to ask for the lock again."""
        if not self.commits or time.monotonic() >= deadline:
            return False
        self.job.env.cr.rollback()
        time.sleep(LOCK_PAUSE)
        return True

    def log_lost(self):
        logger.warning(
            "job %s: could not be locked: its state changed after the claim",
            self.job.uuid,
        )

    def is_current(self):
        """Lock the row and return whether it is still as this worker left it.

        A job without a row was moved by no other session.
        """
        job = self.job
        if job.is_new():
            return True
        job.record.flush_recordset(["state", "run_number"])
        cr = job.env.cr
        cr.execute(
            sql.is_own_run,
            {"job": job.row_id, "state": self.state, "run": self.run_number or 0},
        )
        return bool(cr.rowcount)

    def is_own(self):
        """Return whether the row is still as this worker left it, asked in a new transaction.

        An error of a message that commits does not say whether that was done.
        """
        with self.job.in_temporary_env():
            return self.is_current()

    def is_done(self):
        """Return whether this run is committed as done, asked in a new transaction."""
        values = {"job": self.job.row_id, "run": self.run_number or 0}
        with self.job.in_temporary_env():
            cr = self.job.env.cr
            cr.execute(sql.is_done, values)
            return bool(cr.rowcount)

    # Work -------------------------------------------------------------------

    def begin_work(self, cr):
        """Return the savepoint of the work, with the liveness lock if it is still to be taken.

        :raise LostRunError: when the job is not started by this very claim, or
            another session holds the lock
        """
        begun, self._begun = self._begun, None
        self.current = None
        if self.began_at is None:
            self.began_at = time.monotonic()
        if begun:
            return begun
        cr.flush()
        if self.is_unlocked:
            self.is_unlocked = False
            self._lock_and_begin_work(cr)
        else:
            cr.execute(sql.savepoint_of_work)
        return WorkSavepoint(cr)

    def _lock_and_begin_work(self, cr):
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                self._execute(cr, sql.lock_and_begin_work)
                return
            except LockedRunError:
                if not self._may_lock_again(deadline):
                    raise

    def store_done(self, cr):
        """Write the row of a job that is done, with the release of its savepoint."""
        with self.held_writes(cr):
            self.job.store()
            cr.flush()

    @contextlib.contextmanager
    def held_writes(self, cr):
        """Send the writes of this job, which is done, with the next claim of the block.

        Before them the session is cleaned. They are sent at the end of the block, if
        there was no claim: then the savepoint of the work is released with them.

        :raise BrokenTransactionError: when the savepoint is gone
        """
        held = transitions.hold_writes(cr, SQL(sql.clean_session))
        try:
            yield
            self.work_ended = bool(held)
        except BaseException:
            transitions.drop_held(cr)
            raise
        with _broken_transaction_noticed():
            transitions.send_held(cr, held, SQL(sql.release_work))

    def end_work(self):
        """Release the savepoint of the work, right before the commit.

        :raise BrokenTransactionError: when it is gone
        """
        if not self.work_ended:
            with _broken_transaction_noticed():
                self.job.env.cr.execute(sql.release_work, log_exceptions=False)

    def commit_and_begin_work(self, cr, before=None):
        """Commit, and begin the work of this job, all in one message.

        The hooks that run after a commit are not called: there must be none.

        :raise BrokenTransactionError: as :meth:`end_work`, of ``before``

        :param before: the lease that the commit ends; when that job releases others,
            the work is not begun: the new transaction is that of the release
        """
        cr.flush()
        look = before and before.job.may_be_linked() and not before.has_no_dependents
        has_no_dependents = True
        statement = (
            sql.commit_and_begin_work_behind if look else sql.commit_and_begin_work
        )
        if before and not before.work_ended:
            statement = f"{sql.release_work}; {statement}"
        try:
            with _broken_transaction_noticed():
                self._execute(cr, statement, before=before and before.job.row_id)
            if look:
                has_no_dependents = cr.fetchone()[0]
        except LostRunError as error:
            # The commit came before.
            _forget_transaction(cr)
            cr.rollback()
            if not isinstance(error, LockedRunError):
                raise
            # The lock is taken in another transaction, with patience.
            self.is_unlocked, has_no_dependents = True, not look
        _forget_transaction(cr)
        if has_no_dependents and not self.is_unlocked:
            self._begun = WorkSavepoint(cr)
        if look:
            before.has_no_dependents = has_no_dependents

    # Steps ------------------------------------------------------------------

    def current_on(self, cr):
        """Return what the method sees of its job."""
        if self.current is None:
            self.current = CurrentJob(cr, self)
        return self.current

    @cached_property
    def suspension(self):
        return Suspension(self.began_at)

    def commit_step(self, cr, work, chained=True):
        """Commit the work so far with its checkpoint, and begin the next step.

        One message checks that the job is still started by this claim, commits, takes the
        liveness lock, outside of the savepoint, and makes the savepoint. Its errors say
        nothing about the commit: the rows are asked. The hooks of the commit run with the
        lock; what they wrote on other connections is seen by the next step.

        :param work: the savepoint of the work, which is made anew
        :param chained: False: the transaction is that of a test, which commits nothing
        :raise RuntimeError: inside a savepoint of the job
        :raise LostRunError: the claim was lost; nothing was committed since it was
        :raise JobSuspended: after the commit, when the job has to end
        """
        if self.lost:
            raise self.lost
        if work.has_inner():
            raise RuntimeError(
                "Commit inside an open savepoint is forbidden: a commit ends all savepoints. "
                "Commit when the savepoint is closed."
            )
        cr.flush()
        current = self.current_on(cr)
        values = self._step_values(current)
        current.withdraw()
        if not (chained and self.commits and isinstance(cr, Cursor)):
            self._keep_step(cr, sql.keep_step_here, values)
            self._count_step(cr, current)
            _forget_transaction(cr)
            return
        has_hooks = bool(cr.postcommit)
        try:
            self._keep_step(cr, sql.commit_step, values)
        except psycopg2.Error as error:
            self._mend_step(cr, values, error)
        self._count_step(cr, current)
        cr.clear()
        cr._now = None
        cr.prerollback.clear()
        cr.postrollback.clear()
        self.job.env.registry.signal_changes()
        if has_hooks:
            self._run_hooks(cr)
            self._chain_step(cr, values)
        self.check_suspension()

    def keep_apart(self, cr, current):
        """Keep the checkpoint of a job that commits on its own connection, before it does."""
        values = self._step_values(current)
        current.withdraw()
        self._keep_step(cr, sql.keep_step_apart, values)
        self._count_step(cr, current)

    def check_suspension(self):
        """Raise ``JobSuspended`` when the job has to end and to go on in another attempt."""
        reason = self.suspension.reason()
        if reason:
            raise JobSuspended(reason)

    def end_steps(self, cr):
        """Forget the steps of a job that is done, in the transaction that says so.

        :raise LostRunError: when a step has found that the claim was lost
        """
        if self.lost:
            raise self.lost
        if self.current and self.current.is_kept_here():
            cr.execute(sql.drop_checkpoints, {"jobs": [self.job.row_id]})

    def forget_progress(self):
        """Let the screens forget what was shown of a job that is done, after its commit."""
        if self.current:
            self.current.forget()

    def _step_values(self, current):
        return {
            **current.values(),
            "job": self.job.row_id,
            "run": self.run,
            "number": self.step_number + 1,
            "tries": self.job.retry - 1,
        }

    def _keep_step(self, cr, statement, values):
        try:
            with _broken_transaction_noticed():
                cr.execute(statement, values, log_exceptions=False)
        except psycopg2.Error as error:
            if error.pgcode == LOST_STEP:
                raise self._lose() from error
            raise

    def _count_step(self, cr, current):
        self.step_number += 1
        # The attempts count anew.
        self.job.retry = cr.fetchone()[0]
        current.kept()

    def _mend_step(self, cr, values, error):
        """Begin the next step after a message that broke, if its commit was done.

        Else begin this one again, and raise the error.

        :raise LostRunError: when the job is not started by this claim any more
        """
        if cr.closed:
            raise error
        cr._cnx.rollback()
        cr.execute(sql.last_step, values)
        is_done = cr.fetchone() == (values["number"],)
        try:
            self._begin_step_anew(cr, values, error)
        except LostRunError:
            if is_done:
                self._run_hooks(cr)
            raise
        if not is_done:
            cr.clear()
            cr.postcommit.clear()
            cr.prerollback.run()
            cr.postrollback.run()
            raise error

    def _begin_step_anew(self, cr, values, error):
        """Take the lock again in a new transaction, and make the savepoint.

        :raise LostRunError: when the job is not started by this claim any more
        """
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            cr._cnx.rollback()
            try:
                cr.execute(sql.begin_step_anew, values, log_exceptions=False)
                return
            except psycopg2.Error as refused:
                if refused.pgcode != LOST_RUN:
                    raise
            cr._cnx.rollback()
            if not self._is_in_run() or time.monotonic() > deadline:
                raise self._lose() from error
            time.sleep(LOCK_PAUSE)

    def _chain_step(self, cr, values):
        cr.flush()
        try:
            cr.execute(sql.chain_step, values, log_exceptions=False)
        except psycopg2.Error as error:
            if cr.closed:
                raise
            self._begin_step_anew(cr, values, error)
        _forget_transaction(cr)

    def _run_hooks(self, cr):
        """Run the hooks of a commit; one that fails is logged: nothing is undone."""
        while cr.postcommit:
            try:
                cr.postcommit.run()
            except JobSuspended:
                raise
            except BaseException as error:
                contained(error)
                logger.exception(
                    "job %s: a hook that runs after the commit of a step failed",
                    self.job.uuid,
                )

    def _lose(self):
        self.lost = LostRunError(
            f"Job {self.job.uuid} is not in run {self.run} any more"
        )
        return self.lost

    def _execute(self, cr, statement, **values):
        values.update(job=self.job.row_id, run=self.run_number)
        try:
            cr.execute(statement, values, log_exceptions=False)
        except psycopg2.Error as error:
            if error.pgcode == LOST_RUN:
                is_locked = error.diag.message_primary == LOCKED
                kind = LockedRunError if is_locked else LostRunError
                raise kind(
                    f"Job {self.job.uuid} is not in run {self.run_number}"
                ) from error
            raise


def _forget_transaction(cr):
    """Do what a cursor does after a commit."""
    cr.clear()
    cr._now = None
    for hooks in (cr.prerollback, cr.postrollback, cr.postcommit):
        hooks.clear()
