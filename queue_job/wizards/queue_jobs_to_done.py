# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models


class QueueJobsToDone(models.TransientModel):
    """Set the selected jobs to done without running them."""

    _inherit = "queue.requeue.job"
    _name = "queue.jobs.to.done"
    _description = "Wizard to set a selection of jobs to done"

    def set_done(self):
        self.job_ids.button_done()
        return {"type": "ir.actions.act_window_close"}
