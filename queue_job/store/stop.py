# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Stop jobs that run: the move, and the interruption of their work.

The move comes first: from its commit on, the outcome of the worker is refused, and the
slot of the job is free. Then the PostgreSQL backend that works for the job is
interrupted, once by the process that stopped the job, and each second by a runner, as
long as it holds the liveness row. So a worker on any node is reached, whatever it does.
"""

import functools
import logging
from datetime import datetime

import psycopg2
from psycopg2.errors import LockNotAvailable

from ..sql import statements as sql
from . import attempts, transitions

_logger = logging.getLogger(__name__)

# For the lock of a row that its own job has written.
LOCK_TIMEOUT = "1s"


def lock_started(jobs):
    """Lock and return those of these jobs that are started; the caller commits.

    A job that has written its own row keeps it locked: its statement is cancelled first.
    Where that does not free the row within a second, the job is not returned.
    """
    jobs.flush_model(["state", "run_number"])
    locked = _try_lock(jobs)
    if locked is None:
        interrupt(jobs.env.registry, sql.interrupt_among, {"jobs": jobs.ids})
        locked = _try_lock(jobs)
    if locked is None:
        # One by one: another job may be the one that holds its row.
        locked = jobs.browse()
        for job in jobs:
            locked |= _try_lock(job) or job.browse()
    return locked


def _try_lock(jobs):
    """Return the started ones of these jobs, locked; None when a lock is not free in time."""
    cr = jobs.env.cr
    cr.execute(sql.lock_timeout)
    (before,) = cr.fetchone()
    try:
        with cr.savepoint(flush=False):
            cr.execute(sql.set_lock_timeout, {"timeout": LOCK_TIMEOUT})
            cr.execute(sql.lock_started, {"jobs": jobs.ids}, log_exceptions=False)
            found = jobs.browse(job_id for (job_id,) in cr.fetchall())
            cr.execute(sql.set_lock_timeout, {"timeout": before})
            return found
    except LockNotAvailable:
        return None


def stop(jobs, text, result):
    """Cancel started jobs that are locked, and interrupt their work after the commit.

    :param text: the reason, kept with the attempt
    :param result: what the rows say
    """
    now = datetime.now()
    for job in jobs:
        error = {"exc_name": "JobStop", "exc_message": text}
        attempts.keep(job, "stopped", (job.retry or 0) + 1, error)
    values = {"date_cancelled": now, "date_stopped": now, "result": result}
    transitions.move(jobs, "stop", **values)
    jobs.env.cr.postcommit.add(
        functools.partial(interrupt, jobs.env.registry, sql.interrupt_stopped)
    )


def interrupt(registry, statement, values=None):
    """Interrupt the work of jobs on a cursor of its own; the runner repeats what fails here."""
    try:
        with registry.cursor() as cr:
            cr.execute(statement, values)
            for uuid, pid, _is_sent in cr.fetchall():
                _logger.info("job %s: stopped; interrupted backend %s", uuid, pid)
    except psycopg2.Error:
        _logger.warning("stopped jobs not interrupted; the runner will", exc_info=True)
