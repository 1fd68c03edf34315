# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""An attempt: claim a job, perform it, record the outcome, release its dependents.

One transaction says that a job is done and holds its work: so the work counts
exactly once. The steps that modules override are the *doors*; this pipeline
calls each of them.
"""

import contextlib
import random
import time

import psycopg2
from psycopg2 import InterfaceError, OperationalError, errorcodes

from odoo.exceptions import ConcurrencyError
from odoo.service.model import PG_CONCURRENCY_ERRORS_TO_RETRY
from odoo.tools import config

from ..exception import (
    FailedJobError,
    JobError,
    JobStop,
    JobSuspended,
    LostRunError,
    RetryableJobError,
    contained,
    exceptions_only,
)
from ..options import STEPS
from ..utils import text_of
from . import outcome as outcomes
from .lease import Lease, acquire, clean_session, rollback
from .log import logger
from .outcome import Kind, Outcome

PG_RETRY = 5  # seconds until a job that met a conflict is tried again
# Seconds: 0 would stand for the retry pattern.
AT_ONCE = 0.001
DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE = 5
# A conflict goes away when the other transaction ends: try at once before postponing.
CONFLICT_TRIES_AT_ONCE = 3
# Seconds, at most, before the second try; twice that before the third.
CONFLICT_PAUSE = 0.05
# A job whose statement was cancelled, though it was not stopped, begins again so often.
INTERRUPTED_TRIES = 3
INTERRUPTIONS = (errorcodes.QUERY_CANCELED, errorcodes.ADMIN_SHUTDOWN)


class WorkerDoors:
    """The steps of an attempt that modules override, one by one.

    All are class methods; ``env`` is a superuser environment on the cursor of the job.
    """

    # Logs the traceback of each job that failed.
    _failure_logger = logger

    @classmethod
    def _acquire_job(cls, env, job_uuid):
        """Claim an enqueued job, commit, lock it; return it or None."""
        return acquire(env, job_uuid)

    @classmethod
    def _runjob(cls, env, job):
        """Perform a claimed job, record the outcome, release its dependents.

        Postponed jobs return normally; the exception of a job that failed is
        raised again when the failure is recorded.
        """
        kind, error = perform(cls, env, job)
        if kind is Kind.DONE:
            Lease.of(job).forget_progress()
            cls._enqueue_dependent_jobs(env, job)
            return
        _forget_changes(env, job)
        try:
            outcomes.record(cls, job, Outcome(kind, error))
            if kind is Kind.FAILED:
                raise error
        finally:
            # The traceback of the error refers to this frame.
            del error
        rollback(env.cr)

    @classmethod
    def _try_perform_job(cls, env, job):
        """Perform a job and commit it as done; raise what the job raises."""
        perform_and_commit(env, job)

    @classmethod
    def _enqueue_dependent_jobs(cls, env, job):
        """Release the jobs that waited for this one alone."""
        release_dependents(env, job)

    @classmethod
    def _get_failure_values(cls, job, traceback_txt, orig_exception):
        """Return what is kept of an exception: exc_name, exc_message and exc_info."""
        return outcomes.failure_values(traceback_txt, orig_exception)

    @classmethod
    def overridden_doors(cls):
        """Return the names of the doors that are not those of this class."""
        own = vars(WorkerDoors)
        return {
            name
            for name in (
                "_acquire_job",
                "_runjob",
                "_try_perform_job",
                "_enqueue_dependent_jobs",
            )
            if getattr(getattr(cls, name), "__func__", None) is not own[name].__func__
        }


# Perform --------------------------------------------------------------------


def perform(doors, env, job):
    """Perform a job, again at once for a conflict, up to a few times; return the outcome."""
    lease = Lease.of(job)
    lease.renew()
    try:
        _perform_until_no_conflict(doors, env, lease)
    except LostRunError as error:
        return Outcome(Kind.LOST, error)
    except RetryableJobError as error:
        return Outcome(Kind.POSTPONED, error)
    except JobStop as error:
        return Outcome(Kind.STOPPED, error)
    except JobSuspended as error:
        return Outcome(Kind.SUSPENDED, error)
    except BaseException as error:  # noqa: BLE001 a job may raise anything
        return Outcome(Kind.FAILED, contained(error))
    return Outcome(Kind.DONE)


def _perform_until_no_conflict(doors, env, lease):
    job = lease.job
    tries = CONFLICT_TRIES_AT_ONCE if lease.commits else 1
    number = 0
    while True:
        number += 1
        retry, steps = job.retry, lease.step_number
        try:
            _perform_until_not_interrupted(doors, env, lease)
            return
        except (OperationalError, InterfaceError, ConcurrencyError) as error:
            has_stepped = lease.step_number > steps
            if env.cr.closed or _is_of_lost_connection(error):
                # Not the job's fault, but the try is counted.
                pause = AT_ONCE if lease.step_number else PG_RETRY
                raise _counted(job, error, pause) from error
            if not _is_conflict(error):
                raise
            if has_stepped and lease.commits:
                # It goes on from its checkpoint, which gets ahead.
                number, retry = 0, job.retry - 1
            if number == tries or job.job_config.allow_commit:
                raise _counted(job, error) from error
            _begin_again(env, lease, number)
            job.retry = retry


def _perform_until_not_interrupted(doors, env, lease):
    """Perform a job, again at once when a signal was meant for another job of its worker.

    The signal that interrupts a job that was stopped may arrive when its backend works for
    the next one.

    :raise LostRunError: when the job itself was stopped
    """
    job = lease.job
    for tries_left in reversed(range(INTERRUPTED_TRIES + 1)):
        retry, steps = job.retry, lease.step_number
        try:
            doors._try_perform_job(env, job)
            return
        except Exception as error:
            if not lease.commits or isinstance(error, (JobStop, FailedJobError)):
                raise
            if not _is_interruption(error):
                raise
            if not lease.is_own():
                text = f"Job {job.uuid} was stopped in run {lease.run_number}"
                raise LostRunError(text) from error
            if not tries_left or env.cr.closed or job.job_config.allow_commit:
                raise
            if lease.step_number > steps:
                # It goes on from its checkpoint, with attempts counted anew.
                retry = job.retry - 1
            _begin_again(env, lease, 1)
            job.retry = retry


def _is_interruption(error):
    """Return whether a signal ended a statement or backend of the job."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if getattr(error, "pgcode", None) in INTERRUPTIONS:
            return True
        error = error.__cause__ or error.__context__
    return False


def _counted(job, error, seconds=PG_RETRY):
    """Return the retryable error for a database error, if a try is left."""
    cause = _first_cause(error)
    if isinstance(cause, JobError):
        return cause
    retryable = RetryableJobError(text_of(cause), seconds=seconds)
    # The traceback of a job that fails begins with it.
    retryable.__cause__ = error
    job.check_tries(retryable)
    return retryable


def _first_cause(error):
    """Return the error that came before those of a connection that was closed already."""
    while isinstance(error, InterfaceError) and error.__context__:
        error = error.__context__
    return error


def _begin_again(env, lease, number):
    """Take a new snapshot, and the liveness lock with it.

    A job that was never claimed has no lock: its caller owns it.
    """
    env.cr.rollback()
    env.cr.reset()
    _forget_changes(env, lease.job)
    time.sleep(random.uniform(0, CONFLICT_PAUSE * number))
    lease.is_unlocked = bool(lease.job.run_number)


def _forget_changes(env, job):
    """Undo in the caches and the registry of this process what was undone in the rows.

    Other processes are notified all the same of a job that may commit: it may have.
    """
    registry = env.registry
    if job.job_config.allow_commit:
        caches, models = set(registry.cache_invalidated), registry.registry_invalidated
        registry.signal_changes()
        registry.cache_invalidated.update(caches)
        registry.registry_invalidated = models
    registry.reset_changes()
    clean_session(env.cr)


def _is_conflict(error):
    """Return whether Odoo would try a request again at once after this error."""
    return isinstance(error, ConcurrencyError) or (
        isinstance(error, OperationalError)
        and error.pgcode in PG_CONCURRENCY_ERRORS_TO_RETRY
    )


def _is_of_lost_connection(error):
    """Return whether the connection of a job that may commit was lost.

    That is one of its own. Closing it fails as well, see :func:`_first_cause`.
    """
    cursors = [getattr(cause, "cursor", None) for cause in (error, error.__context__)]
    return any(cursor and cursor.connection.closed for cursor in cursors)


def perform_and_commit(env, job):
    """Perform the job and commit it as done.

    Work and outcome are in one savepoint: when any of it fails, all row
    locks of the job are gone before the failure is handled, but not the
    liveness lock, which is older. Until the commit the job's environment
    stands behind the transaction: computations and checks are those of its user.

    :raise LostRunError: when the liveness lock is still to be taken and cannot be
    """
    logger.debug("%s started", job)
    lease = Lease.of(job)
    stored = dict(job.stored)
    transaction = env.cr.transaction
    worker_env = transaction.default_env
    try:
        with lease.begin_work(env.cr) as work:
            with _commit_by_mode(lease, env.cr, work):
                with _rollback_to(env.cr, work):
                    assert env.cr is job.env.cr, "A job lives on its worker's cursor"
                    transaction.default_env = job.env
                    with _surrounded(job):
                        job.perform()
                        # `request.update_env` replaces it too.
                        transaction.default_env = job.env
                        # Pending computations belong to the time of the job.
                        job.env.flush_all()
                work.check()
                lease.end_steps(env.cr)
                job.set_done()
                lease.work_ended = False
                if lease.bundle:
                    lease.bundle.store_done(lease)
                else:
                    lease.store_done(env.cr)
        if lease.bundle:
            lease.bundle.commit_done(lease)
        else:
            commit_work(env, lease)
    except BaseException:
        job.stored = stored
        raise
    finally:
        transaction.default_env = worker_env
    logger.debug("%s done", job)


@contextlib.contextmanager
def _surrounded(job):
    """Enter what addons put around an attempt; it cannot suppress the job's error."""
    errors = []
    with job.env["queue.job"]._around_job(job):
        try:
            yield
        except BaseException as error:
            errors.append(error)
            raise
    if errors:
        raise errors.pop()


def commit_work(env, lease):
    """Commit the work and its outcome; a failure rolls back.

    Until then the row is locked, and the failure could not be recorded.
    """
    if not lease.commits:
        lease.end_work()
        return
    try:
        # Most were sent with the outcome.
        if not lease.work_ended:
            lease.end_work()
        if may_commit():
            _commit(env)
    except BaseException:
        rollback(env.cr)
        raise


def may_commit():
    """Return whether the transaction is not that of a test."""
    return not config["test_enable"]


def _commit(env):
    """Commit; a hook that fails after the commit is logged: nothing is undone."""
    # An error before the commit is no error after it.
    env.cr.flush()
    try:
        env.cr.commit()
    except psycopg2.Error:
        raise
    except BaseException as error:
        contained(error)
        logger.exception("a hook that runs after the commit failed, the job is done")


def _commit_by_mode(lease, cr, work):
    """Return the block in which ``cr.commit`` does what the job function allows."""
    if lease.job.commit_mode == STEPS:
        return _commit_steps(lease, cr, work)
    return _prevent_commit(cr)


@contextlib.contextmanager
def _commit_steps(lease, cr, work):
    """Let ``cr.commit`` end a step in this block, and know the savepoints of the job."""
    commit, savepoint = cr.commit, cr.savepoint
    cr.commit = lambda: lease.commit_step(cr, work, chained=may_commit())
    cr.savepoint = lambda flush=True: work.note(savepoint(flush=flush))
    try:
        yield
    finally:
        cr.commit, cr.savepoint = commit, savepoint


@contextlib.contextmanager
def _prevent_commit(cr):
    """Forbid ``cr.commit`` in this block: it would split the job and free its lock."""

    def forbidden_commit():
        raise RuntimeError(
            "Commit is forbidden in queue jobs: a retry would repeat the committed work. To "
            "commit in steps, set the commit mode of the job function to Steps (or Free, "
            "formerly Allow Commit)."
        )

    original = cr.commit
    cr.commit = forbidden_commit
    try:
        yield
    finally:
        cr.commit = original


@contextlib.contextmanager
def _rollback_to(cr, savepoint):
    """Let ``cr.rollback`` undo the job's work in this block, and keep its lock."""

    def rollback_of_job():
        cr.postcommit.clear()
        cr.prerollback.run()
        savepoint.rollback()
        cr.postrollback.run()

    original = cr.rollback
    cr.rollback = rollback_of_job
    try:
        yield
    finally:
        cr.rollback = original


# Release --------------------------------------------------------------------


def release_dependents(env, job):
    """Make pending the jobs that waited for this one alone.

    Called when the end of the job is committed, in a transaction that is
    younger: of two parents that end at once, the later one sees both.
    """
    if job.should_check_dependents():
        _release_until_no_conflict(env, job)


@exceptions_only()
def _release_until_no_conflict(env, job):
    """Release the dependents of a job, a few times if there are conflicts.

    A conflict is tried again in a transaction of its own, because the snapshot of
    this one stays what it is.
    """
    try:
        with env.cr.savepoint():
            job.enqueue_waiting()
        return
    except OperationalError as error:
        if not _is_conflict(error):
            raise
        _pause_before_retry(error, 1)
    for tries in range(2, DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE + 1):
        try:
            with job.in_temporary_env():
                job.enqueue_waiting()
            return
        except OperationalError as error:
            if not _is_conflict(error):
                raise
            if tries == DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE:
                logger.error(
                    "%s, maximum number of tries reached to update dependencies",
                    errorcodes.lookup(error.pgcode),
                )
                raise
            _pause_before_retry(error, tries)


def _pause_before_retry(error, tries):
    pause = random.uniform(0, CONFLICT_PAUSE * 2**tries)
    logger.info(
        "%s, retry %d/%d in %.4f sec...",
        errorcodes.lookup(error.pgcode),
        tries,
        DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE,
        pause,
    )
    time.sleep(pause)
