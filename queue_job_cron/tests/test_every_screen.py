# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from odoo.addons.queue_job.tests.screens_case import ScreensCase


@tagged("post_install", "-at_install")
class TestEveryScreenOfCron(ScreensCase):
    """The form, the list and the search of scheduled actions open in the web client."""

    addon = "queue_job_cron"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cron = cls.env.ref("base.autovacuum_job")
        cron.run_as_queue_job = True
        cron.method_direct_trigger()

    def records_of(self, model):
        if model == "ir.cron":
            return self.env.ref("base.autovacuum_job")
        return super().records_of(model)

    def test_debug(self):
        self.open_screens("1")
