# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models


class QueueJobsToCancelled(models.TransientModel):
    """Cancel the selected jobs, and those that wait for them."""

    _inherit = "queue.requeue.job"
    _name = "queue.jobs.to.cancelled"
    _description = "Wizard to cancel a selection of jobs"

    def set_cancelled(self):
        self.job_ids.button_cancelled()
        return {"type": "ir.actions.act_window_close"}
