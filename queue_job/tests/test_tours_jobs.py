# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The flows of an administrator, in a browser."""

from datetime import datetime

from odoo.tests import tagged

from ..store import attempts
from .browser_case import BrowserCase

JOBS = "/odoo/action-queue_job.action_queue_job"


@tagged("post_install", "-at_install")
class TestToursJobs(BrowserCase):
    def setUp(self):
        super().setUp()
        self.env.cr.execute("DELETE FROM queue_job")
        self.waiting = self.job("tour waits", "pending")
        self.failed = self.env["queue.job"]
        for _number in range(3):
            self.failed |= self.job(
                "tour failed",
                "failed",
                exc_name="builtins.ValueError",
                exc_message="It broke",
                exc_info="Traceback (most recent call last):\nValueError: It broke",
                date_started=datetime.now(),
            )
        for job in self.failed:
            error = {"exc_message": "no answer", "exc_info": "first traceback"}
            attempts.keep(job, "postponed", 1, error)
            attempts.keep(job, "failed", 2, {"exc_message": "It broke"})
        self.done = self.job("tour done", "done", date_done=datetime.now())
        self.env.flush_all()

    def job(self, description, state, **values):
        delayed = (
            self.env["res.partner"].with_delay(description=description).create_company()
        )
        job = delayed.db_record()
        job.with_context(tracking_disable=True).write({"state": state, **values})
        return job

    def states(self):
        self.env.invalidate_all()
        return self.failed.mapped("state") + (self.waiting + self.done).mapped("state")

    def test_open_filter_and_requeue_one(self):
        self.start_tour(JOBS, "queue_job_open_and_filter", login="admin")
        self.assertEqual(sorted(self.states())[:3], ["done", "failed", "failed"])

    def test_requeue_a_selection(self):
        self.start_tour(JOBS, "queue_job_requeue_selection", login="admin")
        self.assertEqual(self.states(), ["pending"] * 4 + ["done"])

    def test_cancel_a_selection(self):
        self.start_tour(JOBS, "queue_job_cancel_selection", login="admin")
        self.assertEqual(self.states(), ["cancelled"] * 4 + ["done"])

    def test_stop_a_job_that_runs(self):
        job = self.job("tour runs", "started", date_started=datetime.now())
        self.env.flush_all()
        self.start_tour(JOBS, "queue_job_stop", login="admin")
        self.env.invalidate_all()
        self.assertEqual(job.state, "cancelled")
        self.assertTrue(job.date_stopped)

    def test_set_a_selection_to_done(self):
        self.start_tour(JOBS, "queue_job_set_done_selection", login="admin")
        self.assertEqual(self.states(), ["done"] * 5)

    def test_failures(self):
        self.start_tour("/odoo/job-failures", "queue_job_failures", login="admin")
        self.assertEqual(self.states(), ["cancelled"] * 3 + ["pending", "done"])

    def test_kanban(self):
        self.start_tour(JOBS, "queue_job_kanban", login="admin")
