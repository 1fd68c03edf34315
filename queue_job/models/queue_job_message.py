# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, models

from ..states import FAILED


class QueueJob(models.Model):
    """Who is told that a job failed, and what."""

    _inherit = "queue.job"

    def _message_post_on_failure(self):
        """Tell those who want to know that these jobs failed."""
        for jobs in self.grouped("company_id").values():
            users = self.env["res.users"].sudo().search(jobs._subscribe_users_domain())
            for job in jobs:
                job._tell_failure(users)

    def _tell_failure(self, users):
        followers = users
        if self._subscribe_job_creator():
            followers |= self.user_id
        self.message_subscribe(partner_ids=followers.partner_id.ids)
        message = self._message_failed_job()
        if message:
            self.message_post(body=message, subtype_xmlid="queue_job.mt_job_failed")

    def _subscribe_users_domain(self):
        """Return the domain of the users who follow failures, as a list."""
        group = self.env.ref(
            "queue_job.group_queue_job_manager", raise_if_not_found=False
        )
        if not group:
            return [("id", "in", [])]
        domain = [("all_group_ids", "in", group.ids)]
        if self.company_id:
            domain.append(("company_ids", "in", self.company_id.ids))
        return domain

    @api.model
    def _subscribe_job_creator(self):
        """Return whether the user of a job follows its failure."""
        return True

    def _message_failed_job(self):
        """Return the text posted when the job failed; nothing is posted without."""
        self.ensure_one()
        return self.env._(
            "Something bad happened during the execution of the job. "
            "More details in the 'Exception' section."
        )

    def _needaction_domain_get(self):
        """Return the domain of the jobs that need somebody."""
        return [("state", "=", FAILED)]
