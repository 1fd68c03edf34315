# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The screens while jobs run: a runner, and workers that perform what it sends."""

import functools
import threading
from unittest import mock

from odoo.tests import tagged

from .browser_case import LiveBrowserCase


@tagged("post_install", "-at_install")
class TestToursLive(LiveBrowserCase):
    def setUp(self):
        super().setUp()
        with self.new_env() as env:
            root = env.ref("queue_job.channel_root")
            names = ("tour_live", "tour_other")
            channels = [{"name": name, "parent_id": root.id} for name in names]
            self.channel_ids = env["queue.job.channel"].create(channels).ids
        self.addCleanup(self.remove_channels)

    def remove_channels(self):
        with self.new_env() as env:
            env["queue.job.channel"].browse(self.channel_ids).unlink()

    def hold_until_seen(self):
        """Let a test job run until the overview has told somebody that a job runs."""
        seen = threading.Event()
        overview = self.registry["queue.job.overview"]
        read = overview.read_overview

        @functools.wraps(read)
        def read_overview(model, *args):
            figures = read(model, *args)
            if figures["channels"][0]["running"]["count"]:
                seen.set()
            return figures

        self.startPatcher(mock.patch.object(overview, "read_overview", read_overview))
        self.startPatcher(
            mock.patch.object(
                self.registry["queue.job"],
                "_test_job",
                lambda jobs, **arguments: seen.wait(30),
            )
        )

    def test_pause_and_resume_a_channel_and_see_a_job_wait_and_go(self):
        """While the channel is paused a job of another channel goes past the one that waits."""
        self.hold_until_seen()
        self.start_tour("/odoo/job-queue", "queue_job_live", login="admin", timeout=120)
        with self.new_env() as env:
            jobs = env["queue.job"].search([("name", "like", "live ")])
            self.assertEqual(set(jobs.mapped("state")), {"done"})
            by_name = {job.name: job for job in jobs}
            waited, passed = by_name["live waits"], by_name["live passes"]
            self.assertLess(waited.date_created, passed.date_created)
            self.assertLess(passed.date_done, waited.date_started)
