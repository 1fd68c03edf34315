# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models

from ..states import CAN_CANCEL


class QueueJobsToCancelled(models.TransientModel):
    """Cancel the selected jobs, and those that wait for them."""

    _inherit = "queue.requeue.job"
    _name = "queue.jobs.to.cancelled"
    _description = "Wizard to cancel a selection of jobs"

    _moved_states = CAN_CANCEL

    def set_cancelled(self):
        self._jobs().button_cancelled()
        return {"type": "ir.actions.act_window_close"}
