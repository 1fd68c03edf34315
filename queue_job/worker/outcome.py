# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Outcomes: how an attempt ended, and what is recorded of one that was not done.

The work is rolled back first. The record is another transaction; it asks first whether
the row is still in the state and the run that this worker knows.
"""

import traceback
from contextlib import nullcontext
from datetime import datetime
from enum import Enum
from typing import NamedTuple

import psycopg2
from psycopg2 import InterfaceError, OperationalError

from odoo.sql_db import Cursor

from ..exception import (
    FailedJobError,
    RetryableJobError,
    WorkerExitError,
    contained,
    exceptions_only,
)
from ..job import Job
from ..retry import is_last_try
from ..sql import statements as sql
from ..states import CANCELLED, FAILED
from ..store import attempts, transitions
from ..store.mapping import MUTABLE
from ..utils import storable_text, text_of
from .lease import Lease, rollback
from .log import logger

# Characters of the SQL statement that is kept of a database error.
LONGEST_STATEMENT = 2000


class Kind(Enum):
    """How an attempt ended."""

    DONE = "done"
    POSTPONED = "postponed"
    SUSPENDED = "suspended"
    FAILED = "failed"
    LOST = "lost"
    STOPPED = "stopped"


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
    elif outcome.kind is Kind.STOPPED:
        _record_stopped(doors, job, outcome.error)
    elif outcome.kind is Kind.SUSPENDED:
        _record_suspended(doors, job, outcome.error)
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
            values = doors._get_failure_values(job, _traceback_of(error), error)
            number = job.retry + bool(error.ignore_retry)
            attempts.keep(job.record, "postponed", number, values)
            job.postpone(result=text_of(error), seconds=error.seconds)
            job.set_pending(reset_retry=False)
            job.store()
            job.env.flush_all()
    except BaseException as raised:
        failure = contained(raised)
        vars(job).update(before, state=lease.state)
        # Then nothing can be recorded, and the sweep of the runner counts the try.
        if not isinstance(failure, OperationalError | InterfaceError):
            _record_failure(doors, job, failure)
        if failure is not raised:
            raise failure from raised
        raise


def _record_stopped(doors, job, error):
    """Cancel a job that asked for it, and its dependents; the attempt is not counted."""
    lease = Lease.of(job)
    job.retry -= 1
    with lease.recording():
        if not lease.is_current():
            job.state = lease.state
            return
        values = doors._get_failure_values(job, _traceback_of(error), error)
        attempts.keep(job.record, "stopped", job.retry + 1, values)
        now = datetime.now()
        result = storable_text(text_of(error))
        transitions.move(job.record, "stop", date_cancelled=now, result=result)
        job.record._cancel_dependents(now)
        job.env.flush_all()
    job.state = CANCELLED
    logger.info("job %s: stopped itself: %s", job.uuid, result)


def _record_suspended(doors, job, error):
    """Make a job pending again whose worker has to end; its steps are committed.

    Counts as no attempt, unless those that count anew are used up. The liveness lock is
    released before: another worker may claim the job at once.
    """
    lease = Lease.of(job)
    logger.info("job %s: suspended after a step: %s", job.uuid, error)
    if lease.bundle:
        lease.bundle.stop()
    if job.retry > 1 and is_last_try(job.retry, job.max_retries):
        _record_failure(doors, job, FailedJobError(f"Max. retries reached: {error}"))
        return
    if job.retry == 1:
        job.retry = 0
    if lease.commits:
        rollback(job.env.cr)
    with lease.recording():
        if not lease.is_current():
            job.state = lease.state
            return
        job.set_pending(reset_retry=False)
        job.store()
        job.env.flush_all()


def _record_failure(doors, job, error):
    """Record that a job failed, then call its on-fail hook, each in a transaction.

    When the failure cannot be recorded the usual way, plain SQL does it, so
    that the job does not run again.
    """
    lease = Lease.of(job)
    if isinstance(error, WorkerExitError):
        error = error.__cause__
    traceback_text = _traceback_of(error)
    values = doors._get_failure_values(job, traceback_text, error)
    is_logged = False
    try:
        with lease.recording():
            if not lease.is_current():
                logger.info(
                    "job %s: ended by another session; work rolled back", job.uuid
                )
                job.state = lease.state
                return
            doors._failure_logger.error(traceback_text)
            is_logged = True
            attempts.keep(job.record, "failed", job.retry, values)
            job.date_done = None
            job.set_failed(**values)
            job.store()
            cause = _cause_of(error)
            if cause is not error:
                name = storable_text(_name_of(cause))
                job.record._editor().write({"exc_cause": name})
            job.env.flush_all()
    except BaseException as raised:
        second = contained(raised)
        if not is_logged:
            doors._failure_logger.error(traceback_text)
        job.state = lease.state
        logger.exception("job %s: failed; the failure could not be announced", job.uuid)
        values["exc_info"] += (
            f"\n\nThe failure could not be announced:\n{_traceback_of(second)}"
        )
        _record_failure_plainly(job, values)
        job.state = FAILED
    _call_on_fail(job, values)


def _record_failure_plainly(job, values):
    plain = {
        column.name: storable_text(values[column.name], column.limit)
        for column in MUTABLE
        if column.name in values
    }
    with job.lease.recording():
        attempts.keep(job.record, "failed", job.retry, values)
        plain.update(job=job.row_id, retry=job.retry, run=job.run_number or 0)
        job.env.cr.execute(sql.fail_plainly, plain)


def _call_on_fail(job, values):
    # Called without a hook too, because others override it; that needs no cursor.
    lease = Lease.of(job)
    block = lease.recording() if job.on_fail_method_name else nullcontext()
    try:
        with block:
            job.on_fail(dict(values))
    except BaseException as raised:
        error = contained(raised)
        logger.exception("the on-fail method of job %s failed too", job.uuid)
        second = f"\n\nThe on-fail method failed too:\n{_traceback_of(error)}"
        with lease.recording():
            info = storable_text(values["exc_info"] + second)
            job.record._editor().write({"exc_info": info})


def _traceback_of(error):
    text = "".join(traceback.format_exception(error))
    statement = _failed_statement(error)
    if statement:
        return f"{text}\nStatement: {statement[:LONGEST_STATEMENT]}\n"
    return text


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
        error = _error_behind(error)
    return statement


def _error_behind(error):
    hidden = None if error.__suppress_context__ else error.__context__
    return error.__cause__ or hidden


def _cause_of(error):
    """Return the error behind those that only say that a job was tried in vain."""
    while type(error) in (FailedJobError, RetryableJobError):
        cause = _error_behind(error)
        if cause is None:
            break
        error = cause
    return error


def _name_of(error):
    module = getattr(error, "__module__", None)
    name = type(error).__name__
    return f"{module}.{name}" if module else name


def failure_values(traceback_text, error):
    """Return what is kept of an exception: name, message and traceback."""
    return {
        "exc_info": traceback_text,
        "exc_name": _name_of(error),
        "exc_message": error.args[0] if error.args else text_of(error),
    }


@exceptions_only()
def announce_dead(env, uuid):
    """Announce the failure of a job that the runner found dead, once.

    The flag is cleared in the transaction that posts the message, which is
    committed before the on-fail hook is called. A message that cannot be posted is
    given up, because others wait behind it.
    """
    row = Job.db_records_from_uuids(env, [uuid])
    if not (row.to_report and row.state == FAILED):
        return
    job = Job._load_from_db_record(row)
    try:
        if not _announce(job):
            return
    except (OperationalError, InterfaceError):
        # Of the database, not of the job: announced later, behind the others.
        raise
    except Exception:
        logger.exception("job %s: failure not announced, giving up", uuid)
        with job.in_temporary_env():
            job.record._editor().write({"to_report": False})
    names = ("exc_name", "exc_message", "exc_info")
    _call_on_fail(job, {name: getattr(job, name) for name in names})


@exceptions_only()
def _announce(job):
    """Post the failure in a transaction of its own; return False if that was done."""
    with job.in_temporary_env():
        row = job.record
        if not row.to_report:
            return False
        row._editor().write({"to_report": False})
        row._message_post_on_failure()
        job.env.flush_all()
    return True
