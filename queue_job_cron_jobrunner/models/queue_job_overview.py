# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models

from odoo.addons.queue_job.insight.snapshot import duration_text

from ..sql import statements as sql

# Seconds after which a cron worker should have begun what is due: Odoo looks each minute.
LATE = 180


class QueueJobOverview(models.AbstractModel):
    _inherit = "queue.job.overview"

    def _runs_instead(self):
        if not self.env["ir.cron"].sudo()._runner_crons():
            return super()._runs_instead()
        self.env.cr.execute(sql.overdue, {"late": LATE})
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
