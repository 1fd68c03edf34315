# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models


class QueueJob(models.Model):
    _inherit = "queue.job"

    additional_info = fields.Char()

    @api.model
    def _create_jobs_of_test_data(self):
        """Create one started and one enqueued job that no worker holds."""
        jobs = self.with_context(_job_edit_sentinel=self.EDIT_SENTINEL)
        common = {"model_name": "queue.job", "method_name": "_test_job"}
        jobs.create(
            {
                "uuid": "test_started_job",
                "state": "started",
                **common,
            }
        )
        jobs.create(
            {
                "uuid": "test_enqueued_job",
                "state": "enqueued",
                "date_enqueued": fields.Datetime.now(),
                **common,
            }
        )

    def testing_related_method(self, **kwargs):
        return {"type": "ir.actions.act_window_close", "infos": {"id": self.id, **kwargs}}

    def testing_related_none(self, **kwargs):
        return None

    def testing_related_url(self, **kwargs):
        subject = self.args[0]
        return {
            "type": "ir.actions.act_url",
            "target": "new",
            "url": kwargs["url"].format(subject=subject),
        }
