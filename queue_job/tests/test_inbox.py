# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The list of jobs as an inbox: shipped filters, and what a row's buttons do."""

from datetime import datetime, timedelta

from lxml import etree

from odoo.exceptions import AccessError
from odoo.tests import new_test_user, tagged
from odoo.tools.safe_eval import safe_eval

from ..delay import chain
from .situation_case import SituationCase


@tagged("post_install", "-at_install")
class TestInbox(SituationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.jobs = cls.env["queue.job"]
        cls.now = datetime.now()

    def found(self, name):
        arch = etree.fromstring(self.env.ref("queue_job.view_queue_job_search").arch)
        (domain,) = arch.xpath(f"//filter[@name='{name}']/@domain")
        self.env.flush_all()
        return self.jobs.search(safe_eval(domain, {"uid": self.env.uid}))

    def test_failed_today(self):
        today = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        job = self.job(state="failed", date_started=self.now)
        self.job(state="failed", date_started=today - timedelta(days=1))
        self.job(state="done", date_started=self.now)
        self.assertEqual(self.found("failed_today"), job)

    def test_running_long(self):
        job = self.job(state="started", date_started=self.now - timedelta(minutes=11))
        self.job(state="started", date_started=self.now - timedelta(minutes=9))
        self.assertEqual(self.found("running_long"), job)

    def test_blocked_by_a_failed_job(self):
        partner = self.env["res.partner"]
        calls = [partner.delayable().create_company() for _number in range(4)]
        chain(*calls[:2]).delay()
        chain(*calls[2:]).delay()
        rows = [call._generated_job.db_record() for call in calls]
        rows[0].with_context(_job_edit_sentinel=rows[0].EDIT_SENTINEL).state = "failed"
        self.assertEqual(self.found("blocked"), rows[1].with_env(self.env))

    def test_paused_channel(self):
        sub = self.env["queue.job.channel"].create(
            {"name": "sub", "parent_id": self.root.id}
        )
        jobs = self.job("root.sub") | self.job("sub.below")
        other = self.job("root.subway")
        self.assertFalse(self.found("paused_channel"))
        sub.pause(self.now + timedelta(hours=1))
        self.assertEqual(self.found("paused_channel"), jobs)
        self.assertEqual(jobs.mapped("is_in_paused_channel"), [True, True])
        self.assertFalse(other.is_in_paused_channel)
        self.root.pause()
        self.assertEqual(self.found("paused_channel"), jobs | other)

    def test_run_now(self):
        later = self.job(eta=self.now + timedelta(hours=1))
        done = self.job(state="done", eta=self.now + timedelta(hours=1))
        manager = new_test_user(
            self.env,
            "runs_now",
            groups="base.group_user,queue_job.group_queue_job_manager",
        )
        (later | done).with_user(manager).button_run_now()
        self.assertFalse(later.eta)
        self.assertTrue(done.eta)
        self.assertIn(manager.partner_id, later.message_ids.author_id)
        user = new_test_user(
            self.env, "no", groups="base.group_user,queue_job.group_queue_job_user"
        )
        mine = self.job(eta=self.now, user_id=user.id)
        with self.assertRaises(AccessError):
            mine.with_user(user).button_run_now()

    def test_address_of_a_list_that_a_figure_opens_is_its_own(self):
        """With the path of the menu's action a reload showed all jobs."""
        self.assertEqual(self.env.ref("queue_job.action_queue_job").path, "queue-jobs")
        self.assertNotIn("path", self.jobs._action_list("x", []))
