# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A channel that is paused for a while: who, why, until when; it resumes by itself."""

import time
from datetime import datetime, timedelta
from unittest import mock

from odoo.tests import TransactionCase, freeze_time, new_test_user, tagged

from ..channels import ChannelRecord, DatabaseTree
from ..channels.channel import PAUSED
from ..insight.snapshot import Runner, Snapshot
from .runner_case import SessionCase
from .situation_case import SituationCase


@tagged("post_install", "-at_install")
class TestPauseInTheTree(TransactionCase):
    def tree(self, **values):
        record = ChannelRecord("root.sub", **values)
        tree = DatabaseTree(None, {}, [record], 4)
        job = tree.place("db", "root.sub", "uuid", 1, 1.0, 10, None, "pending")
        return tree, job

    def test_starts_nothing_before_the_end_and_wakes_then(self):
        tree, job = self.tree(paused_until=200)
        self.assertIsNone(tree.root.best(199))
        reason = job.channel.why_not(job, 199)
        self.assertEqual((reason.rule, reason.until), (PAUSED, 200))
        self.assertEqual(tree.get_wakeup_time(), 200)
        self.assertTrue(job.channel.figures(199).paused)
        self.assertFalse(job.channel.figures(200).paused)
        self.assertIs(tree.root.best(200), job)

    def test_resumed_early(self):
        tree, job = self.tree(paused_until=200)
        self.assertIsNone(tree.root.best(100))
        tree.apply([ChannelRecord("root.sub")])
        self.assertIs(tree.root.best(100), job)

    def test_prolonged(self):
        tree, job = self.tree(paused_until=200)
        tree.apply([ChannelRecord("root.sub", paused_until=300)])
        self.assertIsNone(tree.root.best(250))
        self.assertIs(tree.root.best(300), job)

    def test_a_throttle_does_not_end_it(self):
        tree, job = self.tree(throttle=1, paused_until=200)
        job.channel.wait_until(101)
        self.assertIsNone(tree.root.best(150))
        self.assertIs(tree.root.best(200), job)

    def test_one_that_is_over_holds_nothing(self):
        tree, job = self.tree(paused_until=50)
        self.assertIs(tree.root.best(100), job)


@tagged("post_install", "-at_install")
class TestPauseInTheRunner(SessionCase):
    def test_the_runner_wakes_at_the_end(self):
        """Read from the record, and told by its notification."""
        uuid = self.job(channel="root.pausedhere")
        until = datetime.utcnow() + timedelta(seconds=100)
        self.sql(
            "INSERT INTO queue_job_channel "
            "(name, complete_name, removal_interval, paused_until) "
            "VALUES ('pausedhere', 'root.pausedhere', 1, %s)",
            until,
        )
        self.addCleanup(
            self.sql, "DELETE FROM queue_job_channel WHERE name = 'pausedhere'"
        )
        now = time.time()
        session = self.session(now=now)
        self.assertEqual(self.dispatch(session, now), [])
        self.assertAlmostEqual(session.tree.get_wakeup_time(), now + 100, delta=30)
        self.assertEqual(self.dispatch(session, now + 101), [[uuid]])


@tagged("post_install", "-at_install")
class TestPause(SituationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.startClassPatcher(
            mock.patch.object(
                Snapshot,
                "runner",
                property(lambda _self: Runner("node:1", datetime.now(), None)),
            )
        )
        cls.manager = new_test_user(
            cls.env,
            "pauser",
            groups="base.group_user,queue_job.group_queue_job_manager",
            tz="Europe/Berlin",
        )
        cls.sub = cls.env["queue.job.channel"].create(
            {"name": "sub", "parent_id": cls.root.id}
        )

    def wizard(self, **values):
        action = self.sub.with_user(self.manager).action_pause_for()
        wizards = self.env[action["res_model"]].with_user(self.manager)
        return wizards.with_context(**action["context"]).create(values)

    def test_for_a_while_with_a_reason(self):
        job = self.job("root.sub")
        with freeze_time("2026-03-01 10:00:00"):
            self.wizard(reason="The shop is down").pause_hour()
            self.assertEqual(self.sub.paused_until, datetime(2026, 3, 1, 11))
            self.assertTrue(self.sub.is_paused)
            self.assertFalse(self.sub.paused)
            found = self.env["queue.job.channel"].search([("is_paused", "=", True)])
            self.assertIn(self.sub, found)
            text = self.explain(job)["text"]
            for part in ("until", "pauser", "The shop is down"):
                self.assertIn(part, text)
        with freeze_time("2026-03-01 11:00:01"):
            self.env.invalidate_all()
            self.assertFalse(self.sub.is_paused)
            self.assertFalse(self.sub.pause_text)
            self.assertNotEqual(self.explain(job)["kind"], "paused")

    def test_until_midnight_of_the_user(self):
        for now, midnight in (
            ("2026-03-01 10:00:00", datetime(2026, 3, 1, 23)),
            # A day later summer time has begun.
            ("2026-03-28 23:30:00", datetime(2026, 3, 29, 22)),
        ):
            with freeze_time(now):
                self.wizard().pause_day()
                self.assertEqual(self.sub.paused_until, midnight)

    def test_until_resumed_and_its_history(self):
        self.wizard(reason="Closed").pause_until_resumed()
        self.assertTrue(self.sub.paused)
        self.assertEqual(self.sub.pause_user_id, self.manager)
        self.sub.with_user(self.manager).action_resume()
        self.assertFalse(self.sub.is_paused)
        self.assertFalse(self.sub.pause_reason)
        bodies = " ".join(self.sub.message_ids.mapped("body"))
        for part in ("Paused", "Closed", "Resumed"):
            self.assertIn(part, bodies)

    def test_resumed_before_the_end(self):
        self.wizard().pause_quarter()
        self.sub.action_resume()
        self.assertFalse(self.sub.paused_until)
        self.assertFalse(self.sub.is_paused)
