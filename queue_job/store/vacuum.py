# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Deletion of old jobs that ended."""

import logging
from datetime import datetime, timedelta

from psycopg2 import OperationalError

from odoo.tools import SQL, mute_logger

from ..sql import statements as sql

_logger = logging.getLogger(__name__)

# Jobs that a line of the log names.
_NAMED = 20


def delete_old(model, limit):
    """Delete ended jobs older than the interval of their channel; the caller commits.

    Jobs whose channel has no record go by the intervals of root. Return how many
    were deleted and whether some are left.
    """
    model.flush_model()
    deleted, kept, refused = 0, model.browse(), True
    while refused:
        ids = _old_job_ids(model, limit + 1 - deleted, kept)
        jobs = model.sudo().browse(ids[: limit - deleted])
        refused = _delete_if_possible(jobs)
        deleted += len(jobs) - len(refused)
        kept |= refused
    if kept:
        _logger.warning(
            "%d old jobs cannot be deleted, because other records need them: %s",
            *(len(kept), ", ".join(kept[:_NAMED].mapped("uuid"))),
        )
    return deleted, len(ids) > len(jobs)


def _delete_if_possible(jobs):
    """Delete these jobs; return those that other records protect.

    By halves, because each failure costs a savepoint.
    """
    try:
        with jobs.env.cr.savepoint(), mute_logger("odoo.sql_db"):
            jobs.unlink()
        return jobs.browse()
    except OperationalError:
        raise
    except Exception:
        if len(jobs) == 1:
            return jobs
    half = len(jobs) // 2
    return _delete_if_possible(jobs[:half]) | _delete_if_possible(jobs[half:])


def _old_job_ids(model, limit, kept):
    """Return the ids of old jobs, the oldest first, without those in ``kept``."""
    channels = model.env["queue.job.channel"].sudo()
    now = datetime.now()
    ended = channels._removal_deadlines(now)
    failed = channels._removal_deadlines(now, "removal_interval_failed")
    rows = model.env.execute_query(
        SQL(
            sql.old_jobs,
            channels=list(ended),
            deadlines=list(ended.values()),
            failed_channels=list(failed),
            failed_deadlines=list(failed.values()),
            deadline=ended.get("root", now - timedelta(days=model._removal_interval)),
            failed_deadline=failed.get("root"),
            kept=kept.ids,
            limit=limit,
        )
    )
    return [job_id for (job_id,) in rows]
