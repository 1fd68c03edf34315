# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, models


class CurrentJobOfBatch:
    """The current job, or its stand-in outside of one, and the batch of the job."""

    def __init__(self, current, batch):
        self._current = current
        self.batch = batch

    def __getattr__(self, name):
        return getattr(self._current, name)

    def __bool__(self):
        return bool(self._current)


class Base(models.AbstractModel):
    _inherit = "base"

    def _current_job(self):
        """Return the job that calls this method; ``batch`` is its batch, or empty."""
        current = super()._current_job()
        batch_id = current.job.more.get("job_batch_id") if current else None
        batch = self.env["queue.job.batch"].browse(batch_id or ())
        return CurrentJobOfBatch(current, batch)

    @api.model
    def _job_store_values(self, job):
        """Let a new job join the batch of the context, a record in the key ``job_batch``.

        :raise UserError: when that batch is finished
        """
        values = super()._job_store_values(job)
        batch = self.env.context.get("job_batch")
        if not batch or job is None or job.row_id is not None:
            return values
        batch._check_open()
        return {**(values or {}), "job_batch_id": batch.id}
