# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models


class TestRelatedAction(models.Model):
    _name = "test.related.action"
    _description = "Jobs with related actions"

    def without_settings(self):
        return

    def with_disabled_action(self):
        return

    def with_action_of_nothing(self):
        return

    def with_action(self):
        return

    def with_action_kwargs(self):
        return

    def with_action_url(self, subject):
        return
