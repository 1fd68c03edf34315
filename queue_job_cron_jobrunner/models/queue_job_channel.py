# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, models

from ..tree import stated_for_cron_workers


class QueueJobChannel(models.Model):
    _inherit = "queue.job.channel"

    # Fields whose change may let a job start.
    _opening_fields = {
        "capacity",
        "sequential",
        "throttle",
        "paused",
        "paused_until",
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

    # Settings for cron workers ------------------------------------------------

    @api.model
    def _settings_of_configuration(self):
        stated = super()._settings_of_configuration()
        applied = stated_for_cron_workers(stated)
        return applied if applied != stated and self._cron_workers_perform() else stated

    @api.model
    def _default_root_capacity(self):
        if self._cron_workers_perform():
            return len(self.env["ir.cron"].sudo()._runner_crons())
        return super()._default_root_capacity()

    @api.model
    def _cron_workers_perform(self):
        """Return whether cron workers perform the jobs of this database."""
        return (
            bool(self.env["ir.cron"].sudo()._runner_crons())
            and not self.env["queue.job"].sudo()._is_regular_runner_alive()
        )

    def _wake_cron_workers(self):
        jobs = self.env["queue.job"].sudo()
        if jobs.search_count([("state", "=", "pending")], limit=1):
            jobs._cron_trigger()
