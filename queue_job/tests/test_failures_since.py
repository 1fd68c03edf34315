# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Retry what failed since a moment, spread over time, or one job first."""

from datetime import datetime, timedelta
from unittest import mock

from odoo.tests import tagged

from ..exception import RetryableJobError
from ..job import Job
from .test_failures import FailuresCase


@tagged("post_install", "-at_install")
class TestFailuresSince(FailuresCase):
    def setUp(self):
        super().setUp()
        self.env["queue.job.deploy"].search([]).unlink()
        self.old = self.failed(2, age=50)
        self.new = self.failed(3, age=2)

    def deploys(self, *hours):
        now = datetime.now()
        self.env["queue.job.deploy"].create(
            [
                {"fingerprint": f"{age}", "date": now - timedelta(hours=age)}
                for age in hours
            ]
        )

    def wizard(self, **values):
        (group,) = self.groups.search([])
        action = group.action_requeue()
        return (
            self.env[action["res_model"]]
            .with_context(**action["context"])
            .create(values)
        )

    def states(self, jobs):
        self.env.invalidate_all()
        return set(jobs.mapped("state"))

    def test_since_the_deploy_nothing_older_is_touched(self):
        self.deploys(900, 24)
        wizard = self.wizard(scope="deploy")
        self.assertIn("create_company", wizard.error_text)
        self.assertEqual((wizard.jobs_count, wizard.moved_count), (3, 3))
        wizard.requeue()
        self.assertEqual(self.states(self.new), {"pending"})
        self.assertEqual(self.states(self.old), {"failed"})

    def test_one_release_is_no_deploy(self):
        self.deploys(900)
        scopes = dict(self.env["queue.requeue.job"]._scopes())
        self.assertEqual(set(scopes), {"all", "hour", "day"})

    def test_scopes(self):
        for scope, count in (("all", 5), ("day", 3), ("hour", 0)):
            with self.subTest(scope):
                self.assertEqual(self.wizard(scope=scope).moved_count, count)

    def test_what_never_ran_counts_by_its_own_date(self):
        self.old.write({"date_started": False, "date_enqueued": False})
        self.env.flush_all()
        self.assertEqual(self.wizard(scope="day").moved_count, 5)

    def test_spread_over_minutes(self):
        self.wizard(spread_minutes=10).requeue()
        self.env.invalidate_all()
        jobs = (self.old | self.new).sorted("id")
        now = datetime.now()
        waits = [
            round((job.eta - now).total_seconds() / 60) if job.eta else 0
            for job in jobs
        ]
        self.assertEqual(waits, [0, 2, 4, 6, 8])

    def test_new_since_the_last_deploy(self):
        self.failed(1, error="KeyError", age=1)
        self.deploys(900, 24)
        self.env.invalidate_all()
        new = {group.exc_name: group.is_new for group in self.groups.search([])}
        self.assertEqual(new, {"ValueError": False, "KeyError": True})

    def test_figures_open_their_jobs(self):
        (group,) = self.groups.search([])
        domain = group.action_open_jobs_since(24)["domain"]
        self.assertEqual(self.env["queue.job"].search(domain, order="id"), self.new)

    def test_deploy_is_recorded_once_for_each_set_of_versions(self):
        deploys = self.env["queue.job.deploy"]
        deploys._register_hook()
        deploys._register_hook()
        self.assertEqual(len(deploys.search([])), 1)
        self.assertFalse(deploys._last_deploy())
        with mock.patch.object(type(deploys), "_version", lambda _self, _name: "2"):
            deploys._register_hook()
        self.assertEqual(len(deploys.search([])), 2)
        self.assertTrue(deploys._last_deploy())


@tagged("post_install", "-at_install")
class TestTryOneFirst(FailuresCase):
    def setUp(self):
        super().setUp()
        self.mine = self.failed(15)
        (group,) = self.groups.search([])
        action = group.action_requeue()
        wizards = self.env[action["res_model"]].with_context(**action["context"])
        wizards.create({}).try_one()

    def count(self, state):
        self.env.invalidate_all()
        return len(self.mine.filtered(lambda job: job.state == state))

    def step(self):
        """Perform the job that waits for the jobs that were tried."""
        controller = self.env["queue.job"].search(
            [("method_name", "=", "_go_on_requeuing"), ("state", "=", "pending")]
        )
        self.assertEqual(len(controller), 1)
        job = Job.load(self.env, controller.uuid)
        result = job.perform()
        job.set_done(result)
        job.store()
        return result

    def finish(self, state="done"):
        jobs = self.mine.filtered(lambda job: job.state == "pending")
        editor = jobs.with_context(_job_edit_sentinel=jobs.EDIT_SENTINEL)
        editor.write({"state": state})

    def test_one_then_ten_then_all(self):
        self.assertEqual((self.count("pending"), self.count("failed")), (1, 14))
        with self.assertRaises(RetryableJobError) as caught:
            self.step()
        self.assertTrue(caught.exception.ignore_retry)
        self.finish()
        self.step()
        self.assertEqual((self.count("pending"), self.count("failed")), (10, 4))
        self.finish()
        self.step()
        self.assertEqual((self.count("pending"), self.count("failed")), (4, 0))
        waiting = self.env["queue.job"].search(
            [("method_name", "=", "_go_on_requeuing"), ("state", "=", "pending")]
        )
        self.assertFalse(waiting)

    def test_nothing_else_is_touched_when_it_fails(self):
        self.finish("failed")
        self.assertIn("14", self.step())
        self.assertEqual(self.count("failed"), 15)
