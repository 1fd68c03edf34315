# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import os
import socket

from odoo.tests import BaseCase, tagged

from ..jobrunner.agenda import NEVER, Agenda
from ..jobrunner.sockets import Sockets
from ..jobrunner.wakeup_pipe import WakeupPipe


@tagged("standard", "at_install")
class TestAgenda(BaseCase):
    def test_names_come_when_they_are_due_the_earliest_first(self):
        agenda = Agenda()
        for name, when in (("b", 20), ("a", 10), ("c", 30)):
            agenda.set(name, when)
        self.assertEqual(agenda.next(), 10)
        self.assertEqual([agenda.pop(20) for _number in range(3)], ["a", "b", None])
        self.assertEqual((agenda.next(), "c" in agenda, len(agenda)), (30, True, 1))

    def test_last_time_of_a_name_counts(self):
        agenda = Agenda()
        for when in (10, 40, 5, 30):
            agenda.set("a", when)
        self.assertIsNone(agenda.pop(29))
        self.assertEqual((agenda.pop(30), agenda.next()), ("a", NEVER))

    def test_discarded_name_does_not_come(self):
        agenda = Agenda()
        agenda.set("a", 10)
        agenda.discard("a")
        agenda.discard("unknown")
        self.assertIsNone(agenda.pop(NEVER))

    def test_changed_times_take_no_room(self):
        agenda = Agenda()
        for when in range(10_000):
            agenda.set("a", when)
        self.assertLess(len(agenda._heap), 200)
        self.assertEqual(agenda.pop(9_999), "a")


@tagged("standard", "at_install")
class TestSockets(BaseCase):
    def setUp(self):
        super().setUp()
        self.pipe = WakeupPipe(*os.pipe())
        self.addCleanup(self.pipe.close)
        self.sockets = Sockets(self.pipe)
        self.addCleanup(self.sockets.close)

    def pair(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        return ours, theirs

    def test_names_of_what_can_be_read(self):
        (a, to_a), (b, _to_b) = self.pair(), self.pair()
        self.sockets.add("a", a)
        self.sockets.add("b", b)
        self.assertEqual(self.sockets.ready(), set())
        to_a.send(b"x")
        self.assertEqual(self.sockets.ready(10), {"a"})
        self.sockets.discard("a")
        self.assertEqual((self.sockets.ready(), len(self.sockets)), (set(), 1))

    def test_pipe_ends_a_wait(self):
        self.pipe.wake()
        self.assertEqual(self.sockets.ready(60), set())

    def test_number_of_a_closed_socket_may_come_again(self):
        a, _to_a = self.pair()
        self.sockets.add("a", a)
        number = a.fileno()
        a.close()
        b, to_b = self.pair()
        if b.fileno() != number:
            os.dup2(b.fileno(), number)
            b = socket.socket(fileno=number)
            self.addCleanup(b.close)
        self.sockets.add("b", b)
        to_b.send(b"x")
        self.assertEqual(self.sockets.ready(10), {"b"})
        self.sockets.discard("a")
        self.assertEqual(self.sockets.ready(10), {"b"})
