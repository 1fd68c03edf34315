# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models


class QueueJob(models.Model):
    _inherit = "queue.job"

    def _subscribe_users_domain(self):
        """Return the domain of the users who follow failures, less those who opted out."""
        return [*super()._subscribe_users_domain(), ("subscribe_job", "=", True)]
