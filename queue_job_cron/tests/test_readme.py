# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from odoo.addons.base.models.ir_cron import MIN_RUNS_PER_JOB
from odoo.addons.queue_job.tests.readme_case import ReadmeCase
from odoo.addons.queue_job.tests.readme_facts import ReadmeFacts


@tagged("post_install", "-at_install")
class TestReadme(ReadmeFacts):
    addon = "queue_job_cron"
    others = ("queue_job_cron_jobrunner",)
    numbers = {"USAGE": (f"up to {MIN_RUNS_PER_JOB} times",)}


@tagged("post_install", "-at_install")
class TestConfigure(ReadmeCase):
    addon = "queue_job_cron"
    fragment = "CONFIGURE"
