# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    queue_job_batch_hide_systray = fields.Boolean(
        string="Hide Job Batches",
        config_parameter="queue_job_batch.hide_systray",
    )
