# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from odoo.addons.queue_job.tests.readme_facts import ReadmeFacts


@tagged("post_install", "-at_install")
class TestReadme(ReadmeFacts):
    addon = "queue_job_cron_jobrunner"
