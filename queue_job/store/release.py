# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The release of jobs that waited for others."""

import functools
import logging

from psycopg2 import OperationalError

from odoo import SUPERUSER_ID, api
from odoo.service.model import PG_CONCURRENCY_ERRORS_TO_RETRY

from ..sql import statements as sql
from . import transitions

_logger = logging.getLogger(__name__)

RELEASE_TRIES = 5


def found_by(jobs, statement):
    """Return the jobs that a statement over ``jobs`` finds, all flushed before."""
    jobs.env.flush_all()
    jobs.env.cr.execute(statement, {"jobs": jobs.ids})
    return jobs.browse(job_id for (job_id,) in jobs.env.cr.fetchall())


def behind(jobs):
    """Make pending the jobs that waited for these and wait for nothing now.

    Locks the released jobs in the order of their ids; the caller commits.
    Ends that this transaction's snapshot does not show are missed: call it when the
    ends of these jobs are committed, or :func:`after_commit` as well.
    """
    jobs.flush_model(["state"])
    _release(jobs, sql.free_behind, jobs.ids)


def behind_apart(jobs):
    """Do the same in a transaction apart, tried again after a conflict."""
    _release_now(jobs.env.registry, sql.free_behind, jobs.ids)


def after_commit(jobs, statement, ids):
    """Release the jobs that ``statement`` finds, once this transaction is committed.

    Two transactions that end two parents of a job, or end its parent and
    requeue the job, do not see each other. The one that commits last sees
    both here.
    """
    if ids:
        jobs.env.cr.postcommit.add(
            functools.partial(_release_now, jobs.env.registry, statement, ids)
        )


def after_storing(jobs, children):
    """Release or cancel new children, once this transaction is committed.

    A transaction that ended or cancelled a parent stored before did not see them.
    """
    if children:
        jobs.env.cr.postcommit.add(
            functools.partial(_end_wait_of_new, jobs.env.registry, children)
        )


def after_cancel(jobs):
    """Cancel, once this is committed, the jobs stored behind these in the meantime."""
    if jobs:
        jobs.env.cr.postcommit.add(
            functools.partial(_cancel_missed, jobs.env.registry, jobs.ids)
        )


def _release(jobs, statement, ids):
    jobs.env.cr.execute(statement, {"jobs": list(ids)})
    released = jobs.browse(job_id for (job_id,) in jobs.env.cr.fetchall())
    if released and jobs._is_release_overridden():
        transitions.move(released, "release")
    elif released:
        jobs.env.cr.execute(sql.release, {"jobs": released.ids})
        released.invalidate_recordset()


def _release_now(registry, statement, ids):
    """Release in transactions of their own; the sweep of the runner repeats what fails here."""
    _apart(registry, ids, lambda jobs: _release(jobs, statement, ids))


def _cancel_missed(registry, ids):
    _apart(registry, ids, lambda jobs: jobs.browse(ids)._cancel_waiting())


def _end_wait_of_new(registry, ids):
    """Cancel new jobs whose parent was cancelled, release those whose parents ended."""

    def end_wait(jobs):
        cancelled = found_by(jobs.browse(ids), sql.behind_cancelled)
        if cancelled:
            cancelled._move_to_cancelled(jobs._text_of_cancelled_parent())
        _release(jobs, sql.free_among, ids)

    _apart(registry, ids, end_wait)


def _apart(registry, ids, move):
    """Move jobs in a transaction apart, tried again after a conflict."""
    for _try in range(RELEASE_TRIES):
        try:
            with registry.cursor() as cr:
                move(api.Environment(cr, SUPERUSER_ID, {})["queue.job"])
                return
        except OperationalError as error:
            if error.pgcode not in PG_CONCURRENCY_ERRORS_TO_RETRY:
                break
    _logger.warning("jobs %s: dependents not released now; the runner will", ids)
