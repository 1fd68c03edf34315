# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Claim a job, perform it, record what became of it, release its dependents.

One transaction says that a job is done and holds its work: so the work counts
exactly once. The claim before it is committed on its own, so that a crash is
counted. Several jobs in one request are in ``executor_run.py``, outcomes that are
recorded after a rollback in ``executor_record.py``.

While a job runs, the transaction holds the lock of its liveness row. That
transaction's snapshot is as old as the lock, so the outcome cannot overwrite what
somebody did to the row meanwhile: PostgreSQL refuses with 40001.
"""

import contextlib
import logging
import random
import re
import time
from datetime import datetime

import psycopg2
from psycopg2 import InterfaceError, OperationalError, errorcodes

from odoo import http
from odoo.exceptions import ConcurrencyError
from odoo.service.model import PG_CONCURRENCY_ERRORS_TO_RETRY
from odoo.tools import config

from . import run
from .exception import (
    JobError,
    LostRunError,
    RetryableJobError,
    exceptions_only,
)
from .executor_record import OutcomeRecorder
from .job import Job
from .utils import text_of

# The name that administrators and test suites know.
_logger = logging.getLogger("odoo.addons.queue_job.controllers.main")

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PG_RETRY = 5  # seconds until a job that met a conflict is tried again
DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE = 5
# A conflict goes away when the other transaction ends: try at once before postponing.
CONFLICT_TRIES_AT_ONCE = 3
# Seconds, at most, before the second try; twice that before the third.
CONFLICT_PAUSE = 0.05


@contextlib.contextmanager
def _prevent_commit(cr):
    """Forbid ``cr.commit`` meanwhile: it would split the job and free its lock."""

    def forbidden_commit():
        raise RuntimeError(
            "Commit is forbidden in queue jobs: what was committed would be done again when "
            "the job is retried. If the job can bear that, set the Allow Commit option of its "
            "job function."
        )

    original = cr.commit
    cr.commit = forbidden_commit
    try:
        yield
    finally:
        cr.commit = original


@contextlib.contextmanager
def _rollback_to(cr, savepoint):
    """Let ``cr.rollback`` undo the job's work meanwhile, and keep its lock."""

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


def _first_cause(error):
    """Return the error that came before those of a connection that was closed already."""
    while isinstance(error, InterfaceError) and error.__context__:
        error = error.__context__
    return error


class JobExecutor(OutcomeRecorder):
    """How a worker performs jobs; the HTTP and the cron runner inherit from it.

    All methods are class methods, overridable one by one. ``env`` is a
    superuser environment on the cursor of the job.
    """

    _tries_at_once = CONFLICT_TRIES_AT_ONCE

    # Claim ------------------------------------------------------------------

    @classmethod
    def _acquire_job(cls, env, job_uuid):
        """Claim an enqueued job and take its liveness lock.

        Commits once, so that everybody sees ``started``; the lock is held by
        the transaction that follows. Return the job, or None when it cannot
        be had, with nothing written.
        """
        job, verdict = cls._claim_or_undo(env, job_uuid)
        if job or verdict == run.HELD:
            # Makes `started`, or the return of a held job to pending, visible.
            env.cr.commit()
        return job if job and cls._lock_or_warn(job) else None

    @classmethod
    def _claim_or_undo(cls, env, job_uuid, read=None):
        """Claim in a transaction of its own; a held job is put back to pending.

        What was done is undone when the claim raises.
        """
        try:
            job, verdict = cls._claim(env, job_uuid, read)
            if verdict == run.HELD:
                Job.db_records_from_uuids(env, [job_uuid])._put_back()
                env.flush_all()
        except BaseException:
            _rollback(env.cr)
            raise
        return job, verdict

    @classmethod
    def _claim(cls, env, job_uuid, read=None):
        """Move an enqueued job to started in the current transaction.

        Return ``(job, verdict)``, the job None unless it was claimed: then nothing
        was written.

        :param read: ``{uuid: (job, version)}`` of jobs read before
        """
        jobs = env["queue.job"].sudo()
        date_started = datetime.now()
        job, known_version = (read or {}).pop(job_uuid, (None, None))
        if job:
            verdict, version = jobs._claim(job_uuid, date_started)
        else:
            verdict, version, row = jobs._claim_and_read(job_uuid, date_started)
            known_version = row and row["version"]
        if verdict == "claimed":
            if version != known_version:
                job = Job.load(env, job_uuid)
            else:
                job = job or Job._of_row(jobs, row)
                job._become_started(date_started)
            job._tell_started()
            return job, verdict
        if verdict == run.REFUSED:
            # Over HTTP, what is no uuid and of no row is the text of a stranger.
            known = known_version or UUID.fullmatch(job_uuid) or not http.request
            _logger.warning(
                "was requested to run job %s, but it does not exist, or is not in state "
                "enqueued, or is handled by another worker",
                job_uuid if known else "(not a uuid)",
            )
        return None, verdict

    @classmethod
    def _lock_or_warn(cls, job):
        if job.lock():
            return True
        cls._warn_lost(job)
        return False

    @classmethod
    def _warn_lost(cls, job):
        _logger.warning(
            "job %s was claimed but could not be locked: somebody moved it", job.uuid
        )

    # Perform ----------------------------------------------------------------

    @classmethod
    def _runjob(cls, env, job):
        """Perform a claimed job, record the outcome, release its dependents.

        Postponed jobs return normally; the exception of a job that failed is
        raised again when the failure is recorded.
        """
        state = job._known.get("state", job.state)
        try:
            cls._try_perform_job_at_once(env, job)
        except LostRunError:
            cls._forget_changes(env, job)
            _logger.warning(
                "job %s was moved while it ran, its work is undone", job.uuid
            )
            job.state = state
            _rollback(env.cr)
            return
        except RetryableJobError as error:
            cls._forget_changes(env, job)
            cls._record_postponed(job, state, error)
            _rollback(env.cr)
            return
        except Exception as error:
            cls._forget_changes(env, job)
            cls._record_failure(job, state, error)
            raise
        cls._enqueue_dependent_jobs(env, job)

    @classmethod
    @exceptions_only()
    def _try_perform_job_at_once(cls, env, job):
        """Perform, again at once for a conflict, up to a few times.

        :raise RetryableJobError: to be postponed
        """
        for attempt in range(1, cls._tries_at_once + 1):
            retry = job.retry
            try:
                cls._try_perform_job(env, job)
                return
            except (OperationalError, InterfaceError, ConcurrencyError) as error:
                if env.cr.closed or _is_of_lost_connection(error):
                    # Not the job's fault, but the try is counted.
                    raise cls._counted(job, error) from error
                if not _is_conflict(error):
                    raise
                if attempt == cls._tries_at_once or job.job_config.allow_commit:
                    raise cls._counted(job, error) from error
                cls._begin_again(env, job, attempt)
                job.retry = retry

    @classmethod
    def _counted(cls, job, error):
        """Return the retryable error for a database error, if a try is left."""
        cause = _first_cause(error)
        if isinstance(cause, JobError):
            return cause
        retryable = RetryableJobError(text_of(cause), seconds=PG_RETRY)
        # The traceback of a job that fails begins with it.
        retryable.__cause__ = error
        job.check_tries(retryable)
        return retryable

    @classmethod
    def _begin_again(cls, env, job, attempt):
        """Take a new snapshot, and the liveness lock with it.

        A job that was never claimed has no lock: whoever calls with one owns it.
        """
        env.cr.rollback()
        env.cr.reset()
        cls._forget_changes(env, job)
        time.sleep(random.uniform(0, CONFLICT_PAUSE * attempt))
        job.lock_with_work = bool(job.run_number)

    @classmethod
    def _forget_changes(cls, env, job):
        """Undo in the caches and the registry of this process what was undone in the rows.

        Other processes are told all the same of a job that may commit: it may have.
        """
        registry = env.registry
        if job.job_config.allow_commit:
            caches, models = (
                set(registry.cache_invalidated),
                registry.registry_invalidated,
            )
            registry.signal_changes()
            registry.cache_invalidated.update(caches)
            registry.registry_invalidated = models
        registry.reset_changes()
        env["queue.job"]._leave_session()

    @classmethod
    def _try_perform_job(cls, env, job):
        """Perform the job and commit it as done.

        Work and outcome are in one savepoint: when any of it fails, all row
        locks of the job are gone before somebody handles the failure, but not
        the liveness lock, which is older. Until the commit the job's environment
        stands behind the transaction: computations and checks are those of its user.

        :raise LostRunError: when the liveness lock is still to be taken and cannot be
        """
        assert env.cr is job.env.cr, "The job lives on the cursor of its worker"
        _logger.debug("%s started", job)
        known = dict(job._known)
        transaction = env.cr.transaction
        worker_env = transaction.default_env
        try:
            with _prevent_commit(env.cr):
                with job._begin_work() as work:
                    with _rollback_to(env.cr, work):
                        transaction.default_env = job.env
                        job.perform()
                        # `request.update_env` replaces it too.
                        transaction.default_env = job.env
                        # What is still to be computed belongs to the time of the job.
                        job.env.flush_all()
                    work.check()
                    job.set_done()
                    cls._store_done(env, job)
            cls._commit_done(env, job)
        except BaseException:
            job._known = known
            raise
        finally:
            transaction.default_env = worker_env
        _logger.debug("%s done", job)

    @classmethod
    def _store_done(cls, env, job):
        """Write the row of a job that is done, in the transaction of its work."""
        with env["queue.job"]._writes_held(job):
            job.store()
            env.cr.flush()

    @classmethod
    def _commit_done(cls, env, job):
        """Commit the work and its outcome."""
        try:
            job._end_work()
            if cls._may_commit():
                cls._commit(env)
        except BaseException:
            # Until then the row is locked, and the failure cannot be recorded.
            _rollback(env.cr)
            raise

    @classmethod
    def _may_commit(cls):
        """Return whether the transaction is not that of a test."""
        return not config["test_enable"]

    @classmethod
    def _commit(cls, env):
        """Commit; a hook that fails after the commit is logged, for nothing is undone."""
        # An error before the commit is no error after it.
        env.cr.flush()
        try:
            with exceptions_only():
                env.cr.commit()
        except psycopg2.Error:
            raise
        except Exception:
            _logger.exception(
                "a hook that runs after the commit failed, the job is done"
            )

    # Release ----------------------------------------------------------------

    @classmethod
    @exceptions_only()
    def _enqueue_dependent_jobs(cls, env, job):
        """Make pending what waited for this job alone.

        Called when the end of the job is committed, in a transaction that is
        younger: of two parents that end at once, the later one sees both. A
        conflict is tried again in a transaction of its own, for the
        snapshot of this one stays what it is.
        """
        if not job.should_check_dependents():
            return
        try:
            with env.cr.savepoint():
                job.enqueue_waiting()
            return
        except OperationalError as error:
            if not _is_conflict(error):
                raise
            cls._pause_before_retry(error, 1)
        for tries in range(2, DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE + 1):
            try:
                with job.in_temporary_env():
                    job.enqueue_waiting()
                return
            except OperationalError as error:
                if not _is_conflict(error):
                    raise
                if tries == DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE:
                    _logger.error(
                        "%s, maximum number of tries reached to update dependencies",
                        errorcodes.lookup(error.pgcode),
                    )
                    raise
                cls._pause_before_retry(error, tries)

    @classmethod
    def _pause_before_retry(cls, error, tries):
        pause = random.uniform(0, CONFLICT_PAUSE * 2**tries)
        _logger.info(
            "%s, retry %d/%d in %.4f sec...",
            errorcodes.lookup(error.pgcode),
            tries,
            DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE,
            pause,
        )
        time.sleep(pause)


def _rollback(cr):
    """Roll back, unless the connection is gone and has done so."""
    if not cr.closed:
        cr.rollback()
