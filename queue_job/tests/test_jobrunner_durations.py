# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from types import SimpleNamespace

from odoo.tests import BaseCase

from ..jobrunner.durations import FILL, MAX_LENGTH, Durations, least_seconds
from ..protocol import DONE, TIME_BUDGET, Report


class TestDurations(BaseCase):
    def fill(self, durations, functions, limit=999):
        jobs = [SimpleNamespace(function=function) for function in functions]
        rest = iter(jobs[1:])
        return 1 + len(list(durations.fill(jobs[0], limit, lambda: next(rest, None))))

    def seen(self, times=100, **seconds):
        durations = Durations()
        for function, value in seconds.items():
            for _ in range(times):
                durations.record(function, value)
        return durations

    def test_function_never_seen_gets_one_job(self):
        self.assertEqual(self.fill(Durations(), ["new"] * 9), 1)
        self.assertEqual(self.fill(Durations(), [None] * 9), 1)

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
        durations = self.seen(f=0.001, g=0.002, slow=2)
        self.assertEqual(self.fill(durations, ["f", "g", "f", "slow", "f"]), 3)
        self.assertEqual(self.fill(durations, ["f", "new", "f"]), 1)

    def test_one_long_job_makes_the_next_runs_short(self):
        durations = self.seen(f=0.001)
        durations.record("f", 10)
        self.assertEqual(self.fill(durations, ["f"] * 9), 1)
        for _ in range(40):
            durations.record("f", 0.001)
        self.assertEqual(self.fill(durations, ["f"] * 9), 9)


class TestLeastSeconds(BaseCase):
    def test_run_that_was_not_finished_spent_its_budget(self):
        outcomes = [[uuid, DONE, 0.001] for uuid in "abcde"]
        self.assertEqual(least_seconds(Report(outcomes, ["f"])), TIME_BUDGET / 5)
        self.assertEqual(least_seconds(Report(outcomes, [])), 0)
        self.assertEqual(least_seconds(Report([], ["f"])), 0)
