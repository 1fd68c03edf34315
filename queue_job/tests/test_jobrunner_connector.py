# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import threading
from unittest.mock import MagicMock, patch

from odoo.tests import BaseCase

from ..jobrunner import connector as connector_module
from ..jobrunner.connector import MAX_OPENING, Connector


class TestConnector(BaseCase):
    def connector(self, open_database):
        self.woken = threading.Semaphore(0)
        connector = Connector(open_database, self.woken.release)
        self.addCleanup(connector.close)
        return connector

    def wait(self):
        self.assertTrue(self.woken.acquire(timeout=10))

    def test_what_is_opened_is_told(self):
        database = MagicMock()
        connector = self.connector({"good": database}.__getitem__)
        connector.begin("good")
        self.wait()
        self.assertEqual(connector.finished(), [("good", database, None)])
        connector.begin("bad")
        self.wait()
        ((name, nothing, error),) = connector.finished()
        self.assertEqual((name, nothing, type(error)), ("bad", None, KeyError))
        self.assertEqual((connector.finished(), connector.names), ([], set()))

    def test_one_that_hangs_keeps_nobody_waiting_and_its_place(self):
        hangs = threading.Event()
        self.addCleanup(hangs.set)
        connector = self.connector(lambda name: name == "hangs" and hangs.wait(20))
        connector.begin("hangs")
        connector.begin("other")
        self.wait()
        self.assertEqual([name for name, *_rest in connector.finished()], ["other"])
        self.assertEqual(
            (connector.names, connector.room), ({"hangs"}, MAX_OPENING - 1)
        )

    def test_what_is_opened_too_late_is_closed(self):
        go_on = threading.Event()
        early, late = MagicMock(), MagicMock()
        connector = self.connector(
            lambda name: early if name == "early" else go_on.wait(20) and late
        )
        connector.begin("early")
        self.wait()
        connector.begin("late")
        connector.close()
        early.close.assert_called_once_with()
        go_on.set()
        self.wait()
        late.close.assert_called_once_with()
        self.assertEqual(connector.finished(), [])

    def test_process_without_room_for_a_thread(self):
        connector = self.connector(MagicMock())
        with patch.object(connector_module.threading, "Thread") as thread:
            thread.return_value.start.side_effect = RuntimeError("no more")
            connector.begin("a")
        ((name, nothing, error),) = connector.finished()
        self.assertEqual((name, nothing, str(error)), ("a", None, "no more"))
