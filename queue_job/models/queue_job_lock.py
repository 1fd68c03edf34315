# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class QueueJobLock(models.Model):
    """The row that is locked while a job runs.

    It has the id of its job and is inserted with SQL. PostgreSQL frees the
    lock as soon as the process or the connection of the worker dies: a job that is
    started and whose row is free is dead.
    """

    _name = "queue.job.lock"
    _description = "Queue Job Lock"

    queue_job_id = fields.Many2one(
        comodel_name="queue.job",
        required=True,
        ondelete="cascade",
        index=True,
    )
