# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from odoo.addons.queue_job.job import FUNC_STRING_LENGTH
from odoo.addons.queue_job.store.keys import WAIT
from odoo.addons.queue_job.tests.readme_case import ReadmeCase
from odoo.addons.queue_job.tests.readme_facts import ReadmeFacts


@tagged("post_install", "-at_install")
class TestReadme(ReadmeFacts):
    addon = "queue_job_prevent_duplicates"
    prose = ("Export",)
    numbers = {
        "CONTEXT": ({10.0: "After ten seconds"}[WAIT],),
        "USAGE": (f"more than {FUNC_STRING_LENGTH:,}",),
    }


@tagged("post_install", "-at_install")
class TestUsage(ReadmeCase):
    prevents_duplicates = True
    addon = "queue_job_prevent_duplicates"
    fragment = "USAGE"


@tagged("post_install", "-at_install")
class TestConfigure(ReadmeCase):
    prevents_duplicates = True
    addon = "queue_job_prevent_duplicates"
    fragment = "CONFIGURE"
