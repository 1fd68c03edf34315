# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from odoo.addons.base.models.ir_cron import MIN_TIME_PER_JOB
from odoo.addons.queue_job.protocol import TIME_BUDGET
from odoo.addons.queue_job.tests.readme_facts import ReadmeFacts

from ..tree import BUNDLE_LENGTH


@tagged("post_install", "-at_install")
class TestReadme(ReadmeFacts):
    addon = "queue_job_cron_jobrunner"

    @property
    def numbers(self):
        most = self.env["ir.cron"]._most_runners
        return {
            "CONTEXT": (
                f"runner cron ends after {MIN_TIME_PER_JOB} seconds",
                f"for up to {BUNDLE_LENGTH} jobs or {TIME_BUDGET} seconds",
            ),
            "ROADMAP": (f"runner crons is at most {most}.",),
        }
