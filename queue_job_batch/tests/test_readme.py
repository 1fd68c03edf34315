# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from odoo.addons.queue_job.tests.readme_case import ReadmeCase
from odoo.addons.queue_job.tests.readme_facts import ReadmeFacts


@tagged("post_install", "-at_install")
class TestReadme(ReadmeFacts):
    addon = "queue_job_batch"
    others = ("queue_job_prevent_duplicates",)


@tagged("post_install", "-at_install")
class TestUsage(ReadmeCase):
    addon = "queue_job_batch"
    fragment = "USAGE"
