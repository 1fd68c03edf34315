# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from ..sql import statements as sql


class QueueJobProgress(models.Model):
    """How far a running job says that it is.

    It has the id of its job, and no foreign key. Written over the side connection of the
    worker only: see ``worker/current.py`` for the reason of a second table.
    """

    _name = "queue.job.progress"
    _description = "Progress of a Job"
    _log_access = False

    run_number = fields.Integer()
    done = fields.Float()
    total = fields.Float()
    message = fields.Char()
    updated = fields.Datetime()

    @api.autovacuum
    def _gc_progress(self):
        """Delete the progress of jobs that do not run, and the steps of jobs that are done."""
        self.env.cr.execute(sql.drop_old_progress)
