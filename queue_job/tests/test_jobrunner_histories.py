# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Random histories: whatever breaks, and in whatever order, all jobs end, no slot is lost, and
no channel runs more than it may."""

import logging

from odoo.tests import BaseCase

from ..states import STARTED
from .runner_play import CHANNELS, Play

CAPACITIES = (
    (CHANNELS, 3),
    (("root.narrow",), 1),
    (("row", "root.row"), 1),
    (("root.slow",), 2),
)
RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


class TestHistories(BaseCase):
    def check(self, seed):
        play = Play(seed)
        for number in range(400):
            play.step()
            running = [
                job
                for job in play.jobs.values()
                if job.state == STARTED and job.worker is not None
            ]
            for names, capacity in CAPACITIES:
                used = [job.uuid for job in running if job.channel in names]
                self.assertLessEqual(len(used), capacity, (number, names, used))
        play.calm_down()
        self.assertEqual((play.left(), play.in_flight), ([], {}))
        held = [
            str(channel)
            for tree in (play.shared, play.session.tree)
            for channel in tree.channels()
            if channel._running or channel._failed or channel._queue
        ]
        self.assertEqual(held, [])
        self.assertEqual(play.session.tracker.detached, set())
        self.assertEqual(play.session.tracker._retry_at, {})
        return play

    def test_all_jobs_end_and_no_slot_is_lost(self):
        logger = logging.getLogger(RUNNER_LOGGER)
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        self.addCleanup(logger.setLevel, level)
        done = 0
        for seed in range(100):
            with self.subTest(seed=seed):
                done += sum(job.times_done for job in self.check(seed).jobs.values())
        self.assertGreater(done, 1000)
