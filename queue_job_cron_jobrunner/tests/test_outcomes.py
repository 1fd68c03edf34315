# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Jobs of a business model, performed in the transaction of a test.

With ``commit=False``, as suites of addons that depend on this one do it.
"""

from datetime import timedelta
from unittest import mock

import psycopg2
from freezegun import freeze_time

from odoo import fields
from odoo.tests import new_test_user
from odoo.tools import mute_logger

from odoo.addons.queue_job.job import Job

from .test_job_runner import CronRunnerCase

LOGGER = "odoo.addons.queue_job_cron_jobrunner.models.queue_job"


class OutcomeCase(CronRunnerCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.partners = cls.env["res.partner"]

    def delay_create(self, values=None, **properties):
        """Delay the creation of a partner, and return the row of the job."""
        values = {"name": "by a job"} if values is None else values
        return self.partners.with_delay(**properties).create(values).db_record()


class TestOutcomes(OutcomeCase):
    def test_done_failed_and_not_yet(self):
        good = self.delay_create()
        bad = self.delay_create(False)
        later = self.delay_create(eta=fields.Datetime.now() + timedelta(hours=1))
        with self.assertLogs(LOGGER, "ERROR"):
            self.run_jobs()
        self.assertEqual(
            (good.state, bad.state, later.state), ("done", "failed", "pending")
        )
        self.assertTrue(self.partners.search([("name", "=", "by a job")]))

    def test_traceback_is_in_the_log_of_this_addon(self):
        job = self.delay_create(False)
        with (
            self.assertLogs(LOGGER, "ERROR") as logs,
            self.assertNoLogs("odoo.addons.queue_job.controllers.main", "ERROR"),
        ):
            self.run_jobs()
        self.assertEqual(len(logs.records), 1)
        self.assertTrue(logs.records[0].getMessage().startswith("Traceback"))
        self.assertIn(job.exc_info.strip(), logs.records[0].getMessage())

    def test_dates(self):
        """Nobody enqueues here: the regular runner finds nothing to requeue."""
        done, failed = self.delay_create(), self.delay_create(False)
        with self.assertLogs(LOGGER, "ERROR"):
            self.run_jobs()
        for job in done, failed:
            self.assertTrue(job.date_started)
            self.assertFalse(job.date_enqueued)
        self.assertTrue(done.date_done)

    def test_dependents_are_done_in_the_same_pass(self):
        with freeze_time("2023-03-03 03:03:03"):
            parent = self.partners.delayable().create({"name": "parent"})
            child = self.partners.delayable().create({"name": "child"})
            parent.on_done(child)
            parent.delay()
            rows = [each._generated_job.db_record() for each in (parent, child)]
            self.run_jobs()
        self.assertEqual([row.state for row in rows], ["done", "done"])

    def conflict(self, pgcode):
        error = type("Conflict", (psycopg2.OperationalError,), {"pgcode": pgcode})
        return mock.patch.object(Job, "perform", side_effect=error("too slow"))

    def test_conflict_postpones_by_five_seconds(self):
        for pgcode in ("40001", "40P01", "55P03"):
            job = self.delay_create()
            with self.subTest(pgcode), self.conflict(pgcode) as perform:
                self.run_jobs()
                perform.assert_called_once_with()
                self.assertEqual((job.state, job.result), ("pending", "too slow"))
                wait = (job.eta - fields.Datetime.now()).total_seconds()
                self.assertAlmostEqual(wait, 5, delta=4)
            job.button_cancelled()

    def test_other_database_errors_fail(self):
        job = self.delay_create()
        with self.conflict("57014"), self.assertLogs(LOGGER, "ERROR"):
            self.run_jobs()
        self.assertEqual((job.state, job.exc_message), ("failed", "too slow"))


class TestWorker(OutcomeCase):
    """What a job may do to its worker."""

    def run_named(self, method, user=None):
        """Perform a job whose method is replaced by ``method``; return its row."""
        records = self.partners.with_user(user) if user else self.partners
        job = records.with_delay().name_create("x").db_record()
        with mock.patch.object(type(self.partners), "name_create", method):
            self.run_jobs()
        return job

    def test_b02_environment_of_the_job_stands_behind_the_transaction(self):
        def method(records, name):
            seen.append(records.env.transaction.default_env.uid)

        seen = []
        user = new_test_user(self.env, login="of_the_job")
        before = self.env.transaction.default_env
        self.assertEqual(self.run_named(method, user).state, "done")
        self.assertEqual(seen, [user.id])
        self.assertIs(self.env.transaction.default_env, before)

    def test_a08_job_that_exits_fails(self):
        def method(records, name):
            raise SystemExit(3)

        with self.assertLogs(LOGGER, "ERROR"):
            job = self.run_named(method)
        self.assertEqual(
            (job.state, job.exc_name, job.exc_message), ("failed", "SystemExit", "3")
        )


class TestObjections(OutcomeCase):
    """Who objects to the start of a job lets that job fail, and stops no other."""

    def object_to(self, row):
        job_class = type(self.jobs)
        write = job_class.write

        def refuse(records, vals):
            if vals.get("state") == "started" and row in records:
                raise ValueError("not this one")
            return write(records, vals)

        refuse.__module__ = "odoo.addons.somebody_else.models.queue_job"
        self.patch(job_class, "write", refuse)

    @mute_logger("odoo.addons.queue_job.controllers.main")
    def test_override_of_write(self):
        refused, other = self.delay_create(priority=1), self.delay_create()
        self.object_to(refused)
        self.run_jobs()
        self.assertEqual((refused.state, refused.retry), ("pending", 1))
        self.assertIn("cannot be started: ValueError: not this one", refused.result)
        self.assertEqual(other.state, "done")

    @mute_logger("odoo.addons.queue_job.controllers.main", LOGGER)
    def test_limit(self):
        refused = self.delay_create(max_retries=1)
        self.object_to(refused)
        self.run_jobs()
        self.assertEqual((refused.state, refused.retry), ("failed", 1))
        self.assertIn("not this one", refused.exc_message)


class TestAcquire(OutcomeCase):
    def test_priority_then_age(self):
        with freeze_time("2023-03-03 03:01:00"):
            self.delay_create(priority=9)
        with freeze_time("2023-03-03 03:03:00"):
            young = self.delay_create(priority=2)
        with freeze_time("2023-03-03 03:02:00"):
            old = self.delay_create(priority=2)
        with freeze_time("2023-03-03 03:04:00"):
            self.delay_create(priority=5)
        self.assertEqual(self.jobs._acquire_one_job(), old)
        old.button_cancelled()
        self.assertEqual(self.jobs._acquire_one_job(), young)

    def test_unwritten_changes_count(self):
        self.delay_create(priority=5)
        job = self.delay_create(priority=9)
        job.priority = 1
        self.assertEqual(self.jobs._acquire_one_job(), job)

    def test_companies_and_users_do_not_count(self):
        company = self.env["res.company"].create({"name": "other"})
        user = new_test_user(
            self.env,
            "of_another_company",
            company_id=company.id,
            company_ids=[(6, 0, company.ids)],
        )
        job = self.partners.with_user(user).with_delay().search_count([]).db_record()
        self.assertEqual(job.company_id, company)
        self.assertEqual(self.jobs._acquire_one_job(), job)


class TestTriggers(OutcomeCase):
    def calls(self):
        return sorted(self.triggers().mapped("call_at"))

    @freeze_time("2023-03-03 03:03:03")
    def test_moments(self):
        now = fields.Datetime.now()
        one, two = now + timedelta(hours=1), now + timedelta(hours=2)
        for at, expected in ((None, [now]), (one, [one]), ([one, two], [one, two])):
            self.triggers().unlink()
            self.jobs._cron_trigger(at=at)
            with self.subTest(at=at):
                self.assertEqual(self.calls(), expected)

    @freeze_time("2023-03-03 03:03:03")
    def test_pending_jobs_among_many(self):
        now = fields.Datetime.now()
        past, later = now - timedelta(days=1), now + timedelta(days=1)
        jobs = self.delay_create() | self.delay_create(eta=past)
        jobs |= self.delay_create(eta=later) | self.delay_create(eta=later)
        jobs[0].state = "done"
        self.triggers().unlink()
        jobs._ensure_cron_trigger()
        self.assertEqual(self.calls(), [past, later])
        self.triggers().unlink()
        (jobs[:1] | self.delay_create())._ensure_cron_trigger()
        self.assertEqual(set(self.calls()), {now})

    @freeze_time("2023-03-03 03:03:03")
    def test_state_and_eta_trigger_and_nothing_else(self):
        job = self.delay_create()
        later = fields.Datetime.now() + timedelta(hours=1)
        for vals, expected in (
            ({"priority": 3}, []),
            ({"state": "pending"}, [fields.Datetime.now()]),
            ({"state": "done"}, []),
            ({"eta": later}, []),
            ({"state": "pending"}, [later]),
            ({"eta": later + timedelta(hours=1)}, [later + timedelta(hours=1)]),
        ):
            self.triggers().unlink()
            job.write(vals)
            with self.subTest(vals=vals):
                self.assertEqual(self.calls(), expected)

    def test_person_without_rights_on_crons_triggers_them(self):
        user = new_test_user(self.env, "delays_only", "base.group_user")
        self.jobs.with_user(user)._cron_trigger()
        self.assertTrue(self.triggers())
        self.triggers().unlink()
        self.partners.with_user(user).with_delay().search_count([])
        self.assertTrue(self.triggers())
