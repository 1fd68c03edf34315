# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from ..states import STATES


class QueueJobMove(models.Model):
    """A move of a job by a user: requeued, set to done, cancelled.

    The dates of a job are those of its last run: its timeline reads earlier moves here.
    """

    _name = "queue.job.move"
    _description = "Move of a Job by a User"
    _log_access = False
    _order = "id"
    _rec_name = "date"

    job_id = fields.Many2one("queue.job", required=True, index=True, ondelete="cascade")
    user_id = fields.Many2one("res.users", ondelete="set null")
    date = fields.Datetime(required=True)
    state = fields.Selection(STATES, required=True)
