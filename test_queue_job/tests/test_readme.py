# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The examples of queue_job's readme, which need the data of this addon."""

from odoo.tests import tagged

from odoo.addons.queue_job.tests.readme_case import ReadmeCase


@tagged("post_install", "-at_install")
class TestDescription(ReadmeCase):
    module = "test_queue_job"
    fragment = "DESCRIPTION"


@tagged("post_install", "-at_install")
class TestUsage(ReadmeCase):
    module = "test_queue_job"
    fragment = "USAGE"
