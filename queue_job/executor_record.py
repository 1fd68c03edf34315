# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Record what became of a job that was not done: postponed, failed, found dead.

What is recorded after a rollback, in another transaction, asks first whether the
row is still in the state and the run that this worker knows.
"""

import logging
import traceback
from contextlib import nullcontext

import psycopg2
from psycopg2 import InterfaceError, OperationalError

from odoo.sql_db import Cursor

from .exception import (
    FailedJobError,
    RetryableJobError,
    WorkerExitError,
    exceptions_only,
)
from .job import Job
from .states import FAILED
from .utils import storable_text, text_of

# The name that administrators and test suites know.
_logger = logging.getLogger("odoo.addons.queue_job.controllers.main")


# Characters of the SQL statement that is kept of a database error.
LONGEST_STATEMENT = 2000


def _failed_statement(error):
    """Return the SQL of the first database error behind ``error``, or None.

    Its cursor has executed others since: the frame of the call still knows it.
    """
    statement, seen = None, set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, psycopg2.Error):
            for frame, _line in traceback.walk_tb(error.__traceback__):
                if frame.f_code is Cursor.execute.__code__:
                    statement = text_of(frame.f_locals.get("query"))
        hidden = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or hidden
    return statement


class OutcomeRecorder:
    """The part of the executor that writes outcomes after a rollback."""

    # Told of the traceback of each job that failed.
    _failure_logger = _logger

    @classmethod
    def _record_postponed(cls, job, state, error):
        """Record, in a transaction of its own, that a job is to be tried again.

        One that cannot be postponed fails: it would run again and again, and nobody
        be told why.
        """
        before = {**vars(job), "_known": dict(job._known)}
        try:
            with exceptions_only(), job.in_temporary_env():
                if not job._is_own_run(state):
                    job.state = state
                    return
                values = cls._get_failure_values(job, cls._traceback_text(error), error)
                number = job.retry + bool(error.ignore_retry)
                job._record()._keep_attempt("postponed", number, values)
                job.postpone(result=text_of(error), seconds=error.seconds)
                job.set_pending(reset_retry=False)
                job.store()
                job.env.flush_all()
        except Exception as failure:
            vars(job).update(before, state=state)
            # Then nothing can be recorded, and the sweep of the runner counts the try.
            if not isinstance(failure, OperationalError | InterfaceError):
                cls._record_failure(job, state, failure)
            raise

    @classmethod
    def _record_failure(cls, job, state, error):
        """Record that a job failed, then call its on-fail hook, each in a transaction.

        The work was undone before. When the failure cannot be recorded the
        usual way, plain SQL does it, so that the job does not run again.
        """
        if isinstance(error, WorkerExitError):
            error = error.__cause__
        traceback_text = cls._traceback_text(error)
        cls._failure_logger.error(traceback_text)
        values = cls._get_failure_values(job, traceback_text, error)
        try:
            with exceptions_only(), job.in_temporary_env():
                if not job._is_own_run(state):
                    job.state = state
                    return
                job._record()._keep_attempt("failed", job.retry, values)
                job.date_done = None
                job.set_failed(**values)
                job.store()
                cause = cls._cause_of(error)
                if cause is not error:
                    name = storable_text(cls._error_name(cause))
                    job._record()._editor().write({"exc_cause": name})
                job.env.flush_all()
        except Exception as failure:
            job.state = state
            _logger.exception(
                "job %s failed, and its failure could not be announced", job.uuid
            )
            values["exc_info"] += (
                f"\n\nThe failure could not be announced:\n{cls._traceback_text(failure)}"
            )
            cls._record_failure_plainly(job, values)
            job.state = FAILED
        cls._call_on_fail(job, values)

    @classmethod
    def _record_failure_plainly(cls, job, values):
        plain = {name: storable_text(value) for name, value in values.items()}
        with job.in_temporary_env():
            job._record()._keep_attempt("failed", job.retry, values)
            job._record()._fail_plainly({**plain, "retry": job.retry}, job.run_number)

    @classmethod
    def _call_on_fail(cls, job, values):
        # Called without a hook too, for those who override it; that needs no cursor.
        needs_cursor = bool(job.on_fail_method_name)
        try:
            with (
                exceptions_only(),
                job.in_temporary_env() if needs_cursor else nullcontext(),
            ):
                job.on_fail(dict(values))
        except Exception as error:
            _logger.exception("the on-fail method of job %s failed too", job.uuid)
            second = f"\n\nThe on-fail method failed too:\n{cls._traceback_text(error)}"
            with job.in_temporary_env():
                info = storable_text(values["exc_info"] + second)
                job._record()._editor().write({"exc_info": info})

    @classmethod
    def _traceback_text(cls, error):
        text = "".join(traceback.format_exception(error))
        statement = _failed_statement(error)
        return (
            f"{text}\nStatement: {statement[:LONGEST_STATEMENT]}\n"
            if statement
            else text
        )

    @classmethod
    def _get_failure_values(cls, job, traceback_txt, orig_exception):
        """Return what is kept of an exception: name, message and traceback."""
        args = orig_exception.args
        return {
            "exc_info": traceback_txt,
            "exc_name": cls._error_name(orig_exception),
            "exc_message": args[0] if args else text_of(orig_exception),
        }

    @staticmethod
    def _error_name(error):
        module = getattr(error, "__module__", None)
        name = type(error).__name__
        return f"{module}.{name}" if module else name

    @staticmethod
    def _cause_of(error):
        """Return the error behind those that only say that a job was tried in vain."""
        while type(error) in (FailedJobError, RetryableJobError):
            hidden = None if error.__suppress_context__ else error.__context__
            cause = error.__cause__ or hidden
            if cause is None:
                break
            error = cause
        return error

    @classmethod
    @exceptions_only()
    def _announce_dead(cls, job):
        """Post the failure in a transaction of its own; return False if that was done."""
        with job.in_temporary_env():
            record = job._record()
            if not record.to_report:
                return False
            record._editor().write({"to_report": False})
            record._message_post_on_failure()
            job.env.flush_all()
        return True

    @classmethod
    @exceptions_only()
    def _report_dead(cls, env, job_uuid):
        """Announce the failure of a job that the runner found dead, once.

        The flag is cleared in the transaction that posts the message, which is
        committed before the on-fail hook is called. A message that cannot be posted is
        given up: others wait behind.
        """
        record = Job.db_records_from_uuids(env, [job_uuid])
        if not (record.to_report and record.state == FAILED):
            return
        job = Job._load_from_db_record(record)
        try:
            if not cls._announce_dead(job):
                return
        except (OperationalError, InterfaceError):
            # Of the database, not of the job: to be announced later, behind the others.
            raise
        except Exception:
            _logger.exception("job %s: failure not announced, giving up", job_uuid)
            with job.in_temporary_env():
                job._record()._editor().write({"to_report": False})
        values = {
            name: getattr(job, name) for name in ("exc_name", "exc_message", "exc_info")
        }
        cls._call_on_fail(job, values)
