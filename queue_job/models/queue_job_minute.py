# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from ..insight import throughput

# Jobs that the scheduled action adds up between two commits.
CRON_BUDGET = 100_000


class QueueJobMinute(models.Model):
    """Jobs that ended in one minute, in one company."""

    _name = "queue.job.minute"
    _description = "Jobs Done and Failed in a Minute"
    _log_access = False
    _order = "minute"
    _rec_name = "minute"

    minute = fields.Datetime(required=True)
    company_id = fields.Many2one("res.company", ondelete="cascade")
    done = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    until = fields.Datetime(
        required=True, help="End of the last job that is added up here."
    )

    _minute_uniq = models.UniqueIndex("(minute, COALESCE(company_id, 0))")

    @api.model
    def _cron_add_up(self):
        """Add up ended jobs, so that the overview has few left to add; drop old figures."""
        while not throughput.add_up(self.env, budget=CRON_BUDGET):
            self.env["ir.cron"]._commit_progress(1)
        throughput.drop_old(self.env)
