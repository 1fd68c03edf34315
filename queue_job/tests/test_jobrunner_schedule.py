# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from unittest.mock import patch

from odoo.tests import BaseCase

from ..jobrunner import schedule
from ..jobrunner.schedule import Clock, Schedule


class TestSchedule(BaseCase):
    def test_what_was_never_set_is_due(self):
        times = Schedule()
        self.assertTrue(times.due("a", 5))
        times.set("a", 7)
        self.assertFalse(times.due("a", 6.9))
        self.assertTrue(times.due("a", 7))

    def test_next(self):
        times = Schedule()
        times.set("a", 7)
        times.set("b", 5)
        self.assertEqual(times.next("a", "b"), 5)
        self.assertEqual(times.next("a", "c"), 0)


class TestClock(BaseCase):
    def jumps(self, *times):
        """Return the jumps that are noticed of ``(wall clock, steady clock)``."""
        readings = iter(times)
        now = None

        def look():
            nonlocal now
            now = next(readings)
            return now[0]

        with (
            patch.object(schedule.time, "time", look),
            patch.object(schedule.time, "monotonic", lambda: now[1]),
        ):
            clock = Clock()
            return [clock.jump() for _time in times[1:]]

    def test_clock_that_goes_on(self):
        self.assertEqual(self.jumps((1000, 5), (1060, 65), (1061, 66)), [0, 0])

    def test_clock_that_was_set(self):
        self.assertEqual(
            self.jumps((5000, 5), (1401, 6), (1402, 7), (8003, 8)), [-3600, 0, 6600]
        )

    def test_clock_that_drifts_is_not_set(self):
        readings = [(1000 + number * 61, number * 60) for number in range(50)]
        self.assertEqual(set(self.jumps(*readings)), {0})
