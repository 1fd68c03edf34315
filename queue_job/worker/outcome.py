# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Outcomes: how an attempt ended, and what is recorded of one that was not done.

The work is rolled back first. The record is another transaction; it asks first whether
the row is still in the state and the run that this worker knows.
"""

import traceback
from contextlib import nullcontext
from enum import Enum
from io import StringIO
from typing import NamedTuple

from psycopg2 import InterfaceError, OperationalError

from ..job import Job
from ..sql import statements as sql
from ..states import FAILED
from ..store import attempts
from ..utils import storable_text, text_of
from .lease import Lease
from .log import logger


class Kind(Enum):
    """How an attempt ended."""

    DONE = "done"
    POSTPONED = "postponed"
    FAILED = "failed"
    LOST = "lost"


class Outcome(NamedTuple):
    """How an attempt ended, and the error where it was not done."""

    kind: Kind
    error: BaseException | None = None


def record(doors, job, outcome):
    """Record the outcome of a job that is not done; commits, unless the lease does not.

    :param doors: class of the worker, for what others override
    """
    if outcome.kind is Kind.LOST:
        logger.warning(
            "job %s: state changed while running; work rolled back", job.uuid
        )
        job.state = Lease.of(job).state
    elif outcome.kind is Kind.POSTPONED:
        _record_postponed(doors, job, outcome.error)
    elif outcome.kind is Kind.FAILED:
        _record_failure(doors, job, outcome.error)


def _record_postponed(doors, job, error):
    """Record that a job will be tried again.

    One that cannot be postponed fails: it would run again and again, and no record
    would say why.
    """
    lease = Lease.of(job)
    before = {**vars(job), "stored": dict(job.stored)}
    try:
        with lease.recording():
            if not lease.is_current():
                job.state = lease.state
                return
            if not error.ignore_retry:
                values = doors._get_failure_values(job, _traceback_of(error), error)
                attempts.keep(job.record, "postponed", job.retry, values)
            job.postpone(result=str(error), seconds=error.seconds)
            job.set_pending(reset_retry=False)
            job.store()
            job.env.flush_all()
    except Exception as failure:
        vars(job).update(before, state=lease.state)
        # Then nothing can be recorded, and the sweep of the runner counts the try.
        if not isinstance(failure, OperationalError | InterfaceError):
            _record_failure(doors, job, failure)
        raise


def _record_failure(doors, job, error):
    """Record that a job failed, then call its on-fail hook, each in a transaction.

    When the failure cannot be recorded the usual way, plain SQL does it, so
    that the job does not run again.
    """
    lease = Lease.of(job)
    traceback_text = _traceback_of(error)
    doors._failure_logger.error(traceback_text)
    values = doors._get_failure_values(job, traceback_text, error)
    try:
        with lease.recording():
            if not lease.is_current():
                job.state = lease.state
                return
            attempts.keep(job.record, "failed", job.retry, values)
            job.date_done = None
            job.set_failed(**values)
            job.store()
            job.env.flush_all()
    except Exception as second:
        job.state = lease.state
        logger.exception("job %s: failed; the failure could not be announced", job.uuid)
        values["exc_info"] += (
            f"\n\nThe failure could not be announced:\n{_traceback_of(second)}"
        )
        _record_failure_plainly(job, values)
        job.state = FAILED
    _call_on_fail(job, values)


def _record_failure_plainly(job, values):
    lease = Lease.of(job)
    plain = {name: storable_text(value) for name, value in values.items()}
    with lease.recording():
        attempts.keep(job.record, "failed", job.retry, values)
        plain.update(job=job.row_id, retry=job.retry, run=job.run_number or 0)
        job.env.cr.execute(sql.fail_plainly, plain)


def _call_on_fail(job, values):
    # Called without a hook too, because others override it; that needs no cursor.
    block = Lease.of(job).recording() if job.on_fail_method_name else nullcontext()
    try:
        with block:
            job.on_fail(dict(values))
    except Exception as error:
        logger.exception("the on-fail method of job %s failed too", job.uuid)
        second = f"\n\nThe on-fail method failed too:\n{_traceback_of(error)}"
        with Lease.of(job).recording():
            info = storable_text(values["exc_info"] + second)
            job.record._editor().write({"exc_info": info})


def _traceback_of(error):
    buffer = StringIO()
    traceback.print_exception(error, file=buffer)
    return buffer.getvalue()


def failure_values(traceback_text, error):
    """Return what is kept of an exception: name, message and traceback."""
    name = type(error).__name__
    module = getattr(error, "__module__", None)
    if module:
        name = f"{module}.{name}"
    return {
        "exc_info": traceback_text,
        "exc_name": name,
        "exc_message": error.args[0] if error.args else text_of(error),
    }


def announce_dead(env, uuid):
    """Announce the failure of a job that the runner found dead, once.

    The flag is cleared in the transaction that posts the message, which is
    committed before the on-fail hook is called.
    """
    row = Job.db_records_from_uuids(env, [uuid])
    if not (row.to_report and row.state == FAILED):
        return
    job = Job._load_from_db_record(row)
    with job.in_temporary_env():
        row = job.record
        if not row.to_report:
            return
        row._editor().write({"to_report": False})
        row._message_post_on_failure()
        job.env.flush_all()
    names = ("exc_name", "exc_message", "exc_info")
    _call_on_fail(job, {name: getattr(job, name) for name in names})
