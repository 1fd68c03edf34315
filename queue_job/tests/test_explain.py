# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Why a job is not running: one case for each thing that can hold it."""

from datetime import datetime, timedelta
from unittest import mock

from odoo.tests import TransactionCase, new_test_user, tagged

from odoo.addons.queue_job.delay import chain, group
from odoo.addons.queue_job.graph import Joint
from odoo.addons.queue_job.jobrunner.connection import PG_ADVISORY_LOCK_ID
from odoo.addons.queue_job.models import queue_job_situation
from odoo.addons.queue_job.models.queue_job_situation import Situation


class ExplainCase(TransactionCase):
    """A queue with a runner, without configuration, and without other jobs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.jobs = cls.env["queue.job"]
        cls.env.cr.execute("DELETE FROM queue_job")
        cls.env.cr.execute(
            "UPDATE ir_module_module SET state = 'installed' WHERE state LIKE 'to %'"
        )
        cls.runner = ("node:12", datetime.now())
        cls.startClassPatcher(
            mock.patch.object(
                Situation, "_runner", property(lambda situation: cls.runner)
            )
        )
        cls.configuration = {}
        cls.startClassPatcher(
            mock.patch.object(
                type(cls.env["queue.job.channel"]),
                "_settings_of_configuration",
                lambda channels: cls.configuration,
            )
        )
        cls.root = cls.env.ref("queue_job.channel_root")
        cls.root.capacity = 4
        cls.sub = cls.env["queue.job.channel"].create(
            {"name": "sub", "parent_id": cls.root.id}
        )

    def job(self, channel="root", description="job", **values):
        delayed = self.env["res.partner"].with_delay(
            channel=channel, description=description
        )
        row = delayed.create_company().db_record().with_env(self.env)
        if values:
            row.with_context(_job_edit_sentinel=row.EDIT_SENTINEL).write(values)
        return row

    def explain(self, job):
        self.env.flush_all()
        self.env.invalidate_all()
        return job.explanation

    def assert_explained(self, job, kind, *parts):
        explanation = self.explain(job)
        self.assertEqual(explanation["kind"], kind, explanation["text"])
        for part in parts:
            self.assertIn(part, explanation["text"])
        return explanation


@tagged("post_install", "-at_install")
class TestExplainPending(ExplainCase):
    def test_next(self):
        self.assert_explained(self.job(), "next", "Next in line")

    def test_next_for_long_names_the_runner(self):
        job = self.job(date_created=datetime.now() - timedelta(hours=1))
        self.assert_explained(job, "next", "node:12")

    def test_line(self):
        first = self.job()
        self.job(priority=1)
        second = self.job()
        self.job(priority=99)
        self.job(eta=datetime.now() + timedelta(hours=1), priority=1)
        self.assert_explained(first, "line", "One job comes before it")
        self.assert_explained(second, "line", "2 jobs come before it")

    def test_line_in_a_list(self):
        """A row tells that others come before it, and only the first one is next."""
        jobs = self.jobs.union(*(self.job() for _number in range(3)))
        due = self.job("root.sub", eta=datetime.now() - timedelta(hours=1), priority=1)
        alone = self.job("root.other")
        self.env.flush_all()
        self.env.invalidate_all()
        kinds = [job.explanation["kind"] for job in jobs | due | alone]
        self.assertEqual(kinds, ["line"] * 3 + ["next"] * 2)
        self.assertEqual(jobs[1].reason, "Other jobs come before it.")
        due.state = "done"
        self.env.flush_all()
        self.env.invalidate_all()
        kinds = [job.explanation["kind"] for job in jobs | alone]
        self.assertEqual(kinds, ["next", "line", "line", "next"])

    def test_line_has_jobs_that_became_due(self):
        self.job(eta=datetime.now() - timedelta(hours=1), priority=1)
        self.assert_explained(self.job(), "line", "One job")

    def test_line_of_many_is_bounded(self):
        self.job()
        last = self.job(priority=99)
        with mock.patch.object(Situation, "COUNT_LIMIT", 0):
            self.assert_explained(last, "line", "More than 0 jobs")

    def test_eta(self):
        job = self.job(eta=datetime.now() + timedelta(minutes=5))
        self.assert_explained(job, "eta", "Not before", "in 5 minutes")

    def test_eta_of_a_retry(self):
        job = self.job(eta=datetime.now() + timedelta(hours=2), retry=1)
        self.assert_explained(job, "eta", "tried again", "in 2 hours")

    def test_no_runner(self):
        job = self.job()
        with mock.patch.object(Situation, "_runner", None):
            self.assert_explained(job, "no_runner", "server_wide_modules")

    def test_modules(self):
        job = self.job()
        self.env.cr.execute(
            "UPDATE ir_module_module SET state = 'to upgrade' WHERE name = 'mail'"
        )
        self.assert_explained(job, "modules", "upgraded")

    def test_paused_channel_and_paused_parent(self):
        job = self.job("root.sub")
        self.sub.paused = True
        self.assert_explained(job, "paused", "root.sub")
        self.root.paused = True
        self.assert_explained(job, "paused", "root is paused")

    def test_paused_by_the_configuration(self):
        with mock.patch.object(
            type(self), "configuration", {"root.sub": {"paused": True}}
        ):
            self.assert_explained(self.job("sub"), "paused", "root.sub")

    def test_full_channel_names_who_holds_the_slots(self):
        self.sub.capacity = 2
        holders = [
            self.job("root.sub", f"holder {i}", state="started") for i in range(2)
        ]
        self.job("root.sub", priority=1)
        job = self.job("root.sub")
        explanation = self.assert_explained(
            job,
            "full",
            "All 2 slots of the channel root.sub",
            "One job comes before",
            "holder 0",
        )
        self.assertEqual(
            [named["id"] for named in explanation["jobs"]], [h.id for h in holders]
        )
        self.assert_explained(self.job("root.other"), "next")

    def test_full_root_holds_sub_channels(self):
        self.root.capacity = 1
        self.job("root.elsewhere", "the only one", state="enqueued")
        self.job("root.elsewhere", priority=1)
        self.assert_explained(
            self.job("root.sub"),
            "full",
            "The only slot of the channel root is taken. One job comes before",
            "the only one",
        )

    def test_many_holders_are_counted(self):
        for number in range(5):
            self.job(description=f"holder {number}", state="started")
        explanation = self.assert_explained(self.job(), "full", "and 2 more")
        self.assertEqual(explanation["more"], 2)

    def test_unlimited_sub_channel_is_never_full(self):
        self.sub.capacity = 0
        for _number in range(3):
            self.job("root.sub", state="started")
        self.assert_explained(self.job("root.sub"), "next")

    def test_capacity_of_the_configuration_wins(self):
        self.sub.capacity = 5
        self.job("root.sub", state="started")
        with mock.patch.object(
            type(self), "configuration", {"root.sub": {"capacity": 1}}
        ):
            self.assert_explained(self.job("root.sub"), "full", "root.sub")

    def test_channel_without_record_or_prefix(self):
        self.root.capacity = 1
        self.job("unknown", state="started")
        self.assert_explained(self.job("unknown"), "full", "channel root")

    def test_failed_job_of_a_sequential_channel(self):
        self.sub.write({"capacity": 1, "sequential": True})
        self.job("root.sub", "the culprit", state="failed")
        self.assert_explained(
            self.job("root.sub"), "sequential", "root.sub", "the culprit"
        )
        self.assert_explained(self.job("root.sub.deeper"), "sequential", "the culprit")
        self.assert_explained(self.job("root", priority=0), "next")

    def test_failed_job_elsewhere_does_not_hold(self):
        self.job("root.sub", state="failed")
        self.assert_explained(self.job("root.sub"), "next")

    def test_sequential_channel_does_not_overtake_a_retry(self):
        self.sub.write({"capacity": 1, "sequential": True})
        self.job("root.sub", "again later", eta=datetime.now() + timedelta(hours=1))
        self.assert_explained(self.job("root.sub"), "sequential_eta", "again later")

    def test_throttle(self):
        self.sub.throttle = 600
        job = self.job("root.sub")
        self.assert_explained(job, "next")
        ended = datetime.now() - timedelta(minutes=1)
        self.job("root.sub", state="done", date_started=ended, date_done=ended)
        self.assert_explained(job, "throttled", "root.sub", "10 minutes", "9 minutes")

    def test_names_only_what_the_reader_may_see(self):
        other = self.env["res.company"].create({"name": "other"})
        self.root.capacity = 1
        self.job(description="secret", state="started", company_id=other.id)
        user = new_test_user(
            self.env, "manager_of_one", "queue_job.group_queue_job_manager"
        )
        explanation = self.explain(self.job().with_user(user))
        self.assertEqual((explanation["kind"], explanation["jobs"]), ("full", []))
        self.assertNotIn("secret", explanation["text"])

    def test_a_page_of_jobs_costs_a_handful_of_queries(self):
        jobs = self.jobs.union(*(self.job() for _number in range(40)))
        self.env.flush_all()
        self.env.invalidate_all()
        jobs.mapped("state")
        self.env["queue.job.channel"].search([]).mapped("capacity")
        with self.assertQueryCount(8):
            jobs.mapped("explanation")


@tagged("post_install", "-at_install")
class TestExplainOtherStates(ExplainCase):
    def graph(self):
        partner = self.env["res.partner"]
        first = partner.delayable(description="first").create_company()
        second = partner.delayable(description="second").create_company()
        last = partner.delayable(description="last").create_company()
        chain(group(first, second), last).delay()
        return [
            delayable._generated_job.db_record().with_env(self.env)
            for delayable in (first, second, last)
        ]

    def test_dependencies(self):
        first, second, last = self.graph()
        self.assert_explained(last, "dependencies", "first, second")
        first.state = "done"
        explanation = self.assert_explained(last, "dependencies", "second")
        self.assertEqual([job["id"] for job in explanation["jobs"]], second.ids)

    def test_job_beside_those_that_wait_for_many(self):
        """In a list all are explained together."""
        self.patch(Joint, "WORTH", 0)
        partner = self.env["res.partner"]
        waiting = self.jobs
        for name in "abc":
            first, second, last, other = (
                partner.delayable(description=f"{name}{number}").create_company()
                for number in range(4)
            )
            chain(group(first, second), group(last, other)).delay()
            waiting |= last._generated_job.db_record().with_env(self.env)
        self.env.flush_all()
        self.env.invalidate_all()
        with mock.patch.object(queue_job_situation, "BLOCKING_LIMIT", 3):
            texts = [job.explanation["text"] for job in waiting]
        for name, text in zip("abc", texts, strict=True):
            self.assertIn(f"{name}0", text)

    def test_failed_dependency(self):
        _first, second, last = self.graph()
        second.state = "failed"
        explanation = self.assert_explained(
            last, "dependency_failed", "requeued", "second"
        )
        self.assertEqual(explanation["level"], "danger")
        self.assertNotIn("first", explanation["text"])

    def test_enqueued(self):
        job = self.job(state="enqueued", date_enqueued=datetime.now())
        self.assert_explained(job, "sent", "just now")
        job.date_enqueued = datetime.now() - timedelta(minutes=3)
        self.assert_explained(job, "sent", "3 minutes ago", "busy")

    def test_started(self):
        job = self.job(
            state="started",
            worker_pid=77,
            date_started=datetime.now() - timedelta(minutes=3),
        )
        self.assert_explained(job, "running", "3 minutes", "77")

    def test_ended(self):
        for state in ("done", "cancelled", "failed"):
            self.assertFalse(self.explain(self.job(state=state)))

    def test_reason(self):
        failed = self.job(
            state="failed",
            exc_name="builtins.ValueError",
            exc_message="It broke\nbadly",
        )
        waiting = self.job(eta=datetime.now() + timedelta(hours=1))
        done = self.job(state="done", result="fine")
        self.assertEqual(failed.reason, "ValueError: It broke")
        self.assertIn("Not before", waiting.reason)
        self.assertFalse(done.reason)


@tagged("post_install", "-at_install")
class TestSituation(TransactionCase):
    def test_runner_is_found_by_its_lock(self):
        self.assertIsNone(Situation(self.env).runner())
        with self.registry.cursor() as cr:
            cr.execute("SELECT pg_advisory_xact_lock(%s)", (PG_ADVISORY_LOCK_ID,))
            situation = Situation(self.env(cr=cr))
            self.assertTrue(situation.runner())
            self.assertTrue(situation.runner_since())
