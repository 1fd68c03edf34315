# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models


class TestQueueChannel(models.Model):
    _name = "test.queue.channel"
    _description = "Jobs in channels"

    def without_channel(self):
        return

    def in_sub_channel(self):
        return

    def in_sub_sub_channel(self):
        return
