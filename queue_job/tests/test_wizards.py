# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import Form, TransactionCase, tagged

CLOSE = {"type": "ir.actions.act_window_close"}


@tagged("post_install", "-at_install")
class TestWizards(TransactionCase):
    def setUp(self):
        super().setUp()
        partner = self.env["res.partner"]
        self.jobs = self.env["queue.job"]
        for number in range(2):
            job = partner.with_delay(description=f"job {number}").create_company()
            self.jobs |= job.db_record().with_env(self.env)

    def open(self, model):
        context = {"active_model": "queue.job", "active_ids": self.jobs.ids}
        return self.env[model].with_context(**context).create({})

    def test_default_is_the_selection(self):
        for model in (
            "queue.requeue.job",
            "queue.jobs.to.done",
            "queue.jobs.to.cancelled",
        ):
            self.assertEqual(self.open(model).job_ids, self.jobs)

    def test_no_default_from_another_model(self):
        context = {"active_model": "res.partner", "active_ids": self.jobs.ids}
        wizard = self.env["queue.requeue.job"].with_context(**context).create({})
        self.assertFalse(wizard.job_ids)

    def test_requeue(self):
        self.jobs.write({"state": "failed"})
        self.assertEqual(self.open("queue.requeue.job").requeue(), CLOSE)
        self.assertEqual(self.jobs.mapped("state"), ["pending"] * 2)

    def test_set_done(self):
        self.assertEqual(self.open("queue.jobs.to.done").set_done(), CLOSE)
        self.assertEqual(self.jobs.mapped("state"), ["done"] * 2)
        self.assertIn(self.env.user.name, self.jobs[0].result)

    def test_set_cancelled(self):
        self.assertEqual(self.open("queue.jobs.to.cancelled").set_cancelled(), CLOSE)
        self.assertEqual(self.jobs.mapped("state"), ["cancelled"] * 2)

    def test_jobs_that_may_not_move_stay(self):
        self.jobs[0].state = "started"
        self.open("queue.jobs.to.cancelled").set_cancelled()
        self.open("queue.requeue.job").requeue()
        self.assertEqual(self.jobs.mapped("state"), ["started", "pending"])

    def test_offered_in_the_action_menu(self):
        bindings = self.env["ir.actions.actions"].get_bindings("queue.job")["action"]
        names = {binding["name"] for binding in bindings}
        self.assertLessEqual({"Requeue Jobs", "Set jobs to done", "Cancel jobs"}, names)

    def test_forms(self):
        for xmlid in (
            "view_requeue_job",
            "view_set_jobs_done",
            "view_set_jobs_cancelled",
        ):
            view = self.env.ref(f"queue_job.{xmlid}")
            with Form(self.env[view.model], view=view) as form:
                self.assertEqual(len(form.job_ids), 0)
