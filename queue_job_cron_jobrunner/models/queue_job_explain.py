# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Why a job is not running, where cron workers perform the jobs."""

from odoo import models

from odoo.addons.queue_job.insight.explain import DANGER, explanation
from odoo.addons.queue_job.insight.snapshot import duration_text


class QueueJob(models.Model):
    _inherit = "queue.job"

    def _explain_runner(self, snapshot):
        if not super()._explain_runner(snapshot):
            # The regular runner is alive, and cron workers leave the jobs to it.
            return None
        if self.env["ir.cron"].sudo()._runner_crons():
            return None
        return explanation(
            self,
            "no_runner",
            DANGER,
            self.env._(
                "Nothing runs the jobs of this database: the scheduled actions that perform "
                "them are archived, and no job runner is alive. Set the number of parallel "
                "runners in Settings / Job Queue."
            ),
        )

    def _late_text(self, snapshot, due):
        if snapshot.runner:
            return super()._late_text(snapshot, due)
        return self.env._(
            "Next in line, and no cron worker has taken it for %s: all are busy, or no server "
            "has any (option --max-cron-threads), or the server sleeps.",
            duration_text(self.env, snapshot.seconds_since(due)),
        )
