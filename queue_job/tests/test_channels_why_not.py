# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The reason why a job waits comes from the rule that decides."""

import random

from odoo.tests import BaseCase

from ..channels import ChannelManager, ChannelRecord, DatabaseTree
from ..channels.channel import (
    BEHIND,
    BEHIND_ETA,
    BEHIND_FAILED,
    BEHIND_HELD,
    ETA,
    FULL,
    PAUSED,
    THROTTLED,
)
from ..channels.settings import stated_by

NOW = 100


class TestWhyNot(BaseCase):
    def tree(self, config="", *records):
        shared = ChannelManager()
        shared.simple_configure(config or "root:9")
        root = ChannelRecord("root", 9)
        return DatabaseTree(shared, stated_by(config), [root, *records])

    def place(self, tree, name, channel="root.a", state="pending", **values):
        row = {"priority": 10, "eta": None, **values}
        seq = int(name[1:])
        return tree.place(
            "db", channel, name, seq, 0, row["priority"], row["eta"], state
        )

    def check(self, tree, job, rule, channel="root.a", until=0):
        reason = job.channel.why_not(job, NOW)
        self.assertEqual((reason.rule, reason.until), (rule, until))
        self.assertEqual(reason.channel.fullname, channel)
        self.assertIsNot(tree.root.best(NOW), job)

    def test_best_job_waits_for_nothing(self):
        tree = self.tree()
        first, second = self.place(tree, "j1"), self.place(tree, "j2", "root.b")
        self.assertIsNone(first.channel.why_not(first, NOW))
        self.check(tree, second, BEHIND, "root.b")

    def test_eta_to_come(self):
        tree = self.tree()
        job = self.place(tree, "j1", eta=150)
        self.check(tree, job, ETA, until=150)
        self.assertIsNone(job.channel.why_not(job, 150))

    def test_pause_comes_before_what_the_root_lacks(self):
        tree = self.tree("root:1,a:2:paused")
        self.place(tree, "j1", "root.b", "started")
        self.check(tree, self.place(tree, "j2", "root.a.sub"), PAUSED)

    def test_full_channel_above(self):
        tree = self.tree("", ChannelRecord("root.a", 1))
        running = self.place(tree, "j1", "root.a.one", "started")
        job = self.place(tree, "j2", "root.a.two")
        self.check(tree, job, FULL)
        tree.remove_job(running.uuid, "db")
        self.assertIsNone(job.channel.why_not(job, NOW))

    def test_channel_that_is_full_of_jobs_of_another_database(self):
        shared = ChannelManager()
        shared.simple_configure("root:9,a:1")
        one, two = (DatabaseTree(shared, stated_by("root:9,a:1")) for _n in "12")
        self.place(one, "j1", state="enqueued")
        self.check(two, self.place(two, "j2"), FULL)

    def test_sequential_channel_behind_failed_and_locked_jobs(self):
        record = ChannelRecord("root.a", 1, True)
        for state, rule in (("failed", BEHIND_FAILED), ("pending", BEHIND_HELD)):
            with self.subTest(rule):
                tree = self.tree("", record)
                before = self.place(tree, "j1", state=state)
                if state == "pending":
                    before.channel.hold(before)
                self.check(tree, self.place(tree, "j2"), rule)

    def test_sequential_channel_behind_an_eta(self):
        tree = self.tree("", ChannelRecord("root.a", 1, True))
        self.place(tree, "j1", eta=150)
        self.check(tree, self.place(tree, "j2"), BEHIND_ETA)

    def test_throttle(self):
        for config, record in (
            ("root:9,a:2:throttle=5", ()),
            ("", (ChannelRecord("root.a", 2, throttle=5),)),
        ):
            with self.subTest(config):
                tree = self.tree(config, *record)
                started = self.place(tree, "j1")
                started.channel.start(started, NOW - 1)
                self.check(tree, self.place(tree, "j2"), THROTTLED, until=NOW + 4)

    def test_reason_and_decision_never_differ(self):
        """Whatever is in the tree: the job without a reason is the one that starts."""
        for seed in range(300):
            chance = random.Random(seed)
            records = [
                ChannelRecord(
                    name,
                    chance.choice([None, 1, 2]),
                    chance.random() < 0.2,
                    chance.choice([0, 0, 5]),
                    chance.random() < 0.1,
                )
                for name in ("root.a", "root.b", "root.a.c")
            ]
            tree = self.tree("", *records)
            for number in range(12):
                state = chance.choice(["pending"] * 6 + ["started", "failed"])
                self.place(
                    tree,
                    f"j{number}",
                    chance.choice(["root", "root.a", "root.b", "root.a.c"]),
                    state,
                    priority=chance.randrange(3),
                    eta=chance.choice([None, None, 90, 150]),
                )
            next(tree.get_jobs_to_run(NOW - 10), None)
            best = tree.root.best(NOW)
            for channel in tree.channels():
                for job in channel.queue:
                    with self.subTest(seed=seed, job=job.uuid):
                        reason = channel.why_not(job, NOW)
                        self.assertEqual(reason is None, job is best)
