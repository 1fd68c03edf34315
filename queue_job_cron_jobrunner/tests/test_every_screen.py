# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from odoo.addons.queue_job.tests.screens_case import ScreensCase


@tagged("post_install", "-at_install")
class TestEveryCronScreen(ScreensCase):
    """Settings and scheduled actions open in every mode of the web client."""

    addon = "queue_job_cron_jobrunner"

    def records_of(self, model):
        if model == "ir.cron":
            return self.env[model]._runner_crons()[:1]
        return super().records_of(model)

    def test_debug(self):
        self.open_screens("1")
