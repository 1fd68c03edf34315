# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from ..states import CAN_STOP


class QueueJobsToStopped(models.TransientModel):
    """Stop the selected jobs that run, and cancel those that wait for them."""

    _inherit = "queue.requeue.job"
    _name = "queue.jobs.to.stopped"
    _description = "Wizard to stop a selection of jobs"

    _moved_states = CAN_STOP

    reason = fields.Char(help="Kept with the attempt and in the result of each job.")

    def set_stopped(self):
        """Stop the jobs; return a notification where some of them were over already."""
        jobs = self._jobs()
        answer = jobs.button_stop(self.reason) if jobs else True
        if answer is True:
            return {"type": "ir.actions.act_window_close"}
        return answer
