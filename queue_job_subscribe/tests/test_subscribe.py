# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import Form, new_test_user, tagged

from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.tests.committed_case import DelayCase

MANAGER = "queue_job.group_queue_job_manager,base.group_user"


@tagged("post_install", "-at_install")
class TestSubscribe(DelayCase):
    """Managers choose whether they follow failed jobs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keen = new_test_user(cls.env, "keen", MANAGER)
        cls.quiet = new_test_user(cls.env, "quiet", MANAGER, subscribe_job=False)
        cls.partner = cls.env["res.partner"].create({"name": "One"})

    def failed_job(self, user=None):
        records = self.partner.with_user(user) if user else self.partner
        job = Job.load(self.env, records.with_delay().write({"ref": "x"}).uuid)
        job.set_failed(exc_info="traceback", exc_name="Error", exc_message="broken")
        job.store()
        return job.db_record()

    def followers(self, job):
        return job.message_partner_ids.user_ids

    def test_domain_has_the_choice_last(self):
        domain = self.env["queue.job"]._subscribe_users_domain()
        self.assertEqual(domain[-1], ("subscribe_job", "=", True))

    def test_failure_is_followed_by_choice(self):
        followers = self.followers(self.failed_job())
        self.assertIn(self.keen, followers)
        self.assertNotIn(self.quiet, followers)

    def test_user_of_the_job_follows_it_always(self):
        self.assertIn(self.quiet, self.followers(self.failed_job(self.quiet)))

    def test_choice_that_is_made_later_counts_for_later_failures(self):
        self.quiet.subscribe_job = True
        self.assertIn(self.quiet, self.followers(self.failed_job()))

    def test_users_of_before_the_installation_are_notified(self):
        """The column is new: Odoo fills it with the default."""
        field = self.env["res.users"]._fields["subscribe_job"]
        self.env.cr.execute("UPDATE res_users SET subscribe_job = NULL")
        self.env["res.users"]._init_column(field.name)
        self.env.invalidate_all()
        users = self.env["res.users"].with_context(active_test=False).search([])
        self.assertTrue(all(users.mapped("subscribe_job")))

    def test_form_offers_the_choice(self):
        with Form(self.keen, view="base.view_users_form") as form:
            self.assertTrue(form.subscribe_job)
            form.subscribe_job = False
        self.assertFalse(self.keen.subscribe_job)
        arch = self.env["res.users"].get_view(
            self.env.ref("base.view_users_form").id, "form"
        )["arch"]
        self.assertIn('name="connector"', arch)
        view = self.env.ref("queue_job_subscribe.view_user_connector_form")
        self.assertEqual(view.inherit_id, self.env.ref("base.view_users_form"))

    def test_rows_are_found_by_an_index(self):
        self.env.cr.execute(
            "SELECT 1 FROM pg_indexes WHERE tablename = 'res_users' "
            "AND indexdef LIKE '%%(subscribe_job)%%'"
        )
        self.assertTrue(self.env.cr.fetchone())
