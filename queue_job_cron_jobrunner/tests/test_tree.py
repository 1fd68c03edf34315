# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import BaseCase

from odoo.addons.queue_job.channels import ChannelRecord
from odoo.addons.queue_job.channels.settings import stated_by
from odoo.addons.queue_job.states import PENDING, STARTED

from ..tree import CronTree


class TestSettings(BaseCase):
    def settings(self, config="", records=(), crons=1):
        records = [ChannelRecord(*record) for record in records]
        applied = CronTree(stated_by(config), records, crons).settings
        return {name: tuple(applied.of(name))[1:5] for name in applied.names}

    def test_nobody_says_anything(self):
        self.assertEqual(self.settings()["root"], (1, False, 0, False))
        self.assertEqual(self.settings(crons=3)["root"][0], 3)
        self.assertEqual(self.settings(crons=0)["root"][0], 1)

    def test_root_0_switches_off_the_other_runner_only(self):
        records = [("root", 4, None, None, None)]
        self.assertEqual(self.settings("root:0", records)["root"][0], 4)
        self.assertEqual(self.settings("root:0", crons=2)["root"][0], 2)

    def test_configuration_wins_over_records(self):
        records = [("root", 4, None, None, None), ("root.a", 5, None, 7.5, True)]
        settings = self.settings("root:2,a:3:throttle=2", records)
        self.assertEqual(settings["root"][0], 2)
        self.assertEqual(settings["root.a"], (3, False, 2, True))

    def test_what_it_does_not_state_comes_from_the_record(self):
        settings = self.settings("root:2,a", [("root.a", 1, True, 7.5, None)])
        self.assertEqual(settings["root.a"], (1, True, 7.5, False))

    def test_sub_channels(self):
        settings = self.settings("a:0", [("root.b", 0, None, None, None)])
        self.assertEqual(settings["root.a"][0], 0)
        self.assertEqual(settings["root.b"][0], 0)


class TestTree(BaseCase):
    def tree(self, last_starts=None, **settings):
        named = [ChannelRecord("root." + name, *row) for name, row in settings.items()]
        return CronTree({}, [ChannelRecord("root", 10), *named], 1, last_starts)

    def place(self, tree, uuid, channel=None, priority=10, eta=None, state=PENDING):
        self.seq = getattr(self, "seq", 0) + 1
        return tree.place("db", channel, uuid, self.seq, None, priority, eta, state)

    def uuids(self, run):
        return [job.uuid for job in run]

    def test_a_run_is_of_one_channel(self):
        tree = self.tree()
        self.place(tree, "a1", "root.a")
        self.place(tree, "b1", "root.b")
        self.place(tree, "a2", "root.a")
        self.assertEqual(self.uuids(tree.take_bundle(0)), ["a1", "a2"])
        self.assertEqual(self.uuids(tree.take_bundle(0)), ["b1"])
        self.assertEqual(tree.take_bundle(0), [])

    def test_a_better_priority_elsewhere_ends_the_run(self):
        tree = self.tree()
        self.place(tree, "a1", "root.a", 1)
        self.place(tree, "b1", "root.b", 5)
        self.place(tree, "a2", "root.a", 9)
        self.assertEqual(self.uuids(tree.take_bundle(0)), ["a1"])

    def test_but_not_in_a_channel_that_is_full(self):
        tree = self.tree(b=(1, False, 0, False))
        self.place(tree, "runs", "root.b", state=STARTED)
        self.place(tree, "a1", "root.a", 1)
        self.place(tree, "b1", "root.b", 5)
        self.place(tree, "a2", "root.a", 9)
        self.assertEqual(self.uuids(tree.take_bundle(0)), ["a1", "a2"])

    def test_throttled_channels_get_runs_of_one(self):
        tree = self.tree(a=(0, False, 5, False))
        self.place(tree, "a1", "root.a.sub")
        self.place(tree, "a2", "root.a.sub")
        self.assertEqual(self.uuids(tree.take_bundle(0)), ["a1"])

    def test_throttle_counts_from_the_last_start(self):
        tree = self.tree({"root.a": 100}, a=(0, False, 5, False))
        self.place(tree, "a1", "root.a")
        self.assertEqual(tree.take_bundle(104), [])
        self.assertEqual(tree.get_wakeup_time(), 105)
        self.assertEqual(self.uuids(tree.take_bundle(105)), ["a1"])

    def test_eta_to_come_holds_back_a_sequential_channel(self):
        tree = self.tree(row=(1, True, 0, False))
        self.place(tree, "first", "root.row", eta=50)
        self.place(tree, "second", "root.row")
        self.assertEqual(tree.take_bundle(10), [])
        self.assertEqual(self.uuids(tree.take_bundle(50)), ["first", "second"])

    def test_sequential_channel_waits_for_a_job_that_cannot_be_had(self):
        tree = self.tree(row=(1, True, 0, False))
        for number in range(60):
            self.place(tree, str(number), "root.row")
        tree.pass_over(tree.take_bundle(0))
        self.assertEqual(tree.take_bundle(0), [])
