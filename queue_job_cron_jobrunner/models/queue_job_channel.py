# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, models


class QueueJobChannel(models.Model):
    _inherit = "queue.job.channel"

    # What may let a job start that could not start before.
    _opening_fields = {
        "capacity",
        "sequential",
        "throttle",
        "paused",
        "name",
        "parent_id",
    }

    @api.model_create_multi
    def create(self, vals_list):
        channels = super().create(vals_list)
        self._wake_cron_workers()
        return channels

    def write(self, vals):
        result = super().write(vals)
        if self._opening_fields & vals.keys():
            self._wake_cron_workers()
        return result

    def _wake_cron_workers(self):
        jobs = self.env["queue.job"].sudo()
        if jobs.search_count([("state", "=", "pending")], limit=1):
            jobs._cron_trigger()
