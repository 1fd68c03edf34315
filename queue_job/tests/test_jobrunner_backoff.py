# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import BaseCase

from ..jobrunner.backoff import Backoff


class TestBackoff(BaseCase):
    def test_first_failure_costs_no_time_and_the_next_ones_more_and_more(self):
        backoff, now, delays = Backoff(), 100.0, []
        for _ in range(9):
            backoff.failed(now, now + 0.1)
            delays.append(round(max(backoff.until - now - 0.1, 0), 3))
            now = max(backoff.until, now + 0.1) + 1
        self.assertEqual(delays, [0, 1, 2, 4, 8, 16, 30, 30, 30])

    def test_severe_failure_waits_at_once(self):
        backoff = Backoff()
        backoff.failed(100, 101, severe=True)
        self.assertEqual(backoff.until, 102)

    def test_tries_under_way_at_the_failure_are_no_news(self):
        backoff = Backoff()
        self.assertTrue(backoff.failed(100, 101))
        self.assertFalse(backoff.failed(100.5, 101.1))
        self.assertEqual(backoff.failures, 1)
        self.assertTrue(backoff.failed(101.2, 101.3))

    def test_success_forgets_failures(self):
        backoff = Backoff()
        self.assertFalse(backoff.succeeded())
        backoff.failed(100, 101, severe=True)
        self.assertTrue(backoff.succeeded())
        self.assertEqual(backoff.until, 0)
