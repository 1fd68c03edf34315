# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import functools

from odoo import api, fields, models

from odoo.addons.queue_job.states import DONE

from .queue_job_batch import derive_behind

# Key of the hooks of a commit: jobs whose batches are derived behind it.
_MOVED = "queue_job_batch.moved"


class QueueJob(models.Model):
    _inherit = "queue.job"

    # No index of its own: the one below begins with it.
    job_batch_id = fields.Many2one(
        "queue.job.batch", readonly=True, ondelete="set null"
    )

    # The states of a batch, one step each. Partial: other jobs have no entry.
    _job_batch_index = models.Index(
        "(job_batch_id, state, id) WHERE job_batch_id IS NOT NULL"
    )

    @api.model
    def _loaded_columns(self):
        return (*super()._loaded_columns(), "job_batch_id")

    @api.model
    def _is_followed(self, job):
        if super()._is_followed(job):
            return True
        if "job_batch_id" in job.more:
            return bool(job.more["job_batch_id"])
        # The job was stored by this very object.
        return bool(job.row_id and job.record.job_batch_id)

    def write(self, vals):
        """Let batches follow the moves of their jobs.

        A caller that stores a job as done delays a check of its batch; behind the commit
        of any move the state of the batch is derived.
        """
        if "state" not in vals:
            return super().write(vals)
        followed = self.filtered("job_batch_id")
        ended = self.browse()
        if vals["state"] == DONE and not self.env.context.get("_of_worker"):
            ended = followed.filtered(lambda job: job.state != DONE)
        result = super().write(vals)
        ended.job_batch_id._delay_check_state()
        followed._derive_batches()
        return result

    # A worker's own end of a job is followed by the release of its dependents.
    write._queue_job_passes_over = True

    def _release_dependents(self):
        result = super()._release_dependents()
        self._derive_batches()
        return result

    def _derive_batches(self):
        """Derive the states of the batches of these jobs, once this is committed.

        In a transaction that is younger than the end of each job: of two last jobs
        that end at once, the later one sees both.
        """
        if not self:
            return
        hooks = self.env.cr.postcommit
        moved = hooks.data.get(_MOVED)
        if moved is None:
            moved = hooks.data[_MOVED] = set()
            hooks.add(functools.partial(derive_behind, self.env.registry, moved))
        moved.update(self.ids)
