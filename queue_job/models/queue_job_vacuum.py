# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
from datetime import datetime, timedelta

from psycopg2 import OperationalError

from odoo import api, models
from odoo.tools import SQL, mute_logger

_logger = logging.getLogger(__name__)

# Jobs that a line of the log names.
_NAMED = 20


class QueueJob(models.Model):
    """When the rows of jobs that ended are deleted."""

    _inherit = "queue.job"

    @api.autovacuum
    def _gc_old_jobs(self, limit=1000):
        """Delete ended jobs older than the interval of their channel.

        Those whose channel has no record go by the intervals of root. Return how many
        were deleted and whether some are left.
        """
        self.flush_model()
        deleted, kept, refused = 0, self.browse(), True
        while refused:
            ids = self._old_job_ids(limit + 1 - deleted, kept)
            jobs = self.sudo().browse(ids[: limit - deleted])
            refused = jobs._unlink_what_can_go()
            deleted += len(jobs) - len(refused)
            kept |= refused
        if kept:
            _logger.warning(
                "%d old jobs cannot be deleted, because other records need them: %s",
                *(len(kept), ", ".join(kept[:_NAMED].mapped("uuid"))),
            )
        return deleted, len(ids) > len(jobs)

    def _unlink_what_can_go(self):
        """Delete these jobs; return those that something protects.

        By halves, because each failure costs a savepoint.
        """
        try:
            with self.env.cr.savepoint(), mute_logger("odoo.sql_db"):
                self.unlink()
            return self.browse()
        except OperationalError:
            raise
        except Exception:
            if len(self) == 1:
                return self
        half = len(self) // 2
        return self[:half]._unlink_what_can_go() | self[half:]._unlink_what_can_go()

    def _old_job_ids(self, limit, kept):
        """Return the ids of old jobs, the oldest first, without those in ``kept``."""
        channels = self.env["queue.job.channel"].sudo()
        now = datetime.now()
        ended = channels._removal_deadlines(now)
        failed = channels._removal_deadlines(now, "removal_interval_failed")
        self.env.cr.execute(
            SQL(
                """
                SELECT job.id FROM queue_job job
                LEFT JOIN unnest(%s::varchar[], %s::timestamp[]) AS ended(channel, deadline)
                  ON ended.channel = job.channel
                LEFT JOIN unnest(%s::varchar[], %s::timestamp[]) AS failed(channel, deadline)
                  ON failed.channel = job.channel
                WHERE ((job.state IN ('done', 'cancelled')
                       AND LEAST(job.date_done, job.date_cancelled)
                           <= COALESCE(ended.deadline, %s))
                   OR (job.state = 'failed'
                       AND COALESCE(job.date_started, job.date_enqueued, job.date_created)
                           <= CASE WHEN ended.channel IS NULL THEN %s ELSE failed.deadline END))
                  AND job.id <> ALL(%s)
                ORDER BY job.date_done, job.date_created
                LIMIT %s
                """,
                *(
                    list(ended),
                    list(ended.values()),
                    list(failed),
                    list(failed.values()),
                ),
                ended.get("root", now - timedelta(days=self._removal_interval)),
                failed.get("root"),
                *(kept.ids, limit),
            )
        )
        return [job_id for (job_id,) in self.env.cr.fetchall()]
