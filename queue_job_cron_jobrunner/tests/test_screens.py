# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the screens of the job queue tell where cron workers perform the jobs."""

from datetime import datetime, timedelta
from unittest import mock

from odoo.tests import tagged

from odoo.addons.queue_job.jobrunner.connection import PG_ADVISORY_LOCK_ID
from odoo.addons.queue_job.tests.situation_case import SituationCase

CONFIGURED = "odoo.addons.queue_job.channels.settings.fixed_settings"


@tagged("post_install", "-at_install")
class TestScreens(SituationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.crons = cls.env["ir.cron"]
        # As the servers of these tests are configured.
        cls.startClassPatcher(
            mock.patch(CONFIGURED, return_value={"root": {"capacity": 0}})
        )

    def archive(self):
        self.crons._runner_crons().active = False

    def overdue(self, minutes):
        cron = self.crons._runner_crons()[:1]
        at = datetime.now() - timedelta(minutes=minutes)
        self.env["ir.cron.trigger"].create({"cron_id": cron.id, "call_at": at})
        self.env.flush_all()

    def instead(self):
        return self.env["queue.job.overview"]._runner()["instead"]

    # Why a job is not running -----------------------------------------------

    def test_next_in_line_without_a_word_about_the_server(self):
        explanation = self.explain(self.job())
        self.assertEqual((explanation["kind"], explanation["level"]), ("next", "info"))

    def test_long_next_in_line_speaks_of_cron_workers(self):
        job = self.job(date_created=datetime.now() - timedelta(minutes=10))
        explanation = self.explain(job)
        self.assertEqual(explanation["level"], "warning")
        self.assertIn("no cron worker has taken it for 10 minutes", explanation["text"])
        self.assertNotIn("None", explanation["text"])

    def test_archived_crons(self):
        job = self.job()
        self.archive()
        explanation = self.explain(job)
        self.assertEqual(explanation["kind"], "no_runner")
        self.assertIn("archived", explanation["text"])
        self.assertNotIn("server_wide_modules", explanation["text"])

    def test_regular_runner_is_named_when_it_is_alive(self):
        job = self.job(date_created=datetime.now() - timedelta(minutes=10))
        with self.registry.cursor() as cr:
            cr.execute("SET application_name = 'queue_job runner node-7:42'")
            cr.execute("SELECT pg_advisory_xact_lock(%s)", [PG_ADVISORY_LOCK_ID])
            explanation = self.explain(job)
            cr.execute("RESET application_name")
        # root:0 in the configuration of this server: no limit.
        self.assertIn("node-7:42", explanation["text"])

    def test_full_counts_one_slot_for_each_cron(self):
        job = self.job()
        self.job(state="started")
        explanation = self.explain(job)
        self.assertEqual(explanation["kind"], "full")
        self.assertIn("The only slot", explanation["text"])
        self.crons._set_runner_count(2)
        self.assertEqual(self.explain(job)["kind"], "next")

    def test_capacity_that_is_stated_wins(self):
        self.root.capacity = 3
        self.crons._set_runner_count(2)
        with mock.patch(CONFIGURED, return_value={"root": {"capacity": 5}}):
            self.assertEqual(self.root.running_text, "0 / 5")
        self.env.invalidate_all()
        self.assertEqual(self.root.running_text, "0 / 3")

    # Channels and overview --------------------------------------------------

    def test_root_0_fixes_no_capacity(self):
        self.crons._set_runner_count(2)
        self.assertFalse(self.root.has_fixed_capacity)
        self.assertFalse(self.root.configuration_note)
        self.assertEqual(self.root.running_text, "0 / 2")
        self.assertEqual(self.root.default_capacity, 2)

    def test_root_0_is_told_when_no_cron_runs_jobs(self):
        self.archive()
        self.assertTrue(self.root.has_fixed_capacity)
        self.assertEqual(self.root.default_capacity, 1)

    def test_overview_says_who_runs_the_jobs(self):
        instead = self.instead()
        self.assertEqual(instead["level"], "info")
        self.assertIn("Scheduled actions run the jobs", instead["text"])
        self.assertFalse(self.env["queue.job.overview"]._runner()["checks"])

    def test_overview_warns_when_no_cron_worker_comes(self):
        self.overdue(1)
        self.assertEqual(self.instead()["level"], "info")
        self.overdue(10)
        instead = self.instead()
        self.assertEqual(instead["level"], "warning")
        self.assertIn("for 10 minutes", instead["text"])

    def test_overview_does_not_warn_while_a_long_job_runs(self):
        self.overdue(10)
        self.job(state="started")
        self.env.flush_all()
        self.assertEqual(self.instead()["level"], "info")

    def test_overview_with_archived_crons_tells_what_to_check(self):
        self.archive()
        runner = self.env["queue.job.overview"]._runner()
        self.assertFalse(runner["instead"])
        self.assertEqual(runner["checks"][0]["key"], "runner_crons")
        self.assertFalse(runner["checks"][0]["is_right"])
