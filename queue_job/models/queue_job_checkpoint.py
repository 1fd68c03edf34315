# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from ..sql import statements as sql


class QueueJobCheckpoint(models.Model):
    """Where a job that commits in steps was at its last step.

    It has the id of its job. The transaction of the job writes it with SQL, as the last
    statement before the commit of a step; the commit of *done* deletes it.
    """

    _name = "queue.job.checkpoint"
    _description = "Checkpoint of a Job"
    _log_access = False

    job_id = fields.Many2one("queue.job", required=True, index=True, ondelete="cascade")
    run_number = fields.Integer(help="Claim that has committed the last step.")
    claims = fields.Integer(help="Number of claims that have committed a step.")
    steps = fields.Integer(help="Number of steps of the last claim.")
    done = fields.Float()
    total = fields.Float()
    message = fields.Char()
    checkpoint = fields.Text(help="Where the next attempt goes on, as JSON.")
    updated = fields.Datetime()

    def init(self):
        self.env.cr.execute(sql.step_functions)
