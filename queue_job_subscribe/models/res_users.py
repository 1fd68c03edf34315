# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class ResUsers(models.Model):
    _inherit = "res.users"

    subscribe_job = fields.Boolean(
        string="Job Notifications",
        default=True,
        index=True,
        help="Follow failed jobs, as a job queue manager of their company.",
    )
