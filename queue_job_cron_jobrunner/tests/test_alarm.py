# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import queue
import threading
import time
from unittest import mock

from odoo.tests import BaseCase

from .. import alarm
from ..alarm import HORIZON, AlarmClock


class TestAlarm(BaseCase):
    def setUp(self):
        super().setUp()
        self.rung = queue.Queue()
        self.clock = AlarmClock(ring=self.rung.put)

    def test_rings_in_order_of_time(self):
        now = time.time()
        self.clock.set("late", [now + 0.2])
        self.clock.set("early", [now + 0.1, now + 0.1])
        self.assertEqual(self.rung.get(timeout=5), "early")
        self.assertEqual(self.rung.get(timeout=5), "late")
        self.assertGreaterEqual(time.time(), now + 0.2)
        self.assertTrue(self.rung.empty())

    def test_past_times_ring_at_once(self):
        self.clock.set("db", [time.time() - 60])
        self.assertEqual(self.rung.get(timeout=5), "db")

    def test_times_far_away_are_not_kept(self):
        self.clock.set("db", [time.time() + HORIZON + 60])
        self.assertFalse(self.clock._alarms)

    def test_a_ring_that_fails_ends_nothing(self):
        def ring(db_name):
            self.rung.put(db_name)
            raise ValueError("no")

        self.clock._ring = ring
        told = threading.Semaphore(0)
        with mock.patch.object(alarm._logger, "warning") as warning:
            warning.side_effect = lambda *_args, **_kw: told.release()
            for db_name in ("a", "b"):
                self.clock.set(db_name, [0])
                self.assertEqual(self.rung.get(timeout=5), db_name)
                self.assertTrue(told.acquire(timeout=5))

    def test_a_forked_process_starts_its_own(self):
        self.clock.set("db", [time.time() + 60])
        self.clock._pid = -1
        self.clock.set("other", [0])
        self.assertEqual(self.rung.get(timeout=5), "other")
        self.assertFalse(self.clock._alarms)
