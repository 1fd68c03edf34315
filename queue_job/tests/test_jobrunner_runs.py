# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from types import SimpleNamespace

from odoo.tests import BaseCase

from ..jobrunner.runs import FILL, MAX_LENGTH, Backoff, Pace, least_seconds
from ..protocol import DONE, TIME_BUDGET, Report


class TestPace(BaseCase):
    def fill(self, pace, functions, limit=999):
        jobs = [SimpleNamespace(function=function) for function in functions]
        rest = iter(jobs[1:])
        return 1 + len(list(pace.fill(jobs[0], limit, lambda: next(rest, None))))

    def seen(self, times=100, **seconds):
        pace = Pace()
        for function, value in seconds.items():
            for _ in range(times):
                pace.saw(function, value)
        return pace

    def test_function_never_seen_gets_one_job(self):
        self.assertEqual(self.fill(Pace(), ["new"] * 9), 1)
        self.assertEqual(self.fill(Pace(), [None] * 9), 1)

    def test_short_functions_get_runs(self):
        self.assertEqual(self.fill(self.seen(f=0.001), ["f"] * 999), MAX_LENGTH)
        self.assertEqual(self.fill(self.seen(f=0.001), ["f"] * 9), 9)
        self.assertEqual(self.fill(self.seen(f=0.001), ["f"] * 99, limit=7), 7)

    def test_run_fits_the_time_budget(self):
        self.assertEqual(self.fill(self.seen(f=0.0151), ["f"] * 99), int(FILL / 0.0151))
        self.assertLess(FILL, TIME_BUDGET)

    def test_runs_grow_with_what_was_seen(self):
        lengths = [
            self.fill(self.seen(times, f=0.001), ["f"] * 999) for times in (1, 2, 5, 50)
        ]
        self.assertEqual(lengths, [5, 9, 21, MAX_LENGTH])

    def test_long_functions_get_one_job(self):
        self.assertEqual(self.fill(self.seen(f=0.2), ["f"] * 9), 1)

    def test_run_ends_before_a_function_that_is_not_known_to_be_short(self):
        pace = self.seen(f=0.001, g=0.002, slow=2)
        self.assertEqual(self.fill(pace, ["f", "g", "f", "slow", "f"]), 3)
        self.assertEqual(self.fill(pace, ["f", "new", "f"]), 1)

    def test_one_long_job_makes_the_next_runs_short(self):
        pace = self.seen(f=0.001)
        pace.saw("f", 10)
        self.assertEqual(self.fill(pace, ["f"] * 9), 1)
        for _ in range(40):
            pace.saw("f", 0.001)
        self.assertEqual(self.fill(pace, ["f"] * 9), 9)


class TestLeastSeconds(BaseCase):
    def test_run_that_was_not_finished_spent_its_budget(self):
        outcomes = [[uuid, DONE, 0.001] for uuid in "abcde"]
        self.assertEqual(least_seconds(Report(outcomes, ["f"])), TIME_BUDGET / 5)
        self.assertEqual(least_seconds(Report(outcomes, [])), 0)
        self.assertEqual(least_seconds(Report([], ["f"])), 0)


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
