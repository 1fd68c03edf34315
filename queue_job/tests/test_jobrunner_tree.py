# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import BaseCase

from ..channels import ChannelRecord, DatabaseTree
from ..channels.settings import stated_by
from ..jobrunner.channels import ChannelManager


class TestDatabaseTree(BaseCase):
    def trees(self, config, *names):
        shared = ChannelManager()
        shared.simple_configure(config or "root:9")
        if not config:
            shared.get_channel_by_name("root").capacity = 9
        return [DatabaseTree(shared, stated_by(config)) for _name in names or ("db",)]

    def pending(self, tree, channel, *uuids, db_name="db"):
        for uuid in uuids:
            seq = int(uuid[1:])
            tree.notify(db_name, channel, uuid, seq, 0, 10, None, "pending")

    def run_at(self, tree, now=100):
        return [job.uuid for job in tree.get_jobs_to_run(now)]

    def test_precedence(self):
        """What the configuration states wins, the record gives the rest."""
        record = ChannelRecord("root.sub", 3, False, 0.5, False)
        for config, expected in (
            # capacity, sequential, throttled, may start
            ("", (3, False, True, True)),
            ("root:9", (3, False, True, True)),
            ("root:9,sub:2", (2, False, True, True)),
            ("root:9,sub:1:sequential", (1, True, True, True)),
            ("root:9,sub:2:throttle=0", (2, False, False, True)),
            ("root:9,sub:2:paused", (2, False, True, False)),
        ):
            with self.subTest(config):
                (tree,) = self.trees(config)
                tree.apply([ChannelRecord("root", 9), record])
                channel = tree.get_channel_by_name("sub")
                got = (channel.slots(99), channel.sequential, channel.is_throttled)
                self.assertEqual((*got, channel.has_capacity()), expected)

    def test_paused_by_either(self):
        (tree,) = self.trees("root:9,sub:2:paused=0")
        tree.apply([ChannelRecord("root.sub", None, None, None, True)])
        self.assertFalse(tree.get_channel_by_name("sub").has_capacity())

    def test_root_has_one_slot_until_its_record_says_otherwise(self):
        (tree,) = self.trees("")
        self.assertEqual(tree.root.capacity, 1)
        tree.apply([ChannelRecord("root", 5)])
        self.assertEqual(tree.root.capacity, 5)
        tree.apply([ChannelRecord("root", None)])
        self.assertEqual(tree.root.capacity, 1)

    def test_channel_of_a_job_takes_the_default_of_its_parent(self):
        """Of the configuration, then of a record; each database has its own slots."""
        one, other = self.trees("root:9,c:8:capacity_default=2", "one", "other")
        for tree, db_name in ((one, "one"), (other, "other")):
            self.pending(tree, "c.auto", "a1", "a2", "a3", db_name=db_name)
            self.assertEqual(self.run_at(tree), ["a1", "a2"])
        self.pending(one, "d.auto", "b4", "b5", db_name="one")
        one.apply([ChannelRecord("root.d", capacity_default=1)])
        self.assertEqual(self.run_at(one), ["b4"])

    def test_record_that_is_gone_leaves_no_limit(self):
        (tree,) = self.trees("")
        tree.apply([ChannelRecord("root", 9), ChannelRecord("root.a", 1)])
        self.pending(tree, "a", "a1", "a2")
        self.assertEqual(self.run_at(tree), ["a1"])
        tree.apply([ChannelRecord("root", 9)])
        self.assertEqual(self.run_at(tree), ["a2"])

    def test_channels_that_only_jobs_named_are_forgotten(self):
        """One for each customer, order or day: weeks later they are many."""
        (tree,) = self.trees("root:99,kept.by.config:1")
        records = [ChannelRecord("root.kept.by.record")]
        names = [f"root.day.{number}" for number in range(1, 50)]
        for number, name in enumerate(names, 1):
            self.pending(tree, name, f"a{number}")
        tree.apply(records)
        self.assertLess(50, len(list(tree.channels())))
        self.assertEqual(len(self.run_at(tree)), 49)
        for number, name in enumerate(names[1:], 2):
            tree.notify("db", name, f"a{number}", number, 0, 10, None, "done")
        tree.apply(records)
        self.assertEqual(
            sorted(channel.fullname for channel in tree.channels()),
            [
                *("root", "root.day", "root.day.1"),
                *("root.kept", "root.kept.by", "root.kept.by.record"),
            ],
        )
        # Known again, and limited as before.
        self.pending(tree, names[4], "b5")
        self.pending(tree, "kept.by.config", "c6", "c7")
        self.assertEqual(self.run_at(tree), ["b5", "c6"])

    def test_configured_capacity_counts_over_all_databases(self):
        one, two = self.trees("root:3,a:2", "one", "two")
        self.pending(one, "a", "a1", "a2", db_name="one")
        self.pending(two, "a", "a3", db_name="two")
        self.pending(two, "b", "b4", "b5", db_name="two")
        self.assertEqual(self.run_at(one), ["a1", "a2"])
        self.assertEqual(self.run_at(two), ["b4"])
        one.notify("one", "a", "a1", 1, 0, 10, None, "done")
        self.assertEqual(self.run_at(two), ["a3"])

    def test_record_counts_for_its_own_database_only(self):
        one, two = self.trees("root:9", "one", "two")
        one.apply([ChannelRecord("root.a", 1)])
        self.pending(one, "a", "a1", "a2", db_name="one")
        self.pending(two, "a", "a3", "a4", db_name="two")
        self.assertEqual(self.run_at(one), ["a1"])
        self.assertEqual(self.run_at(two), ["a3", "a4"])

    def test_configured_throttle_counts_over_all_databases(self):
        one, two = self.trees("root:9,a:2:throttle=2", "one", "two")
        self.pending(one, "a", "a1", db_name="one")
        self.pending(two, "a", "a2", db_name="two")
        self.assertEqual(self.run_at(one, 100), ["a1"])
        self.assertEqual(self.run_at(two, 101), [])
        self.assertEqual(two.get_wakeup_time(), 102)
        self.assertEqual(self.run_at(two, 102), ["a2"])

    def test_failure_in_a_configured_sequential_channel_holds_up_its_database(self):
        one, two = self.trees("root:9,s:1:sequential", "one", "two")
        one.notify("one", "s", "s1", 1, 0, 10, None, "failed")
        self.pending(one, "s", "s2", db_name="one")
        self.pending(two, "s", "s3", db_name="two")
        self.assertEqual(self.run_at(one), [])
        self.assertEqual(self.run_at(two), ["s3"])

    def test_forgotten_database_gives_its_slots_back(self):
        one, two = self.trees("root:1", "one", "two")
        self.pending(one, "a", "a1", db_name="one")
        self.pending(two, "a", "a2", db_name="two")
        self.assertEqual(self.run_at(one), ["a1"])
        self.assertEqual(self.run_at(two), [])
        one.remove_db("one")
        self.assertEqual(self.run_at(two), ["a2"])
