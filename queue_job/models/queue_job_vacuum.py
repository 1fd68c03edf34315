# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import datetime, timedelta

from odoo import api, models
from odoo.tools import SQL


class QueueJob(models.Model):
    """When the rows of jobs that ended are deleted."""

    _inherit = "queue.job"

    @api.autovacuum
    def _gc_old_jobs(self, limit=1000):
        """Delete ended jobs older than the interval of their channel.

        Those whose channel has no record go by the intervals of root. Return how many
        were deleted and whether some are left.
        """
        channels = self.env["queue.job.channel"].sudo()
        now = datetime.now()
        ended = channels._removal_deadlines(now)
        failed = channels._removal_deadlines(now, "removal_interval_failed")
        self.flush_model()
        self.env.cr.execute(
            SQL(
                """
                SELECT job.id FROM queue_job job
                LEFT JOIN unnest(%s::varchar[], %s::timestamp[]) AS ended(channel, deadline)
                  ON ended.channel = job.channel
                LEFT JOIN unnest(%s::varchar[], %s::timestamp[]) AS failed(channel, deadline)
                  ON failed.channel = job.channel
                WHERE (job.state IN ('done', 'cancelled')
                       AND LEAST(job.date_done, job.date_cancelled)
                           <= COALESCE(ended.deadline, %s))
                   OR (job.state = 'failed'
                       AND COALESCE(job.date_started, job.date_enqueued, job.date_created)
                           <= CASE WHEN ended.channel IS NULL THEN %s ELSE failed.deadline END)
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
                limit + 1,
            )
        )
        ids = [job_id for (job_id,) in self.env.cr.fetchall()]
        self.sudo().browse(ids[:limit]).unlink()
        return len(ids[:limit]), len(ids) > limit
