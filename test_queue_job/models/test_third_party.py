# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models


class TestThirdParty(models.Model):
    """A model as an addon that depends on queue_job writes one."""

    _name = "test.third.party"
    _description = "Order of a third party"

    name = fields.Char(required=True)
    state = fields.Selection(
        [("draft", "Draft"), ("confirmed", "Confirmed"), ("exported", "Exported")],
        default="draft",
        required=True,
    )
    export_error = fields.Char()
    job_uuid = fields.Char()

    def _register_hook(self):
        type(self).action_confirm = self._patch_job_auto_delay("action_confirm")
        type(self).action_archive_old = self._patch_job_auto_delay(
            "action_archive_old", context_key="third_party_in_background"
        )
        return super()._register_hook()

    @api.model
    def _job_prepare_context_before_enqueue_keys(self):
        return super()._job_prepare_context_before_enqueue_keys() + (
            "third_party_shop",
        )

    @api.model
    def _job_store_values(self, job):
        values = super()._job_store_values(job)
        values["third_party_model"] = job.model_name
        values["third_party_note"] = "generic"
        return values

    @api.model
    def _job_store_values_for_export(self, job):
        return {"third_party_note": f"export {len(job.recordset)} to {job.args[0]}"}

    def export(self, target):
        """Export the order."""
        self.write({"state": "exported"})
        shop = self.env.context.get("third_party_shop", "no shop")
        return f"{target} for {shop}"

    def export_and_fail(self, target):
        """Export the order to a target that is down."""
        self.write({"state": "exported"})
        raise ConnectionError(f"{target} is down")

    def on_export_failed(self, exc_name=None, exc_message=None, exc_info=None):
        self.write({"export_error": f"{exc_name}: {exc_message}"})

    def action_confirm(self):
        """Confirm the order."""
        self.write({"state": "confirmed", "job_uuid": self.env.context.get("job_uuid")})
        return True

    def action_confirm_job_options(self):
        return {"priority": 3, "description": f"Confirm {len(self)} orders"}

    def action_archive_old(self):
        """Archive what is old."""
        self.write({"job_uuid": self.env.context.get("job_uuid")})
        return "archived"
