# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models

from odoo.addons.queue_job.delay import chain
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.job import Job

# Seconds between the two tries of the job that retries.
PAUSE = 1


class ResPartner(models.Model):
    _inherit = "res.partner"

    def _queue_job_demo_start(self):
        """Delay one job of each kind on these partners; return their descriptions by uuid."""
        batch = self.env["queue.job.batch"].get_new_batch("Summaries of partners")
        jobs = [
            partner.with_delay(
                description="Summarize %s" % partner.name
            )._queue_job_demo_summarize()
            for partner in self.with_context(job_batch=batch)
        ]
        jobs.append(self._queue_job_demo_cron_job())
        flaky = self[:1].with_delay(description="Succeed at the second try")
        jobs.append(flaky._queue_job_demo_retry_once())
        steps = [
            self.delayable(
                description="Step %d of a chain" % number
            )._queue_job_demo_step(number)
            for number in (1, 2, 3)
        ]
        chain(*steps).delay()
        long = self.with_delay(description="Count contacts in steps")
        jobs.append(long._queue_job_demo_count())
        jobs.extend(step._generated_job for step in steps)
        return {job.uuid: job.description for job in jobs}

    def _queue_job_demo_cron_job(self):
        """Run a scheduled action by hand, as a job; return the job."""
        cron = self.env["ir.cron"].create(
            {
                "name": "Count partners",
                "model_id": self.env["ir.model"]._get_id(self._name),
                "state": "code",
                "code": "action = None if model.search_count([]) else {}",
                "active": False,
                "run_as_queue_job": True,
            }
        )
        cron.method_direct_trigger()
        return Job.load(self.env, cron.last_queue_job_ids.uuid)

    def _queue_job_demo_summarize(self):
        """Write what is known about a partner into its notes."""
        self.ensure_one()
        names = ", ".join(self.child_ids.sorted("name").mapped("name"))
        self.comment = "%d contacts: %s" % (len(self.child_ids), names)
        return self.comment

    def _queue_job_demo_retry_once(self):
        """Ask for a second try at the first."""
        job = self.env["queue.job"].search(
            [("uuid", "=", self.env.context["job_uuid"])]
        )
        # Only a postponed job has a date.
        if not job.eta:
            raise RetryableJobError("Once more, please", seconds=PAUSE)
        return "succeeded at the second try"

    def _queue_job_demo_step(self, number):
        """Add a line to the notes: the steps must come in their order."""
        for partner in self:
            partner.function = " ".join(filter(None, [partner.function, str(number)]))
        return number

    def _queue_job_demo_count(self):
        """Count contacts, a partner at a time, and commit after each."""
        job = self._current_job()
        for partner in job.batches(self, size=1):
            job.progress(self.ids.index(partner.id), len(self), partner.name)
            partner.ref = "%d contacts" % len(partner.child_ids)
        return len(self)
