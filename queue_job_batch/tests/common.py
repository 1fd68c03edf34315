# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.tests.committed_case import DelayCase


class BatchCase(DelayCase):
    """Batches in the transaction of the test; the jobs call ``write`` of a partner."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.partner = cls.env["res.partner"].create({"name": "One"})
        cls.batches = cls.env["queue.job.batch"]

    def delay(self, batch, value="x"):
        return (
            self.partner.with_context(job_batch=batch)
            .with_delay()
            .write({"ref": value})
        )

    def end(self, job, state="done"):
        """Store the end of a job, as a caller does."""
        job = Job.load(self.env, job.uuid)
        if state == "done":
            job.perform()
            job.set_done()
        elif state == "failed":
            job.set_failed(exc_name="Error", exc_message="broken", exc_info="traceback")
        else:
            job.set_cancelled()
        job.store()
        self.env.flush_all()

    def checks(self):
        """Return the jobs that check a state and wait."""
        return self.env["queue.job"].search(
            [("method_name", "=", "check_state"), ("state", "=", "pending")]
        )

    def check(self):
        """Perform the check that waits, which must be one."""
        (check,) = self.checks()
        self.end(Job.load(self.env, check.uuid))
