# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import config


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    queue_job_cron_runners = fields.Integer(
        string="Parallel Runners",
        help="How many runner crons are active. Each performs one job at a time in one cron "
        "worker; the channels may allow fewer.",
    )
    queue_job_cron_workers = fields.Integer(
        string="Cron Workers", compute="_compute_queue_job_cron_workers"
    )

    @api.depends("queue_job_cron_runners")
    def _compute_queue_job_cron_workers(self):
        for settings in self:
            settings.queue_job_cron_workers = config["max_cron_threads"]

    @api.constrains("queue_job_cron_runners")
    def _check_queue_job_cron_runners(self):
        for settings in self:
            if (
                not 0
                <= settings.queue_job_cron_runners
                <= self.env["ir.cron"]._most_runners
            ):
                raise ValidationError(
                    self.env._(
                        "The number of parallel runners must be between 0 and %s.",
                        self.env["ir.cron"]._most_runners,
                    )
                )

    @api.model
    def get_values(self):
        runners = self.env["ir.cron"].sudo()._runner_crons()
        return {**super().get_values(), "queue_job_cron_runners": len(runners)}

    def set_values(self):
        result = super().set_values()
        self.env["ir.cron"].sudo()._set_runner_count(self.queue_job_cron_runners)
        return result
