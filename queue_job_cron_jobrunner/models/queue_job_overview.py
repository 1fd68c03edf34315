# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models

from odoo.addons.queue_job.insight.snapshot import duration_text

# Seconds after which a cron worker should have begun what is due: Odoo looks each minute.
LATE = 180

# Since when a runner cron should have run. A pass keeps its trigger until it ends, and may
# be long, but then a job runs.
_OVERDUE = """
SELECT EXTRACT(EPOCH FROM (clock_timestamp() AT TIME ZONE 'UTC') - min(t.call_at))::float8
FROM ir_cron_trigger t JOIN ir_cron c ON c.id = t.cron_id
WHERE c.queue_job_runner AND c.active
  AND t.call_at < (clock_timestamp() AT TIME ZONE 'UTC') - %s * interval '1 second'
  AND NOT EXISTS (SELECT FROM queue_job WHERE state = 'started')
"""


class QueueJobOverview(models.AbstractModel):
    _inherit = "queue.job.overview"

    def _runs_instead(self):
        if not self.env["ir.cron"].sudo()._runner_crons():
            return super()._runs_instead()
        self.env.cr.execute(_OVERDUE, [LATE])
        (seconds,) = self.env.cr.fetchone()
        if seconds is None:
            return {
                "level": "info",
                "text": self.env._(
                    "Scheduled actions run the jobs of this database; there is no runner."
                ),
            }
        return {
            "level": "warning",
            "text": self.env._(
                "Scheduled actions run the jobs of this database, and no cron worker has begun "
                "one for %s: no server has any (option --max-cron-threads), or the server "
                "sleeps.",
                duration_text(self.env, seconds),
            ),
        }

    def _checks(self):
        return [
            {
                "key": "runner_crons",
                "is_right": False,
                "text": self.env._(
                    "The scheduled actions that perform jobs are archived: set the number of "
                    "parallel runners in Settings / Job Queue, or start the job runner"
                ),
            },
            *super()._checks(),
        ]
