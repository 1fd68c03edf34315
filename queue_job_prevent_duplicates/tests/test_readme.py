# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from odoo.addons.queue_job.protocol import KEY_LOCK_MASK
from odoo.addons.queue_job.tests.readme_case import ReadmeCase
from odoo.addons.queue_job.tests.readme_facts import ReadmeFacts


@tagged("post_install", "-at_install")
class TestReadme(ReadmeFacts):
    addon = "queue_job_prevent_duplicates"
    prose = ("Export",)
    numbers = {"ROADMAP": (f"told apart there by {KEY_LOCK_MASK + 1:,} marks",)}


@tagged("post_install", "-at_install")
class TestUsage(ReadmeCase):
    addon = "queue_job_prevent_duplicates"
    fragment = "USAGE"


@tagged("post_install", "-at_install")
class TestConfigure(ReadmeCase):
    addon = "queue_job_prevent_duplicates"
    fragment = "CONFIGURE"
