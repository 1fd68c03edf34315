# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the channels do with news that come one after another.

Each test is a story: news, choices, times to wake up, as the runner and addons
that look into the channels see them.
"""

from odoo.tests import BaseCase

from ..jobrunner import channels
from ..jobrunner.channels import Channel, ChannelManager
from .test_jobrunner_channels import ChannelCase, job

CHANNELS_LOGGER = "odoo.addons.queue_job.jobrunner.channels"


class SequenceCase(ChannelCase):
    def text(self, name):
        return str(self.manager.get_channel_by_name(name))

    def chosen(self, now=100):
        """Return what is chosen, as the log shows it."""
        return repr(list(self.manager.get_jobs_to_run(now)))


class TestTree(SequenceCase):
    def test_a_day_of_two_channels(self):
        self.manage("root:5,fast:5,slow:2")
        for number in range(1, 8):
            self.tell("fast", f"f{number}", priority=20)
        for number in range(1, 4):
            self.tell("slow", f"s{number}", priority=2)
        self.assertEqual(
            self.chosen(),
            "[<ChannelJob s1>, <ChannelJob s2>, <ChannelJob f1>, <ChannelJob f2>,"
            " <ChannelJob f3>]",
        )
        self.assertEqual(self.chosen(), "[]")
        # Room in root, none in the channel of the best job.
        self.tell("fast", "f2", "done", priority=20)
        self.assertEqual(self.chosen(), "[<ChannelJob f4>]")
        self.tell("slow", "s1", "done", priority=2)
        self.assertEqual(self.chosen(), "[<ChannelJob s3>]")
        # A job that was made urgent while it waited.
        self.tell("fast", "f7", priority=1)
        self.tell("fast", "f1", "done", priority=20)
        self.assertEqual(self.chosen(), "[<ChannelJob f7>]")
        self.assertEqual(self.text("root"), "root(C:5,Q:0,R:5,F:0)")
        self.assertEqual(self.text("slow"), "root.slow(C:2,Q:0,R:2,F:0)")
        self.assertEqual(self.text("fast"), "root.fast(C:5,Q:2,R:3,F:0)")

    def test_failed_jobs_count_in_their_own_channel_only(self):
        self.manage("root:2,a:2,a.b:2")
        self.tell("a.b", "x1")
        self.assertEqual(self.run_at(), ["x1"])
        self.assertEqual(self.text("a"), "root.a(C:2,Q:0,R:1,F:0)")
        self.tell("a.b", "x1", "failed")
        for name, expected in (
            ("root", "root(C:2,Q:0,R:0,F:0)"),
            ("a", "root.a(C:2,Q:0,R:0,F:0)"),
            ("a.b", "root.a.b(C:2,Q:0,R:0,F:1)"),
        ):
            self.assertEqual(self.text(name), expected)
        self.tell("a.b", "x1", "pending")
        self.assertEqual(self.text("a.b"), "root.a.b(C:2,Q:1,R:0,F:0)")
        self.tell("a.b", "x1", "cancelled")
        self.assertEqual(self.text("a.b"), "root.a.b(C:2,Q:0,R:0,F:0)")

    def test_jobs_that_run_already_take_slots(self):
        self.manage("root:2")
        self.tell("a", "x1", "enqueued")
        self.tell("b", "x2", "started")
        self.tell("a", "x3")
        self.assertEqual(self.run_at(), [])
        self.tell("b", "x2", "done")
        self.assertEqual(self.run_at(), ["x3"])

    def test_states_that_end_a_job(self):
        for state in ("done", "cancelled", "", None):
            for before in ("pending", "started", "failed"):
                self.manage("root:1")
                self.tell("a", "x1", before)
                self.tell("a", "x1", state)
                with self.subTest(before=before, state=state):
                    self.assertEqual(self.text("a"), "root.a(C:∞,Q:0,R:0,F:0)")
                    self.assertEqual(self.text("root"), "root(C:1,Q:0,R:0,F:0)")

    def test_new_job_that_waits_for_others_is_not_kept(self):
        self.manage("root:4")
        self.tell("a", "x1", "wait_dependencies")
        self.assertEqual(self.text("a"), "root.a(C:∞,Q:0,R:0,F:0)")
        self.tell("a", "x1", "pending")
        self.assertEqual(self.run_at(), ["x1"])

    def test_each_change_places_a_job_anew(self):
        news = ("db", "a", "x", 5, 0, 10, None, "pending")
        for position, value in ((1, "b"), (3, 1), (5, 3), (6, 50)):
            self.manage("root:9")
            changed = [*news]
            changed[position] = value
            self.manager.notify("db", "a", "other", 2, 0, 10, None, "pending")
            self.manager.notify(*news)
            self.manager.notify(*changed)
            with self.subTest(changed=changed):
                (found,) = [
                    each
                    for each in self.manager.get_jobs_to_run(60)
                    if each.uuid == "x"
                ]
                self.assertEqual(found.channel.name, changed[1])
                self.assertEqual((found.seq, found.priority), (changed[3], changed[5]))

    def test_date_of_creation_is_for_ever(self):
        self.manage("root:9")
        self.tell("a", "x1", created=5)
        with self.assertRaises(AssertionError):
            self.tell("a", "x1", created=6)
        self.tell("a", "x1", "done", created=5)
        self.tell("a", "x1", created=6)
        self.assertEqual(self.run_at(), ["x1"])

    def test_jobs_are_chosen_one_by_one(self):
        self.manage("root:2")
        self.tell("a", "x1")
        self.tell("a", "x2")
        choice = self.manager.get_jobs_to_run(100)
        self.assertEqual(next(choice).uuid, "x1")
        self.assertEqual(self.text("root"), "root(C:2,Q:0,R:1,F:0)")
        self.tell("b", "x3", priority=1)
        self.assertEqual([each.uuid for each in choice], ["x3"])

    def test_moves_are_in_the_log(self):
        self.manage("root:4")
        with self.assertLogs(CHANNELS_LOGGER, "DEBUG") as logs:
            for state in ("pending", "started", "failed", "done"):
                self.tell("a", "x1", state)
        self.assertEqual(
            [line.partition(f":{CHANNELS_LOGGER}:")[2] for line in logs.output],
            [
                "job x1 marked pending in channel root.a(C:∞,Q:1,R:0,F:0)",
                "job x1 marked running in channel root.a(C:∞,Q:0,R:1,F:0)",
                "job x1 marked failed in channel root.a(C:∞,Q:0,R:0,F:1)",
                "job x1 marked done in channel root.a(C:∞,Q:0,R:0,F:0)",
            ],
        )


class TestNames(SequenceCase):
    def test_missing_levels_are_created_without_limit(self):
        manager = self.manage("root:4")
        for asked, full in (
            ("x.y", "root.x.y"),
            ("root.x.z", "root.x.z"),
            ("rooted", "root.rooted"),
        ):
            channel = manager.get_channel_by_name(asked, autocreate=True)
            self.assertEqual((channel.fullname, channel.capacity), (full, None))
            self.assertIs(manager.get_channel_by_name(full), channel)

    def test_fallback_repeats_the_name_below_the_nearest_ancestor(self):
        manager = self.manage("root:4,sub:2")
        for asked, full in (
            ("sub.x", "root.sub.sub.x"),
            ("root.sub.y.z", "root.sub.sub.y.z"),
            ("other.w", "root.other.w"),
        ):
            channel = manager.get_channel_by_name(asked, parent_fallback=True)
            self.assertEqual((channel.fullname, channel.capacity), (full, None))
            again = manager.get_channel_by_name(asked, parent_fallback=True)
            self.assertIs(again, channel)

    def test_limits_of_the_ancestor_apply_to_unknown_channels(self):
        self.manage("root:9,sub:1")
        self.tell("sub.x", "x1")
        self.tell("sub.y", "x2")
        self.tell("elsewhere", "x3")
        self.assertEqual(self.run_at(), ["x1", "x3"])
        self.tell("sub.x", "x1", "done")
        self.assertEqual(self.run_at(), ["x2"])

    def test_configuration_returns_the_channel(self):
        manager = ChannelManager()
        channel = manager.get_channel_from_config({"name": "a.b", "capacity": 3})
        self.assertEqual(str(channel), "root.a.b(C:3,Q:0,R:0,F:0)")
        self.assertIs(manager.get_channel_by_name("root.a.b"), channel)


class TestSettings(SequenceCase):
    def test_sequential_channel_has_one_slot(self):
        with self.assertRaisesRegex(
            ValueError, "A sequential channel must have a capacity of 1"
        ):
            self.manage("root:4,s:2:sequential")

    def test_pause_and_resume(self):
        self.manage("root:4,p:2")
        for number in (1, 2, 3):
            self.tell("p", f"p{number}")
        self.assertEqual(self.run_at(), ["p1", "p2"])
        self.manager.simple_configure("p:2:paused")
        self.assertEqual(self.text("p"), "root.p(C:2,Q:1,R:2,F:0,paused)")
        self.tell("p", "p1", "done")
        self.assertEqual(self.run_at(), [])
        self.assertEqual(self.manager.get_wakeup_time(), 0)
        self.manager.simple_configure("p:2")
        self.assertEqual(self.text("p"), "root.p(C:2,Q:1,R:1,F:0)")
        self.assertEqual(self.run_at(), ["p3"])

    def test_paused_root_stops_everything(self):
        self.manage("root:4:paused")
        self.tell("a", "x1")
        self.tell("a", "x2", eta=50)
        self.assertEqual(self.run_at(), [])
        self.assertEqual(self.manager.get_wakeup_time(), 0)
        self.manager.simple_configure("root:4")
        self.assertEqual(self.run_at(), ["x1", "x2"])

    def test_throttle_that_is_taken_off(self):
        self.manage("root:4,t:4:throttle=60")
        self.tell("t", "t1")
        self.tell("t", "t2")
        self.assertEqual(self.run_at(100), ["t1"])
        self.manager.simple_configure("t:4")
        self.assertEqual(self.manager.get_wakeup_time(), 0)
        self.assertEqual(self.run_at(100), ["t2"])

    def test_throttle_without_a_number_is_one_second(self):
        self.manage("root:4,t:4:throttle")
        self.tell("t", "t1")
        self.tell("t", "t2")
        self.assertEqual(self.run_at(100), ["t1"])
        self.assertEqual(self.manager.get_wakeup_time(), 101)

    def test_throttle_that_is_no_number(self):
        with self.assertRaises(ValueError):
            self.manage("root:4,t:4:throttle=soon")


class TestWakeup(SequenceCase):
    """When time alone may let a job run."""

    def test_throttle_in_a_channel_that_fills_up(self):
        self.manage("root:4,t:2:throttle=3")
        for number in (1, 2, 3):
            self.tell("t", f"t{number}")
        for now, chosen, wakeup in (
            (10, ["t1"], 13),
            (11, [], 13),
            (13, ["t2"], 0),
            (20, [], 0),
        ):
            with self.subTest(now=now):
                self.assertEqual(self.run_at(now), chosen)
                self.assertEqual(self.manager.get_wakeup_time(), wakeup)
        self.tell("t", "t1", "done")
        self.assertEqual(self.run_at(21), ["t3"])
        self.tell("t", "t2", "done")
        self.assertEqual(self.manager.get_wakeup_time(), 24)

    def test_throttle_that_is_over_before_there_is_room(self):
        self.manage("root:4,t:1:throttle=3")
        self.tell("t", "t1")
        self.tell("t", "t2")
        self.assertEqual(self.run_at(10), ["t1"])
        self.assertEqual(self.run_at(14), [])
        self.tell("t", "t1", "done")
        # No time is waited for: the job may run now.
        self.assertEqual(self.manager.get_wakeup_time(), 0)
        self.assertEqual(self.run_at(14), ["t2"])

    def test_eta_behind_a_running_job(self):
        self.manage("root:4,e:1")
        self.tell("e", "e1")
        self.tell("e", "e2")
        self.assertEqual(self.run_at(10), ["e1"])
        # Postponed: its slot is free, its time is to come.
        self.tell("e", "e1", eta=15)
        self.assertEqual(self.manager.get_wakeup_time(), 15)
        self.assertEqual(self.run_at(11), ["e2"])
        self.assertEqual(self.manager.get_wakeup_time(), 0)
        self.assertEqual(self.run_at(16), [])
        self.tell("e", "e2", "done")
        self.assertEqual(self.manager.get_wakeup_time(), 15)
        self.assertEqual(self.run_at(17), ["e1"])
        self.assertEqual(self.manager.get_wakeup_time(), 0)

    def test_eta_behind_a_failure_in_a_sequential_channel(self):
        self.manage("root:4,s:1:sequential")
        self.tell("s", "s1")
        self.tell("s", "s2")
        self.assertEqual(self.run_at(10), ["s1"])
        self.tell("s", "s1", "failed")
        self.tell("s", "s2", eta=15)
        self.assertEqual(self.run_at(12), [])
        self.assertEqual(self.manager.get_wakeup_time(), 0)
        self.tell("s", "s1", eta=20)
        self.assertEqual(self.manager.get_wakeup_time(), 15)
        # The first one keeps its place, however late it is.
        self.assertEqual(self.run_at(16), [])
        self.assertEqual(self.run_at(20), ["s1"])
        self.assertEqual(self.run_at(21), [])
        self.tell("s", "s1", "done", eta=20)
        self.assertEqual(self.run_at(22), ["s2"])

    def test_smallest_of_several_channels(self):
        for config in ("root:9,t:4:throttle=5,e:4", "root:9,e:4,t:4:throttle=5"):
            self.manage(config)
            self.tell("e", "e1", eta=23)
            self.tell("e", "e2", eta=30)
            self.tell("t", "t1")
            self.tell("t", "t2")
            for now, chosen, wakeup in (
                (20, ["t1"], 23),
                (23, ["e1"], 25),
                (25, ["t2"], 30),
                (30, ["e2"], 0),
            ):
                with self.subTest(config=config, now=now):
                    self.assertEqual(self.run_at(now), chosen)
                    self.assertEqual(self.manager.get_wakeup_time(), wakeup)

    def test_full_root_is_woken_by_the_end_of_a_job(self):
        self.manage("root:1")
        self.tell("a", "x1", "started")
        self.tell("a", "x2", eta=50)
        self.assertEqual(self.manager.get_wakeup_time(), 0)
        self.tell("a", "x1", "done")
        self.assertEqual(self.manager.get_wakeup_time(), 50)

    def test_time_that_is_given(self):
        channel = Channel("c", None, capacity=1)
        channel.set_pending(job("timed", eta=50))
        self.assertEqual(channel.get_wakeup_time(), 50)
        self.assertEqual(channel.get_wakeup_time(20), 20)
        self.assertEqual(channel.get_wakeup_time(70), 50)
        channel.set_running(job("running", 2))
        self.assertEqual(channel.get_wakeup_time(70), 70)
        self.assertEqual(channel.get_wakeup_time(), 0)


class TestParts(BaseCase):
    def test_what_ranks_a_job_is_read_only(self):
        for name in ("seq", "date_created", "priority", "eta"):
            with self.subTest(name), self.assertRaises(AttributeError):
                setattr(job(), name, 1)

    def test_keys(self):
        timed = job(seq=1, created=2, priority=3, eta=4)
        self.assertEqual(timed.sorting_key(), (4, 3, 2, 1))
        self.assertIsInstance(timed.sorting_key(), channels.JobSortingKey)
        self.assertEqual(timed.sorting_key().priority, 3)
        self.assertEqual(timed.sorting_key_ignoring_eta(), (3, 2, 1))

    def test_sets_that_others_read(self):
        channel = Channel("c", None)
        jobs = [job(str(number), number) for number in range(3)]
        channel.set_pending(jobs[0])
        channel.set_running(jobs[1])
        channel.set_failed(jobs[2])
        self.assertIn(jobs[0], channel._queue)
        self.assertEqual((channel._running, channel._failed), ({jobs[1]}, {jobs[2]}))

    def test_sequential_is_that_of_the_queue(self):
        channel = Channel("c", None, capacity=1, sequential=True)
        self.assertTrue(channel._queue.sequential)
        channel.sequential = False
        self.assertFalse(channel._queue.sequential)

    def test_each_move_twice_is_that_move_once(self):
        root = Channel("root", None)
        channel = Channel("c", root)
        one = job()
        for move, text in (
            ("set_pending", "root.c(C:∞,Q:1,R:0,F:0)"),
            ("set_running", "root.c(C:∞,Q:0,R:1,F:0)"),
            ("set_failed", "root.c(C:∞,Q:0,R:0,F:1)"),
            ("set_done", "root.c(C:∞,Q:0,R:0,F:0)"),
            ("remove", "root.c(C:∞,Q:0,R:0,F:0)"),
        ):
            for _time in range(2):
                getattr(channel, move)(one)
                self.assertEqual(str(channel), text)
