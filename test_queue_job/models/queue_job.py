# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models


class QueueJob(models.Model):
    """What tests, and an addon of a third party, add to the rows of the jobs."""

    _inherit = "queue.job"

    additional_info = fields.Char()

    third_party_model = fields.Char()
    third_party_note = fields.Char()
    third_party_batch = fields.Char()
    third_party_states = fields.Char()

    @api.model_create_multi
    def create(self, vals_list):
        batch = self.env.context.get("third_party_batch")
        if batch:
            vals_list = [{**vals, "third_party_batch": batch} for vals in vals_list]
        return super().create(vals_list)

    def write(self, vals):
        result = super().write(vals)
        if "state" in vals:
            for job in self.filtered("third_party_model"):
                seen = job.third_party_states
                state = vals["state"]
                job.third_party_states = f"{seen},{state}" if seen else state
        return result

    def _message_failed_job(self):
        message = super()._message_failed_job()
        if self.third_party_model:
            return f"{self.exc_name}: {self.exc_message}"
        return message

    def _subscribe_users_domain(self):
        domain = super()._subscribe_users_domain()
        if self.filtered("third_party_model"):
            domain.append(("login", "=like", "third_party%"))
        return domain

    # Related actions --------------------------------------------------------

    def related_action_third_party(self, title="Order"):
        action = self.related_action_open_record()
        return action and {**action, "name": title}

    def testing_related_method(self, **kwargs):
        return {
            "type": "ir.actions.act_window_close",
            "infos": {"id": self.id, **kwargs},
        }

    def testing_related_none(self, **kwargs):
        return None

    def testing_related_url(self, **kwargs):
        subject = self.args[0]
        return {
            "type": "ir.actions.act_url",
            "target": "new",
            "url": kwargs["url"].format(subject=subject),
        }

    # Data -------------------------------------------------------------------

    @api.model
    def _create_jobs_of_test_data(self):
        """Create one started and one enqueued job that no worker holds."""
        jobs = self.with_context(_job_edit_sentinel=self.EDIT_SENTINEL)
        call = {"model_name": "queue.job", "method_name": "_test_job"}
        jobs.create({"uuid": "test_started_job", "state": "started", **call})
        jobs.create(
            {
                "uuid": "test_enqueued_job",
                "state": "enqueued",
                "date_enqueued": fields.Datetime.now(),
                **call,
            }
        )
