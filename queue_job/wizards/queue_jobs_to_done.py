# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models

from ..states import CAN_SET_DONE


class QueueJobsToDone(models.TransientModel):
    """Set the selected jobs to done without running them."""

    _inherit = "queue.requeue.job"
    _name = "queue.jobs.to.done"
    _description = "Wizard to set a selection of jobs to done"

    _moved_states = CAN_SET_DONE

    def set_done(self):
        self._jobs().button_done()
        return {"type": "ir.actions.act_window_close"}
