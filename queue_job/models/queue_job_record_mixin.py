# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from ..store import records


class QueueJobRecordMixin(models.AbstractModel):
    """Gives the records of a model a way to their jobs."""

    _name = "queue.job.record.mixin"
    _description = "Record with Jobs"

    jobs_count = fields.Integer(string="Jobs", compute="_compute_jobs_count")

    @api.depends_context("uid", "allowed_company_ids")
    def _compute_jobs_count(self):
        """Count the jobs that the reader may see, up to a hundred for each record."""
        jobs = self.env["queue.job"]
        may_read = jobs.has_access("read")
        for record in self:
            domain = jobs._concerned_domain(record._origin)
            record.jobs_count = (
                jobs.search_count(domain, limit=100) if may_read and record.id else 0
            )

    def action_open_jobs(self):
        """Return the action that lists the jobs about these records."""
        return self.env["queue.job"]._action_open_jobs_of(self)

    def init(self):
        result = super().init()
        if not self._abstract and self._auto:
            records.fill(self.env["queue.job"], self._name)
        return result
