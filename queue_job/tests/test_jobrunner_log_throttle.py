# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from unittest.mock import patch

from odoo.tests import BaseCase

from ..jobrunner import log_throttle
from ..jobrunner.log_throttle import QUIET, REMIND, LogThrottle


class TestLogThrottle(BaseCase):
    def setUp(self):
        super().setUp()
        self.now = 1000.0
        self.startPatcher(
            patch.object(log_throttle.time, "monotonic", lambda: self.now)
        )
        self.throttle = LogThrottle()

    def told(self, every, seconds, *texts):
        """Let faults come in turn; return how many were told."""
        count, until, turn = 0, self.now + seconds, 0
        while self.now < until:
            count += self.throttle.should_log("db", texts[turn % len(texts)])
            turn += 1
            self.now += every
        return count

    def test_fault_that_keeps_coming_is_told_now_and_then(self):
        self.assertEqual(self.told(5, REMIND, "broken"), 1)
        self.assertEqual(self.told(5, REMIND, "broken"), 1)

    def test_faults_that_take_turns_are_told_once_each(self):
        self.assertEqual(self.told(5, REMIND / 2, "silent", "refused"), 2)

    def test_fault_that_comes_again_after_a_while_is_a_new_one(self):
        self.assertTrue(self.throttle.should_log("db", "broken"))
        self.now += QUIET
        self.assertTrue(self.throttle.should_log("db", "broken"))

    def test_others_are_others(self):
        self.assertTrue(self.throttle.should_log("db", "broken"))
        self.assertTrue(self.throttle.should_log("other", "broken"))
        self.assertFalse(self.throttle.should_log("db", "broken"))
        self.throttle.forget("db")
        self.assertTrue(self.throttle.should_log("db", "broken"))
        self.assertFalse(self.throttle.should_log("other", "broken"))

    def test_nothing_is_kept_of_what_was_long_ago(self):
        for number in range(1000):
            self.throttle.should_log("db", f"backend {number} is gone")
            self.now += 10
        self.assertLess(len(self.throttle._known["db"]), 10)
