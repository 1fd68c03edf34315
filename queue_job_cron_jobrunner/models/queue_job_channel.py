# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, models

from odoo.addons.queue_job.jobrunner.channel_config import ROOT


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

    # What applies when cron workers perform the jobs: the rule is that of tree.py ---

    @api.model
    def _settings_of_configuration(self):
        settings = super()._settings_of_configuration()
        root = settings.get(ROOT) or {}
        if root.get("capacity") == 0 and self._cron_workers_perform():
            # root:0 switches off the regular runner, and states no capacity.
            root = {name: value for name, value in root.items() if name != "capacity"}
            settings = {**settings, ROOT: root}
        return settings

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
