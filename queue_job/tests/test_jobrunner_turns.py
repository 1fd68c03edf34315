# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Turns between databases, and what a round asks of those that are idle."""

from unittest.mock import patch

from odoo.tests import BaseCase, tagged

from ..channels import DatabaseTree
from ..jobrunner.runner import QueueJobRunner
from ..jobrunner.sent import SentBundle
from ..jobrunner.session import Session


class FakeDatabase:
    """A database without rows: its jobs are placed in the tree by the test."""

    has_notifications = False
    fail_unusable = None

    def __init__(self, name):
        self.db_name = name

    def close(self):
        """Nothing is open."""


class PlainSession(Session):
    """Sends each job alone, and counts how often it is asked for one."""

    asked = 0

    def best(self, now):
        self.asked += 1
        return self.tree.root.best(now)

    def compose(self, head, now):
        head.channel.start(head, now)
        return SentBundle(self.name, [head], head, now)

    def send(self, bundles, now):
        self.sent.extend(bundles)
        return False

    def wakeup_time(self, now):
        return now + 3600


@tagged("standard", "at_install")
class TestTurns(BaseCase):
    def runner(self, channels="root:1"):
        runner = QueueJobRunner(port=1, channel_config_string=channels)
        self.sent = []
        return runner

    def session(self, runner, name, jobs=0, before="a"):
        db = FakeDatabase(name)
        tree = DatabaseTree(runner.channel_manager, runner._stated)
        session = PlainSession(db, tree, None, 100)
        session.sent = self.sent
        runner._sessions[name] = session
        runner._touched.add(name)
        for number in range(jobs):
            self.place(session, number)
        return session

    def place(self, session, number, priority=10):
        uuid = f"{session.name}{number}"
        tree = session.tree
        tree.place(session.name, "root", uuid, number, None, priority, None, "pending")

    def end_all(self):
        """Let the jobs that were sent end; return their uuids."""
        uuids = [bundle.slot.uuid for bundle in self.sent]
        for bundle in self.sent:
            bundle.channel.remove(bundle.slot)
        self.sent.clear()
        return uuids

    def rounds(self, runner, count):
        """Return the uuids of the jobs that each round sends; they end right after."""
        sent = []
        for _number in range(count):
            runner.run_jobs()
            sent.append(self.end_all())
        return sent

    def test_databases_take_turns(self):
        runner = self.runner()
        self.session(runner, "a", jobs=5)
        self.session(runner, "b", jobs=2)
        sent = self.rounds(runner, 6)
        self.assertEqual(sent, [["a0"], ["b0"], ["a1"], ["b1"], ["a2"], ["a3"]])

    def test_rank_counts_within_a_database(self):
        runner = self.runner()
        first = self.session(runner, "a", jobs=2)
        self.place(first, 9, priority=1)
        self.place(self.session(runner, "b"), 0, priority=20)
        self.assertEqual(self.rounds(runner, 3), [["a9"], ["b0"], ["a0"]])

    def test_long_queue_delays_another_database_by_what_runs(self):
        runner = self.runner("root:2")
        self.session(runner, "a", jobs=100)
        self.rounds(runner, 3)
        runner.run_jobs()
        # All slots are taken when the job comes.
        self.place(self.session(runner, "b"), 0)
        runner.run_jobs()
        self.assertNotIn("b0", self.end_all())
        runner.run_jobs()
        self.assertEqual(self.end_all()[0], "b0")

    def test_slots_are_shared_within_a_round(self):
        runner = self.runner("root:4")
        self.session(runner, "a", jobs=9)
        self.session(runner, "b", jobs=9)
        (sent,) = self.rounds(runner, 1)
        self.assertEqual(sorted(sent), ["a0", "a1", "b0", "b1"])

    def test_idle_databases_are_not_asked(self):
        runner = self.runner("root:4")
        runner.on_round = lambda runner: None
        idle = [self.session(runner, f"idle {number}") for number in range(50)]
        busy = self.session(runner, "busy", jobs=200)
        self.rounds(runner, 1)
        runner._note_wakeups()
        before = sum(session.asked for session in idle)
        with patch.object(PlainSession, "tick") as tick:
            for _number in range(10):
                runner.requeue_dead_jobs()
                self.rounds(runner, 1)
                runner._note_wakeups()
        self.assertEqual(sum(session.asked for session in idle), before)
        self.assertGreater(busy.asked, 10)
        self.assertEqual(tick.call_count, 0)

    def test_database_that_waits_for_a_slot_is_asked_again(self):
        """Its job could not start because of another database, whose answer frees the slot."""
        runner = self.runner("root:1")
        self.session(runner, "a", jobs=1)
        self.session(runner, "b", jobs=1)
        runner.run_jobs()
        runner._note_wakeups()
        self.assertEqual(self.end_all(), ["a0"])
        self.assertEqual(self.rounds(runner, 1), [["b0"]])
