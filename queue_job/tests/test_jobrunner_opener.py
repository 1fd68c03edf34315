# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import threading
from unittest.mock import MagicMock, patch

from odoo.tests import BaseCase

from ..jobrunner import opener as opener_module
from ..jobrunner.opener import MAX_OPENING, Opener


class TestOpener(BaseCase):
    def opener(self, open_database):
        self.woken = threading.Semaphore(0)
        opener = Opener(open_database, self.woken.release)
        self.addCleanup(opener.close)
        return opener

    def wait(self):
        self.assertTrue(self.woken.acquire(timeout=10))

    def test_what_is_opened_is_told(self):
        database = MagicMock()
        opener = self.opener({"good": database}.__getitem__)
        opener.begin("good")
        self.wait()
        self.assertEqual(opener.over(), [("good", database, None)])
        opener.begin("bad")
        self.wait()
        ((name, nothing, error),) = opener.over()
        self.assertEqual((name, nothing, type(error)), ("bad", None, KeyError))
        self.assertEqual((opener.over(), opener.names), ([], set()))

    def test_one_that_hangs_keeps_nobody_waiting_and_its_place(self):
        hangs = threading.Event()
        self.addCleanup(hangs.set)
        opener = self.opener(lambda name: name == "hangs" and hangs.wait(20))
        opener.begin("hangs")
        opener.begin("other")
        self.wait()
        self.assertEqual([name for name, *_rest in opener.over()], ["other"])
        self.assertEqual((opener.names, opener.room), ({"hangs"}, MAX_OPENING - 1))

    def test_what_is_opened_too_late_is_closed(self):
        go_on = threading.Event()
        early, late = MagicMock(), MagicMock()
        opener = self.opener(
            lambda name: early if name == "early" else go_on.wait(20) and late
        )
        opener.begin("early")
        self.wait()
        opener.begin("late")
        opener.close()
        early.close.assert_called_once_with()
        go_on.set()
        self.wait()
        late.close.assert_called_once_with()
        self.assertEqual(opener.over(), [])

    def test_process_without_room_for_a_thread(self):
        opener = self.opener(MagicMock())
        with patch.object(opener_module.threading, "Thread") as thread:
            thread.return_value.start.side_effect = RuntimeError("no more")
            opener.begin("a")
        ((name, nothing, error),) = opener.over()
        self.assertEqual((name, nothing, str(error)), ("a", None, "no more"))
