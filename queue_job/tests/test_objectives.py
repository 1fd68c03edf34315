# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Objectives of channels: jobs begin in time, or a person is called once."""

import uuid
from datetime import datetime, timedelta

from odoo.exceptions import ValidationError
from odoo.tests import TransactionCase, new_test_user, tagged

from ..insight.channel_counts import ChannelCounts
from ..insight.problems import Problems

MANAGER = "base.group_user,queue_job.group_queue_job_manager"


@tagged("post_install", "-at_install")
class TestObjectives(TransactionCase):
    def setUp(self):
        super().setUp()
        self.user = new_test_user(self.env, "responsible", groups=MANAGER)
        root = self.env.ref("queue_job.channel_root")
        self.channel = self.env["queue.job.channel"].create(
            {
                "name": "mails",
                "parent_id": root.id,
                "objective": 60,
                "objective_user_id": self.user.id,
            }
        )
        self.now = datetime.now().replace(microsecond=0)

    def make(self, seconds):
        """Store a job that has been ready for so long."""
        return (
            self.env["queue.job"]
            ._editor()
            .create(
                {
                    "uuid": str(uuid.uuid4()),
                    "channel": "root.mails.sub",
                    "state": "pending",
                    "date_created": self.now - timedelta(seconds=seconds),
                }
            )
        )

    def check(self, minutes=0):
        self.env.flush_all()
        now = self.now + timedelta(minutes=minutes)
        self.env["queue.job.channel"]._cron_check_objectives(now)
        return self.channel.activity_ids

    @property
    def cron(self):
        return self.env.ref("queue_job.queue_job_objective_cron")

    def test_missed_for_five_minutes_is_one_activity_that_closes_itself(self):
        job = self.make(90)
        self.assertFalse(self.check())
        missed = self.now - timedelta(seconds=30)
        self.assertEqual(self.channel.objective_missed_since, missed)
        self.assertFalse(self.check(4))
        activity = self.check(5)
        self.assertEqual((len(activity), activity.user_id), (1, self.user))
        self.assertIn("root.mails", activity.note)
        for minutes in (6, 20):
            self.assertEqual(self.check(minutes), activity)
        job.state = "done"
        self.assertFalse(self.check(21))
        self.assertFalse(self.channel.objective_missed_since)

    def test_activity_that_was_done_is_not_made_again(self):
        self.make(900)
        self.check().action_feedback()
        self.assertFalse(self.check(1))
        self.assertFalse(self.check(30))

    def test_met_objective_is_silent(self):
        self.make(30)
        self.assertFalse(self.check())
        self.assertFalse(self.channel.objective_missed_since)
        self.assertFalse(self.channel.is_objective_missed)

    def test_screens_show_what_is_missed(self):
        self.make(600)
        self.env.flush_all()
        self.assertTrue(self.channel.is_objective_missed)
        counts = ChannelCounts(self.env)
        problems = Problems(self.env, counts, counts.channels())
        (problem,) = problems._objectives()
        self.assertIn("root.mails misses its objective", problem["text"])

    def test_scheduled_action_is_active_while_there_is_an_objective(self):
        others = self.env["queue.job.channel"].search(
            [("objective", ">", 0), ("id", "!=", self.channel.id)]
        )
        others.objective = 0
        self.assertTrue(self.cron.active)
        self.channel.objective = 0
        self.assertFalse(self.cron.active)
        self.channel.objective = 5
        self.assertTrue(self.cron.active)

    def test_objective_that_is_taken_back_closes_the_activity(self):
        self.make(900)
        self.assertTrue(self.check())
        self.channel.objective = 0
        self.assertTrue(self.cron.active)
        self.assertFalse(self.check(1))
        self.assertFalse(self.cron.active)

    def test_responsible_can_open_the_channel(self):
        user = new_test_user(self.env, "no_manager", groups="base.group_user")
        with self.assertRaises(ValidationError):
            self.channel.objective_user_id = user
