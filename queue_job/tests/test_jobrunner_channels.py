# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import gc
import operator
import weakref

from odoo.tests import BaseCase

from ..exception import ChannelNotFound
from ..jobrunner import channels
from ..jobrunner.channels import Channel, ChannelJob, ChannelManager, ChannelQueue

CHANNELS_LOGGER = "odoo.addons.queue_job.jobrunner.channels"


def job(name="j", seq=1, created=0, priority=10, eta=None):
    return ChannelJob("db", None, name, seq, created, priority, eta)


class ChannelCase(BaseCase):
    def manage(self, config="root:4"):
        self.manager = ChannelManager()
        self.manager.simple_configure(config)
        return self.manager

    def tell(
        self, channel, uuid, state="pending", priority=10, eta=None, seq=None, created=0
    ):
        seq = seq or int("".join(filter(str.isdigit, uuid)) or 1)
        self.manager.notify("db", channel, uuid, seq, created, priority, eta, state)

    def run_at(self, now=100):
        return [found.uuid for found in self.manager.get_jobs_to_run(now)]


class TestChannelJob(BaseCase):
    def test_order(self):
        first = job(priority=1, created=9, seq=9)
        for second in (
            job(priority=2),
            job(priority=1, created=10),
            job(priority=1, created=9, seq=10),
        ):
            self.assertLess(first, second)
            self.assertGreaterEqual(second, first)
        self.assertLess(job(eta=1, priority=9), job(eta=2, priority=1))

    def test_job_with_eta_does_not_compare_with_one_without(self):
        self.assertRaises(TypeError, operator.lt, job(eta=1), job())

    def test_identity(self):
        first, second = job(), job()
        self.assertNotEqual(first, second)
        self.assertEqual(len({first, second, first}), 2)
        self.assertIs(weakref.ref(first)(), first)
        self.assertEqual(repr(first), "<ChannelJob j>")

    def test_eta_can_be_forgotten(self):
        timed = job(eta=5)
        timed.set_no_eta()
        self.assertIsNone(timed.eta)
        self.assertEqual(timed.sorting_key_ignoring_eta(), (10, 0, 1))


class TestChannelQueue(BaseCase):
    def test_due_job_competes_by_rank(self):
        queue = ChannelQueue()
        late, urgent = job("late", 1, priority=10), job("urgent", 2, priority=1, eta=50)
        queue.add(late)
        queue.add(urgent)
        self.assertEqual(len(queue), 2)
        self.assertEqual(queue.get_wakeup_time(), 50)
        self.assertEqual(queue.get_wakeup_time(20), 20)
        self.assertEqual(queue.get_wakeup_time(70), 50)
        self.assertIs(queue.pop(now=50), urgent)
        self.assertIs(queue.pop(now=50), late)
        self.assertIsNone(queue.pop(now=50))
        self.assertEqual(queue.get_wakeup_time(), 0)

    def test_sequential_queue_lets_nobody_overtake_a_waiting_eta(self):
        queue = ChannelQueue(sequential=True)
        first, second = job("1", 1, eta=50), job("2", 2)
        queue.add(first)
        queue.add(second)
        self.assertIsNone(queue.pop(now=40))
        self.assertIs(queue.pop(now=50), first)
        self.assertIs(queue.pop(now=50), second)

    def test_sequential_queue_does_not_wait_for_an_eta_behind(self):
        queue = ChannelQueue(sequential=True)
        first, second = job("1", 1), job("2", 2, eta=50)
        queue.add(second)
        queue.add(first)
        self.assertIs(queue.pop(now=40), first)
        self.assertIsNone(queue.pop(now=40))

    def test_remove(self):
        queue = ChannelQueue()
        jobs = [job("1", 1), job("2", 2, eta=5)]
        for each in jobs:
            queue.add(each)
            self.assertIn(each, queue)
            queue.remove(each)
            self.assertNotIn(each, queue)
        self.assertEqual(len(queue), 0)


class TestChannel(BaseCase):
    def test_text(self):
        root = Channel("root", None)
        sub = Channel("sub", root, capacity=2, paused=True)
        self.assertEqual(str(root), "root(C:∞,Q:0,R:0,F:0)")
        self.assertEqual(str(sub), "root.sub(C:2,Q:0,R:0,F:0,paused)")
        self.assertEqual(root.children, {"sub": sub})
        self.assertIs(root.get_subchannel_by_name("sub"), sub)

    def test_moves(self):
        root = Channel("root", None, capacity=4)
        sub = Channel("sub", root)
        one = ChannelJob("db", sub, "1", 1, 0, 10, None)
        for move, queued, running, failed, above in (
            ("set_pending", 1, 0, 0, 0),
            ("set_running", 0, 1, 0, 1),
            ("set_failed", 0, 0, 1, 0),
            ("set_running", 0, 1, 0, 1),
            ("set_pending", 1, 0, 0, 0),
            ("set_done", 0, 0, 0, 0),
        ):
            with self.subTest(move):
                getattr(sub, move)(one)
                got = (
                    len(sub._queue),
                    len(sub._running),
                    len(sub._failed),
                    len(root._running),
                )
                self.assertEqual(got, (queued, running, failed, above))

    def test_capacity(self):
        for capacity, running, has_room in (
            (None, 9, True),
            (0, 9, True),
            (2, 1, True),
            (2, 2, False),
            (-1, 0, False),
        ):
            channel = Channel("c", None, capacity=capacity)
            for number in range(running):
                channel.set_running(job(str(number)))
            self.assertEqual(channel.has_capacity(), has_room, (capacity, running))

    def test_sequential_needs_a_capacity_of_one(self):
        channel = Channel("c", None)
        with self.assertRaisesRegex(
            ValueError, "A sequential channel must have a capacity of 1"
        ):
            channel.configure({"capacity": 2, "sequential": True})

    def test_configure_resets_what_is_not_mentioned(self):
        channel = Channel("c", None)
        channel.configure(
            {"capacity": 1, "sequential": True, "throttle": "2", "paused": True}
        )
        self.assertEqual(
            (channel.sequential, channel.throttle, channel.paused), (True, 2, True)
        )
        channel.configure({"capacity": 3})
        self.assertEqual(
            (channel.capacity, channel.sequential, channel.throttle, channel.paused),
            (3, False, 0, False),
        )


class TestManager(ChannelCase):
    def test_names(self):
        manager = self.manage("root:4,sub:2")
        root = manager.get_channel_by_name("root")
        sub = manager.get_channel_by_name("sub")
        for name, channel in (
            ("", root),
            (None, root),
            ("root.sub", sub),
            ("sub", sub),
        ):
            self.assertIs(manager.get_channel_by_name(name), channel)
        with self.assertRaises(ChannelNotFound):
            manager.get_channel_by_name("other")
        created = manager.get_channel_by_name("a.b", autocreate=True)
        self.assertEqual((created.fullname, created.capacity), ("root.a.b", None))
        fallback = manager.get_channel_by_name("root.sub.x", parent_fallback=True)
        self.assertIs(fallback.parent.parent, sub)
        self.assertIs(
            manager.get_channel_by_name("sub.x", parent_fallback=True), fallback
        )

    def test_root_has_capacity_one_by_itself(self):
        self.assertEqual(ChannelManager().get_channel_by_name("root").capacity, 1)

    def test_capacities_hold_on_each_level(self):
        self.manage("root:4,A:4,B:1")
        self.tell("A", "A1")
        self.assertEqual(self.run_at(), ["A1"])
        for number in range(2, 7):
            self.tell("A", f"A{number}")
        self.tell("B", "B1", priority=5)
        self.tell("B", "B2", priority=5)
        self.assertEqual(self.run_at(), ["B1", "A2", "A3"])
        self.assertEqual(self.run_at(), [])
        self.tell("A", "A1", "done")
        self.tell("B", "B1", "done", priority=5)
        self.assertEqual(self.run_at(), ["B2", "A4"])

    def test_order_is_priority_then_creation_then_id(self):
        self.manage("root:9")
        self.tell("a", "x4", priority=10, created=1)
        self.tell("b", "x3", priority=10, created=1)
        self.tell("a", "x2", priority=10, created=0)
        self.tell("b", "x9", priority=5, created=9)
        self.assertEqual(self.run_at(), ["x9", "x2", "x3", "x4"])

    def test_failed_job_holds_up_a_sequential_channel(self):
        self.manage("root:4,S:1:sequential")
        self.tell("S", "S1")
        self.tell("S", "S2")
        self.tell("other", "o1", "failed")
        self.assertEqual(self.run_at(), ["S1"])
        self.tell("S", "S1", "failed")
        self.assertEqual(self.run_at(), [])
        self.tell("S", "S1", "pending")
        self.assertEqual(self.run_at(), ["S1"])
        self.tell("S", "S1", "done")
        self.assertEqual(self.run_at(), ["S2"])

    def test_throttle(self):
        self.manage("root:4,T:2:throttle=2")
        for number in (1, 2, 3):
            self.tell("T", f"T{number}")
        self.assertEqual(self.run_at(100), ["T1"])
        self.assertEqual(self.manager.get_wakeup_time(), 102)
        self.assertEqual(self.run_at(101), [])
        self.assertEqual(self.run_at(102), ["T2"])
        # No room: the end of a job wakes the runner, not the clock.
        self.assertEqual(self.manager.get_wakeup_time(), 0)
        self.assertEqual(self.run_at(110), [])
        self.tell("T", "T1", "done")
        self.assertEqual(self.run_at(110), ["T3"])

    def test_throttle_of_root_counts_for_all(self):
        self.manage("root:4:throttle=0.5")
        self.tell("a", "a1")
        self.tell("b", "b2")
        self.assertEqual(self.run_at(100), ["a1"])
        self.assertEqual(self.run_at(100.4), [])
        self.assertEqual(self.manager.get_wakeup_time(), 100.5)
        self.assertEqual(self.run_at(100.5), ["b2"])

    def test_paused_channel_stops_what_is_below_and_nothing_else(self):
        self.manage("root:4,P:2:paused,P.sub:2")
        self.tell("P", "p1")
        self.tell("P.sub", "p2")
        self.tell("o", "o3")
        self.assertEqual(self.run_at(), ["o3"])
        self.manager.simple_configure("P:2")
        self.assertEqual(self.run_at(), ["p1", "p2"])

    def test_eta(self):
        self.manage("root:4")
        self.tell("a", "a1", eta=50)
        self.assertEqual(self.run_at(49), [])
        self.assertEqual(self.manager.get_wakeup_time(), 50)
        self.assertEqual(self.run_at(50), ["a1"])
        self.assertEqual(self.manager.get_wakeup_time(), 0)

    def test_changed_job_is_placed_anew(self):
        self.manage("root:1")
        self.tell("a", "x1")
        self.tell("a", "x2")
        self.tell("b", "x2", priority=1)
        self.assertEqual(self.run_at(), ["x2"])
        self.assertEqual(
            str(self.manager.get_channel_by_name("root")), "root(C:1,Q:0,R:1,F:0)"
        )
        self.tell("b", "x2", "done", priority=1)
        self.assertEqual(self.run_at(), ["x1"])

    def test_unknown_state_is_told_and_ignored(self):
        self.manage()
        with self.assertLogs(CHANNELS_LOGGER, "ERROR") as logs:
            self.tell("a", "x1", "strange")
        self.assertIn("strange", logs.output[0])
        self.assertEqual(self.run_at(), [])

    def test_removed_jobs_and_databases(self):
        manager = self.manage("root:9")
        for db_name in ("one", "two"):
            manager.notify(db_name, "a", "x", 1, 0, 10, None, "pending")
            manager.notify(db_name, "a", "y", 2, 0, 10, None, "pending")
        manager.remove_job("x")
        manager.remove_job("unknown")
        manager.remove_db("two")
        manager.remove_db("unknown")
        self.assertEqual(self.run_at(), ["y"])

    def test_jobs_that_are_over_leave_nothing(self):
        manager = self.manage("root:9")
        for number in range(10):
            self.tell("a", f"x{number}", seq=number)
        jobs = self.run_at()
        self.assertEqual(len(jobs), 9)
        for number in range(10):
            self.tell("a", f"x{number}", "done", seq=number)
        gc.collect()
        self.assertEqual(len(manager._jobs), 0)

    def test_doors(self):
        for name in (
            *("ChannelManager", "Channel", "ChannelQueue", "ChannelJob"),
            *("PriorityQueue", "JobSortingKey", "split_strip", "NOT_DONE"),
            *("WAIT_DEPENDENCIES", "PENDING", "ENQUEUED", "STARTED"),
            *("DONE", "CANCELLED", "FAILED"),
        ):
            self.assertTrue(hasattr(channels, name), name)
        self.assertEqual(channels.split_strip("a : b ", ":"), ["a", "b"])
        self.assertEqual(
            channels.NOT_DONE,
            ("wait_dependencies", "pending", "enqueued", "started", "failed"),
        )


class TestKnownFailures(ChannelCase):
    def test_b13_same_uuid_in_two_databases_is_two_jobs(self):
        manager = self.manage("root:9")
        manager.notify("one", "a", "x", 1, 0, 10, None, "pending")
        manager.notify("two", "a", "x", 1, 5, 10, None, "pending")
        found = [(each.db_name, each.uuid) for each in manager.get_jobs_to_run(1)]
        self.assertEqual(found, [("one", "x"), ("two", "x")])
        manager.notify("one", "a", "x", 1, 0, 10, None, "done")
        self.assertEqual(
            str(manager.get_channel_by_name("root")), "root(C:9,Q:0,R:1,F:0)"
        )

    def test_b14_priority_and_date_may_be_missing(self):
        self.manage("root:9")
        self.tell("a", "x1", priority=3, created=5)
        self.tell("a", "x2", priority=None, created=None)
        self.tell("a", "x3", priority=0, created=5)
        self.tell("a", "x4", priority=None, created=5)
        self.assertEqual(self.run_at(), ["x2", "x3", "x4", "x1"])

    def test_b18_urgent_job_that_comes_later_is_first(self):
        """The low one was there first, while root was busy; it was moved up then."""
        self.manage("root:1,A:1")
        self.tell("o", "busy1", "enqueued")
        self.tell("A", "low2", priority=50)
        self.assertEqual(self.run_at(), [])
        self.tell("A", "urgent3", priority=0)
        self.tell("o", "busy1", "done")
        self.assertEqual(self.run_at(), ["urgent3"])

    def test_b19_slot_is_free_when_a_running_job_waits_again(self):
        self.manage("root:1")
        self.tell("a", "x1", "started")
        self.tell("a", "x2")
        self.assertEqual(self.run_at(), [])
        self.tell("a", "x1", "wait_dependencies")
        self.assertEqual(self.run_at(), ["x2"])
