# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The screens in a browser: unit tests of the widgets, and tours."""

from datetime import datetime, timedelta

from odoo.tests import tagged

from ..delay import chain
from .browser_case import BrowserCase

# Which tests of web.assets_unit_tests are run, as Hoot names them.
SUITE = "@queue_job"


def hoot_id(name):
    """Return the number that Hoot gives to a suite."""
    number = 0
    for letter in name:
        number = ((number << 5) - number + ord(letter)) & 0xFFFFFFFF
    return f"{number:08x}"


@tagged("post_install", "-at_install")
class TestWidgets(BrowserCase):
    def test_unit(self):
        self.browser_js(
            f"/web/tests?headless&loglevel=2&preset=desktop&timeout=15000&id={hoot_id(SUITE)}",
            "",
            "",
            login="admin",
            timeout=600,
            success_signal="[HOOT] Test suite succeeded",
            error_checker=lambda message: "[HOOT]" not in message,
        )


@tagged("post_install", "-at_install")
class TestTours(BrowserCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["queue.job.channel"].create(
            {
                "name": "tour_channel",
                "parent_id": cls.env.ref("queue_job.channel_root").id,
            }
        )

    def delayable(self, name, **options):
        return (
            self.env["res.partner"]
            .delayable(description=name, **options)
            .create_company()
        )

    def test_open_graph_and_click_a_node(self):
        first = self.delayable("First")
        chain(first, self.delayable("Second")).delay()
        job = first._generated_job.db_record()
        self.start_tour(
            f"/odoo/action-queue_job.action_queue_job/{job.id}",
            "queue_job_graph",
            login="admin",
        )

    def test_pause_resume_and_edit_a_channel(self):
        for number in range(2):
            self.delayable(f"Job {number}", channel="root.tour_channel").delay()
        self.start_tour(
            "/odoo/action-queue_job.action_queue_job_channel",
            "queue_job_channel",
            login="admin",
        )
        channel = self.env["queue.job.channel"].search([("name", "=", "tour_channel")])
        self.assertEqual((channel.capacity, channel.paused), (7, False))

    def test_overview_opens_the_jobs_that_it_counts(self):
        self.env.cr.execute("DELETE FROM queue_job")
        self.delayable("right now", channel="root.tour_channel").delay()
        later = datetime.now() + timedelta(hours=1)
        self.delayable("not yet", channel="tour_channel.deep", eta=later).delay()
        self.start_tour("/odoo/job-queue", "queue_job_overview_lists", login="admin")

    def test_overview_changes_while_it_is_open(self):
        self.delayable("Job", channel="root.tour_channel").delay()
        self.start_tour("/odoo", "queue_job_overview", login="admin")
