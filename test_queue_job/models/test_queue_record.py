# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class TestQueueRecord(models.Model):
    """Asks for its jobs with one line of Python."""

    _name = "test.queue.record"
    _description = "Record that shows its jobs"
    _inherit = ["queue.job.record.mixin"]

    name = fields.Char()

    def work(self):
        return


class TestQueueOffer(models.Model):
    """Asks for its jobs with one line of XML (``data/queue_job_record_data.xml``)."""

    _name = "test.queue.offer"
    _description = "Record whose Action menu shows its jobs"

    name = fields.Char()

    def work(self):
        return
