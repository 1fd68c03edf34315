# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from .common import JobCase


@tagged("post_install", "-at_install")
class TestFailureMessages(JobCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company = cls.env.company
        cls.subtype = cls.env.ref("queue_job.mt_job_failed")

    def make_manager(self, login, **values):
        return self.make_user(
            login, "base.group_user,queue_job.group_queue_job_manager", **values
        )

    def failed(self, method=None, user=None):
        record = self.record.with_user(user) if user else self.record
        job = self.make_job(record.testing_method)
        job.set_failed(
            exc_name="ValueError", exc_message="the reason", exc_info="traceback"
        )
        job.store()
        self.env.flush_all()
        return self.row(job)

    def messages(self, row):
        return row.message_ids.filtered(
            lambda message: message.subtype_id == self.subtype
        )

    def test_one_message_for_each_failing_write(self):
        row = self.failed()
        self.assertEqual(len(self.messages(row)), 1)
        row.write({"state": "failed"})
        self.assertEqual(len(self.messages(row)), 2)

    def test_one_message_is_all_there_is(self):
        row = self.row(self.make_job())
        self.assertFalse(row.message_ids)
        row.write({"state": "failed"})
        self.assertEqual(row.state, "failed")
        self.assertEqual(len(row.message_ids), 1)

    def test_message_comes_before_the_state(self):
        states = []
        self.patch(
            type(self.job_model),
            "_message_post_on_failure",
            lambda records: states.append(records.state),
        )
        row = self.row(self.make_job())
        row.write({"state": "failed"})
        self.assertEqual((states, row.state), (["pending"], "failed"))

    def test_other_moves_post_nothing(self):
        row = self.row(self.make_job())
        row.write({"state": "done"})
        self.assertFalse(self.messages(row))

    def test_managers_and_the_creator_follow(self):
        manager, other = (
            self.make_manager("failure_manager"),
            self.make_user("failure_other"),
        )
        creator = self.make_user("failure_creator")
        row = self.failed(user=creator)
        followers = row.message_partner_ids
        self.assertIn(manager.partner_id, followers)
        self.assertIn(creator.partner_id, followers)
        self.assertNotIn(other.partner_id, followers)

    def test_creator_does_not_follow_when_the_hook_says_so(self):
        creator = self.make_user("failure_creator")
        self.patch(
            type(self.job_model), "_subscribe_job_creator", lambda records: False
        )
        self.assertNotIn(
            creator.partner_id, self.failed(user=creator).message_partner_ids
        )

    def test_inactive_managers_do_not_follow(self):
        manager = self.make_manager("failure_inactive")
        manager.active = False
        self.assertNotIn(manager.partner_id, self.failed().message_partner_ids)

    def test_managers_of_other_companies_do_not_follow(self):
        company = self.env["res.company"].create({"name": "other"})
        manager = self.make_manager(
            "failure_other_company",
            company_id=company.id,
            company_ids=[(6, 0, company.ids)],
        )
        self.assertNotIn(manager.partner_id, self.failed().message_partner_ids)

    def test_followers_are_exactly_these(self):
        company = self.env["res.company"].create({"name": "of the job"})
        group = self.env.ref("queue_job.group_queue_job_manager")
        managers = group.user_ids | self.make_manager(
            "failure_here", company_id=self.company.id
        )
        there = self.make_manager(
            "failure_there", company_id=company.id, company_ids=[(6, 0, company.ids)]
        )
        creator = self.make_user("failure_exactly")
        for context, expected in (
            ({"company_id": company.id}, there | creator),
            ({"company_id": None}, managers | there | creator),
        ):
            with self.subTest(context):
                record = self.record.with_user(creator).with_context(**context)
                row = self.row(record.with_delay().testing_method())
                self.assertEqual(row.company_id.id or None, context["company_id"])
                row._message_post_on_failure()
                active = expected.filtered("active")
                self.assertEqual(len(row.message_follower_ids), len(active))
                self.assertEqual(row.message_partner_ids, active.partner_id)

    def test_jobs_of_several_companies_fail_at_once(self):
        """Each is told to the managers of its own company."""
        company = self.env["res.company"].create({"name": "of another job"})
        here, there = (
            self.make_manager(
                f"failure_in_{owner.id}",
                company_id=owner.id,
                company_ids=[(6, 0, owner.ids)],
            ).partner_id
            for owner in (self.company, company)
        )
        mine, theirs = (
            self.row(self.record.with_company(owner).with_delay().testing_method())
            for owner in (self.company, company)
        )
        nobodys = self.row(self.record.with_delay().testing_method())
        nobodys.company_id = False
        (mine | theirs | nobodys).write({"state": "failed"})
        for row, expected in (
            (mine, here),
            (theirs, there),
            (nobodys, here | there),
        ):
            followers = row.message_partner_ids & (here | there)
            self.assertEqual(followers, expected)

    def test_implied_membership_counts(self):
        group = self.env["res.groups"].create(
            {
                "name": "implies the manager",
                "implied_ids": [
                    (4, self.env.ref("queue_job.group_queue_job_manager").id)
                ],
            }
        )
        user = self.make_user("failure_implied")
        user.write({"group_ids": [(4, group.id)]})
        self.assertIn(user.partner_id, self.failed().message_partner_ids)

    def test_domain_is_a_list_that_can_be_extended(self):
        domain = self.row(self.make_job())._subscribe_users_domain()
        self.assertIsInstance(domain, list)
        group = self.env.ref("queue_job.group_queue_job_manager")
        self.assertIn(
            ("all_group_ids", "in", [group.id]), [tuple(leaf) for leaf in domain]
        )
        self.assertIn(self.company.id, domain[-1][2])

    def test_domain_of_a_job_without_company(self):
        row = self.row(self.make_job())
        row.company_id = False
        self.assertEqual(len(row._subscribe_users_domain()), 1)

    def test_empty_message_is_not_posted(self):
        self.patch(type(self.job_model), "_message_failed_job", lambda record: None)
        self.assertFalse(self.messages(self.failed()))

    def test_failed_jobs_need_action(self):
        self.assertEqual(
            self.job_model._needaction_domain_get(), [("state", "=", "failed")]
        )
