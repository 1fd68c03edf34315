# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Failures are told once: by the job function's choice, and many of them in a digest."""

from datetime import datetime, timedelta
from unittest.mock import patch

from odoo.tests import tagged

from .common import JobCase

MANAGER = "base.group_user,queue_job.group_queue_job_manager"


class FailureCase(JobCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.manager = cls.make_user(cls, "digest_manager", MANAGER)
        cls.manager.notification_type = "inbox"
        cls.digests = cls.env["queue.job.digest"]
        cls.function = cls.env["queue.job.function"].search(
            [("name", "=", "<test.queue.job>.testing_method")]
        ) or cls.env["queue.job.function"].create(
            {"name": "<test.queue.job>.testing_method"}
        )

    def fail(self, error="ValueError"):
        job = self.make_job()
        job.date_started = datetime.now()
        job.set_failed(exc_name=error, exc_message="why", exc_info="traceback")
        job.store()
        return self.row(job)

    def notified(self, rows):
        """Return how many of the messages on jobs notified the manager."""
        return len(
            rows.message_ids.notification_ids.filtered(
                lambda it: it.res_partner_id == self.manager.partner_id
            )
        )

    def digest(self, now=None):
        """Bring digests up to date; return those of the manager."""
        self.env.flush_all()
        self.digests._cron_send(now)
        return self.digests.search([("user_id", "=", self.manager.id)])


@tagged("post_install", "-at_install")
class TestDigest(FailureCase):
    def test_from_the_sixth_on_only_the_digest_notifies(self):
        rows = self.job_model.browse()
        for _number in range(8):
            rows |= self.fail()
        self.assertEqual(self.notified(rows), 5)
        self.assertTrue(all(len(row.message_ids) == 1 for row in rows))
        self.assertIn(self.manager.partner_id, rows[-1].message_partner_ids)
        cron = self.env.ref("queue_job.queue_job_digest_cron")
        triggers = self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)])
        self.assertEqual(len(triggers), 1)
        digest = self.digest()
        self.assertEqual(digest.jobs_count, 8)
        self.assertIn("8 jobs", digest.message_id.body)
        self.assertEqual(
            digest.message_id.notified_partner_ids, self.manager.partner_id
        )

    def test_digest_is_updated_in_place(self):
        for _number in range(6):
            self.fail()
        digest = self.digest()
        message = digest.message_id
        self.fail()
        self.assertEqual((self.digest(), digest.message_id), (digest, message))
        self.assertIn("7 jobs", message.body)

    def test_other_errors_are_told(self):
        for _number in range(5):
            self.fail()
        self.assertEqual(self.notified(self.fail("KeyError")), 1)
        self.assertFalse(self.digest())

    def test_failures_of_another_hour_do_not_count(self):
        for _number in range(6):
            self.fail()
        self.assertFalse(self.digest(datetime.now() + timedelta(hours=2)))

    def test_ten_thousand_failures_are_one_message(self):
        self.env.cr.execute(
            "INSERT INTO queue_job (uuid, state, channel_method_name, exc_name, date_started)"
            " SELECT 'd' || n, 'failed', '<test.queue.job>.testing_method', 'ValueError',"
            " now() AT TIME ZONE 'UTC' FROM generate_series(1, 10000) n"
        )
        self.assertEqual(self.notified(self.fail()), 0)
        before = self.env["mail.message"].search_count([])
        digest = self.digest()
        self.assertIn("10001 jobs", digest.message_id.body)
        sent = self.env["mail.message"].search_count([]) - before
        self.assertEqual(sent, self.digests.search_count([]))
        self.assertEqual(len(digest), 1)


@tagged("post_install", "-at_install")
class TestNotice(FailureCase):
    def test_nobody(self):
        self.function.failure_notice = "nobody"
        self.assertFalse(self.fail().message_ids)

    def test_activity_for_a_responsible(self):
        self.function.write(
            {"failure_notice": "activity", "failure_user_id": self.manager.id}
        )
        rows = [self.fail() for _number in range(7)]
        activity = rows[0].activity_ids
        self.assertEqual(
            (activity.user_id, activity.summary), (self.manager, "ValueError")
        )
        self.assertFalse(rows[-1].activity_ids)
        subtype = self.env.ref("queue_job.mt_job_failed")
        self.assertNotIn(subtype, rows[0].message_ids.subtype_id)

    def test_user_of_the_job_in_the_web_client(self):
        self.function.failure_notice = "user"
        with patch.object(
            type(self.env["res.users"]), "_bus_send", autospec=True
        ) as send:
            row = self.fail()
        (call,) = send.call_args_list
        self.assertEqual(call.args[0], row.user_id)
        self.assertEqual(call.args[1], "simple_notification")
