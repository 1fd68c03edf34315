# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models


class ResUsers(models.Model):
    _inherit = "res.users"

    def _init_store_data(self, store):
        """Say whether the user has the menu of batches; counts nothing."""
        parameters = self.env["ir.config_parameter"].sudo()
        store.add_global_values(
            hasQueueJobBatchUserGroup=self.env.user.has_group(
                "queue_job_batch.group_queue_job_batch_user"
            )
            and not parameters.get_param("queue_job_batch.hide_systray")
        )
        return super()._init_store_data(store)

    def _get_queue_job_batches(self):
        """Return the unread batches of the user, newest first, as dicts of fields."""
        self.ensure_one()
        batches = self.env["queue.job.batch"]
        if not batches.has_access("read"):
            return []
        unread = batches.search([("user_id", "=", self.id), ("is_read", "=", False)])
        return unread.read(batches._to_store_fnames())
