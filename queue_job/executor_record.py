# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Record what became of a job that was not done: postponed, failed, found dead.

What is recorded after a rollback, in another transaction, asks first whether the
row is still in the state and the run that this worker knows.
"""

import logging
import traceback
from contextlib import nullcontext
from io import StringIO

from psycopg2 import InterfaceError, OperationalError

from .exception import FailedJobError, RetryableJobError
from .job import Job
from .states import FAILED
from .utils import storable_text, text_of

# The name that administrators and test suites know.
_logger = logging.getLogger("odoo.addons.queue_job.controllers.main")


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
            with job.in_temporary_env():
                if not job._is_own_run(state):
                    job.state = state
                    return
                values = cls._get_failure_values(job, cls._traceback_text(), error)
                number = job.retry + bool(error.ignore_retry)
                job._record()._keep_attempt("postponed", number, values)
                job.postpone(seconds=error.seconds)
                # That of work that was undone, or of a run before.
                job.result = None
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
        traceback_text = cls._traceback_text()
        cls._failure_logger.error(traceback_text)
        values = cls._get_failure_values(job, traceback_text, error)
        try:
            with job.in_temporary_env():
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
        except Exception:
            job.state = state
            _logger.exception(
                "job %s failed, and its failure could not be announced", job.uuid
            )
            values["exc_info"] += (
                f"\n\nThe failure could not be announced:\n{cls._traceback_text()}"
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
            with job.in_temporary_env() if needs_cursor else nullcontext():
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
