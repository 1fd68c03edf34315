# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from odoo.addons.queue_job.tests.screens_case import ScreensCase


@tagged("post_install", "-at_install")
class TestEveryScreenOfDuplicates(ScreensCase):
    """The fields on job functions open in every mode of the web client."""

    addon = "queue_job_prevent_duplicates"

    def test_debug(self):
        self.open_screens("1")
