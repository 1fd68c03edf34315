# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models


class QueueJob(models.Model):
    """What such an addon overrides of ``queue.job``."""

    _inherit = "queue.job"

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
                job.third_party_states = f"{seen},{vals['state']}" if seen else vals["state"]
        return result

    def _message_failed_job(self):
        message = super()._message_failed_job()
        if self.third_party_model:
            return self.env._("%(name)s: %(error)s", name=self.exc_name, error=self.exc_message)
        return message

    def _subscribe_users_domain(self):
        domain = super()._subscribe_users_domain()
        if self.filtered("third_party_model"):
            domain.append(("login", "=like", "third_party%"))
        return domain

    def related_action_third_party(self, title="Order"):
        action = self.related_action_open_record()
        return action and {**action, "name": title}
