# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Claim a job, perform it, record what became of it, release its dependents.

One transaction says that a job is done and holds its work: so the work counts
exactly once. The claim before it is committed on its own, so that a crash is
counted; in a run of several jobs the commit that ends one job also claims the
next.

While a job runs, the transaction holds the lock of its liveness row. That
transaction's snapshot is as old as the lock, so the outcome cannot overwrite what
somebody did to the row meanwhile: PostgreSQL refuses with 40001. What is
recorded after a rollback, in another transaction, asks first whether the row is
still in the state and the run that this worker knows.
"""

import contextlib
import logging
import random
import threading
import time
import traceback
from collections import deque
from io import StringIO

import psycopg2
from psycopg2 import InterfaceError, OperationalError, errorcodes
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from odoo.service.model import PG_CONCURRENCY_ERRORS_TO_RETRY
from odoo.tools import config

from . import run
from .exception import RetryableJobError
from .job import Job
from .states import DONE, FAILED, PENDING, WAIT_DEPENDENCIES
from .utils import storable_text

# The name that administrators and test suites know.
_logger = logging.getLogger("odoo.addons.queue_job.controllers.main")

PG_RETRY = 5  # seconds until a job that met a conflict is tried again
DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE = 5
# A conflict goes away when the other transaction ends: try at once before postponing.
CONFLICT_TRIES_AT_ONCE = 3
CONFLICT_PAUSE = (
    0.05  # seconds, at most, before the second try; twice that before the third
)
CLAIM_TRIES = 3
# Seconds in a run between two looks for what other processes changed in registry
# and caches: the look costs as much as a short job.
SIGNAL_INTERVAL = 0.1

# What a run reports, by the state in which the job was left.
OUTCOMES = {
    DONE: run.DONE,
    FAILED: run.FAILED,
    PENDING: run.POSTPONED,
    WAIT_DEPENDENCIES: run.POSTPONED,
}


class LostRunError(Exception):
    """The job is not this worker's any more: somebody moved or claimed it."""


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
    return (
        isinstance(error, OperationalError)
        and error.pgcode in PG_CONCURRENCY_ERRORS_TO_RETRY
    )


class Run:
    """The jobs that one request asks this worker to perform one after another."""

    def __init__(self, uuids, budget=run.TIME_BUDGET):
        self.waiting = deque(uuids)
        self.deadline = time.monotonic() + budget
        self.report = run.Report()
        # Jobs read together before they are claimed, with the version of the row.
        self.read = {}
        self.claimed = None
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

    def stop(self):
        """Start no further job."""
        self.deadline = 0

    def take(self, outcome=None, seconds=0.0):
        """Remove the first waiting job, with its outcome when it has one."""
        uuid = self.waiting.popleft()
        if outcome:
            self.report.add(uuid, outcome, seconds)
        return uuid


class JobExecutor:
    """How a worker performs jobs; the HTTP and the cron runner inherit from it.

    All methods are class methods, overridable one by one. ``env`` is a
    superuser environment on the cursor of the job.
    """

    # Claim ------------------------------------------------------------------

    @classmethod
    def _acquire_job(cls, env, job_uuid):
        """Claim an enqueued job and take its liveness lock.

        Commits once, so that everybody sees ``started``; the lock is held by
        the transaction that follows. Return the job, or None when it cannot
        be had, with nothing written.
        """
        job, _verdict = cls._acquire(env, job_uuid)
        return job

    @classmethod
    def _acquire(cls, env, job_uuid, read=None):
        job, verdict = cls._claim(env, job_uuid, read)
        if job is None and verdict != run.HELD:
            return None, verdict
        # Makes `started`, or the return of a held job to pending, visible.
        env.cr.commit()
        if job is None or not cls._lock_or_warn(job):
            return None, verdict if job is None else run.REFUSED
        return job, verdict

    @classmethod
    def _claim(cls, env, job_uuid, read=None):
        """Move an enqueued job to started in the current transaction.

        Return ``(job, verdict)``, the job None unless it was claimed.

        :param read: ``{uuid: (job, version)}`` of jobs read before
        """
        verdict, version = env["queue.job"].sudo()._claim(job_uuid)
        if verdict == "claimed":
            job, known_version = (read or {}).pop(job_uuid, (None, None))
            if version != known_version:
                job = Job.load(env, job_uuid)
            job._has_lock_row = True
            job.set_started()
            job.store()
            env.flush_all()
            return job, verdict
        if verdict == run.HELD:
            Job.db_records_from_uuids(env, [job_uuid])._put_back()
            env.flush_all()
        elif verdict == run.REFUSED:
            _logger.warning(
                "was requested to run job %s, but it does not exist, or is not in state "
                "enqueued, or is handled by another worker",
                job_uuid,
            )
        return None, verdict

    @classmethod
    def _lock_or_warn(cls, job):
        if job.lock():
            return True
        _logger.warning(
            "job %s was claimed but could not be locked: somebody moved it", job.uuid
        )
        return False

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
            _logger.warning(
                "job %s was moved while it ran, its work is undone", job.uuid
            )
            _rollback(env.cr)
            return
        except RetryableJobError as error:
            cls._record_postponed(job, state, error)
            _rollback(env.cr)
            return
        except Exception as error:
            cls._record_failure(job, state, error)
            raise
        cls._enqueue_dependent_jobs(env, job)

    @classmethod
    def _try_perform_job_at_once(cls, env, job):
        """Perform, again at once for a conflict, up to a few times.

        :raise RetryableJobError: to be postponed
        """
        for attempt in range(1, CONFLICT_TRIES_AT_ONCE + 1):
            retry = job.retry
            try:
                cls._try_perform_job(env, job)
                return
            except (OperationalError, InterfaceError) as error:
                if env.cr.closed:
                    # Not the job's fault, but the try is counted.
                    raise cls._counted(job, error) from error
                if not _is_conflict(error):
                    raise
                if attempt == CONFLICT_TRIES_AT_ONCE or job.job_config.allow_commit:
                    raise cls._counted(job, error) from error
                cls._begin_again(env, job, attempt)
                job.retry = retry

    @classmethod
    def _counted(cls, job, error):
        """Return the retryable error for a database error, if a try is left."""
        retryable = RetryableJobError(str(error), seconds=PG_RETRY)
        job.check_tries(retryable)
        return retryable

    @classmethod
    def _begin_again(cls, env, job, attempt):
        """Take a new snapshot, and the liveness lock with it."""
        env.cr.rollback()
        time.sleep(random.uniform(0, CONFLICT_PAUSE * attempt))
        if not job.lock():
            raise LostRunError(job.uuid)

    @classmethod
    def _try_perform_job(cls, env, job):
        """Perform the job and commit it as done.

        Work and outcome are in one savepoint: when any of it fails, all row
        locks of the job are gone before somebody handles the failure, but not
        the liveness lock, which is older.
        """
        assert env.cr is job.env.cr, "The job lives on the cursor of its worker"
        _logger.debug("%s started", job)
        known = dict(job._known)
        try:
            with _prevent_commit(env.cr):
                with env.cr.savepoint() as savepoint:
                    with _rollback_to(env.cr, savepoint):
                        job.perform()
                        # What is still to be computed belongs to the time of the job.
                        env.flush_all()
                    job.set_done()
                    job.store()
                    env.flush_all()
            cls._commit_done(env, job)
        except Exception:
            job._known = known
            raise
        _logger.debug("%s done", job)

    @classmethod
    def _commit_done(cls, env, job):
        """Commit the work and its outcome, and the claim of the next job of the run."""
        try:
            if job.run:
                cls._claim_next(env, job.run)
            # Tests own their transaction.
            if not config["test_enable"]:
                cls._commit(env)
        except Exception:
            # Until then the row is locked, and the failure cannot be recorded.
            _rollback(env.cr)
            if job.run:
                job.run.unclaim()
            raise

    @classmethod
    def _commit(cls, env):
        """Commit; a hook that fails after the commit is logged, for nothing is undone."""
        try:
            env.cr.commit()
        except psycopg2.Error:
            raise
        except Exception:
            _logger.exception(
                "a hook that runs after the commit failed, the job is done"
            )

    # Record -----------------------------------------------------------------

    @classmethod
    def _record_postponed(cls, job, state, error):
        """Record, in a transaction of its own, that a job is to be tried again."""
        with job.in_temporary_env():
            if job._is_own_run(state):
                if not error.ignore_retry:
                    values = cls._get_failure_values(job, cls._traceback_text(), error)
                    job._record()._keep_attempt("postponed", job.retry, values)
                job.postpone(result=str(error), seconds=error.seconds)
                job.set_pending(reset_retry=False)
                job.store()
                job.env.flush_all()

    @classmethod
    def _record_failure(cls, job, state, error):
        """Record that a job failed, then call its on-fail hook, each in a transaction.

        The work was undone before. When the failure cannot be recorded the
        usual way, plain SQL does it, so that the job does not run again.
        """
        traceback_text = cls._traceback_text()
        _logger.error(traceback_text)
        values = cls._get_failure_values(job, traceback_text, error)
        try:
            with job.in_temporary_env():
                if not job._is_own_run(state):
                    return
                job._record()._keep_attempt("failed", job.retry, values)
                job.date_done = None
                job.set_failed(**values)
                job.store()
                job.env.flush_all()
        except Exception:
            _logger.exception(
                "job %s failed, and its failure could not be announced", job.uuid
            )
            values["exc_info"] += (
                f"\n\nThe failure could not be announced:\n{cls._traceback_text()}"
            )
            cls._record_failure_plainly(job, values)
        cls._call_on_fail(job, values)

    @classmethod
    def _record_failure_plainly(cls, job, values):
        plain = {name: storable_text(value) for name, value in values.items()}
        with job.in_temporary_env():
            job._record()._keep_attempt("failed", job.retry, values)
            job._record()._fail_plainly({**plain, "retry": job.retry}, job.run_number)

    @classmethod
    def _call_on_fail(cls, job, values):
        if not job.on_fail_method_name:
            return
        try:
            with job.in_temporary_env():
                job.on_fail(dict(values))
        except Exception:
            _logger.exception("the on-fail method of job %s failed too", job.uuid)
            second = f"\n\nThe on-fail method failed too:\n{cls._traceback_text()}"
            with job.in_temporary_env():
                info = storable_text(values["exc_info"] + second)
                job._record()._editor().write({"exc_info": info})

    @classmethod
    def _traceback_text(cls):
        buffer = StringIO()
        traceback.print_exc(file=buffer)
        return buffer.getvalue()

    @classmethod
    def _get_failure_values(cls, job, traceback_txt, orig_exception):
        """Return what is kept of an exception: name, message and traceback."""
        name = type(orig_exception).__name__
        module = getattr(orig_exception, "__module__", None)
        if module:
            name = f"{module}.{name}"
        args = orig_exception.args
        return {
            "exc_info": traceback_txt,
            "exc_name": name,
            "exc_message": args[0] if args else str(orig_exception),
        }

    @classmethod
    def _report_dead(cls, env, job_uuid):
        """Announce the failure of a job that the runner found dead, once.

        The flag is cleared in the transaction that posts the message, which is
        committed before the on-fail hook is called.
        """
        record = Job.db_records_from_uuids(env, [job_uuid])
        if not (record.to_report and record.state == FAILED):
            return
        job = Job._load_from_db_record(record)
        with job.in_temporary_env():
            record = job._record()
            if not record.to_report:
                return
            record._editor().write({"to_report": False})
            record._message_post_on_failure()
            job.env.flush_all()
        values = {
            name: getattr(job, name) for name in ("exc_name", "exc_message", "exc_info")
        }
        cls._call_on_fail(job, values)

    # Release ----------------------------------------------------------------

    @classmethod
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

    # Run --------------------------------------------------------------------

    @classmethod
    def run(cls, env, uuids, budget=run.TIME_BUDGET, stop_at_failure=False):
        """Perform several jobs one after another and report on each.

        Commits each job. Stops between two jobs when the time budget is spent,
        or, for a sequential channel, after a failure; what was not looked at
        is left enqueued.
        """
        job_run = Run(uuids, budget)
        job_run.stop_at_failure = stop_at_failure
        cls._read_together(env, job_run)
        while job_run.claimed or job_run.next_uuid():
            job = cls._next_in_run(env, job_run)
            if job:
                cls._perform_in_run(env, job, job_run)
        job_run.report.left = list(job_run.waiting)
        return job_run.report

    @classmethod
    def _read_together(cls, env, job_run):
        """Read the jobs of a run of several in one go."""
        if len(job_run.waiting) < 2:
            return
        versions = env["queue.job"].sudo()._versions(job_run.waiting)
        for job in Job.load_many(env, job_run.waiting):
            job_run.read[job.uuid] = (job, versions.get(job.uuid))

    @classmethod
    def _next_in_run(cls, env, job_run):
        """Return the next job, claimed and locked, or None when it cannot be had."""
        job, verdict = job_run.claimed, "claimed"
        job_run.claimed = None
        if cls._follow_registry(env, job_run):
            job_run.read.clear()
            job = job and Job.load(env, job.uuid)
        if job:
            if cls._lock_or_warn(job):
                return job
            job_run.report.add(job.uuid, run.REFUSED)
            return None
        for _try in range(CLAIM_TRIES):
            job, verdict = cls._acquire(env, job_run.waiting[0], job_run.read)
            if verdict != "changed":
                break
            env.cr.rollback()
        job_run.take(None if job else verdict)
        if job is None:
            env.cr.rollback()
        return job

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
    def _claim_next(cls, env, job_run):
        """Claim the next job in the transaction that ends this one."""
        uuid = job_run.next_uuid()
        if not uuid:
            return
        job, verdict = cls._claim(env, uuid, job_run.read)
        if job:
            job_run.take()
            job_run.claimed = job
        elif verdict != "changed":
            job_run.take(verdict)

    @classmethod
    def _perform_in_run(cls, env, job, job_run):
        started = time.monotonic()
        thread = threading.current_thread()
        thread_state = dict(vars(thread))
        job.run = job_run
        try:
            cls._runjob(env, job)
            if env.cr.connection.get_transaction_status() != TRANSACTION_STATUS_IDLE:
                # What the release of the dependents wrote.
                env.cr.commit()
        except Exception:
            if job.state not in OUTCOMES:
                _logger.exception(
                    "what became of job %s could not be recorded", job.uuid
                )
            env.registry.reset_changes()
            _rollback(env.cr)
        finally:
            vars(thread).clear()
            vars(thread).update(thread_state)
        outcome = OUTCOMES.get(job.state, run.REFUSED)
        job_run.report.add(job.uuid, outcome, time.monotonic() - started)
        if outcome == run.FAILED and job_run.stop_at_failure:
            job_run.stop()
        if env.cr.closed:
            job_run.stop()
            job_run.claimed = None


def _rollback(cr):
    """Roll back, unless the connection is gone and has done so."""
    if not cr.closed:
        cr.rollback()
