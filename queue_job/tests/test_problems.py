# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Is all well? Situations are planted, and each is named on the overview; else nothing is."""

from datetime import datetime, timedelta
from unittest import mock

from odoo.tests import tagged

from ..delay import chain, group
from ..insight.snapshot import Runner, Snapshot
from .alone import without_extensions
from .situation_case import SituationCase


@tagged("post_install", "-at_install")
class TestProblems(SituationCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.overview = cls.env["queue.job.overview"]
        without_extensions(
            cls.addClassCleanup, cls.overview, "_runs_instead", "_checks"
        )
        cls.env.cr.execute("DELETE FROM queue_job_runner")
        cls.env.cr.execute("DELETE FROM queue_job_hour")
        cls.env.cr.execute("DELETE FROM queue_job_minute")
        cls.runner = Runner("node:12", datetime.now(), None)
        cls.startClassPatcher(
            mock.patch.object(Snapshot, "runner", property(lambda _self: cls.runner))
        )
        cls.root.write({"capacity": 4, "paused": False})
        cls.sub = cls.env["queue.job.channel"].create(
            {"name": "sub", "parent_id": cls.root.id, "capacity": 1}
        )

    def problems(self):
        self.env.flush_all()
        self.env.invalidate_all()
        return self.overview.read_overview()["problems"]

    def assert_only(self, kind, *parts, buttons=("Open",)):
        problems = self.problems()
        self.assertEqual([each["kind"] for each in problems], [kind])
        for part in parts:
            self.assertIn(part, problems[0]["text"])
        labels = [button["label"] for button in problems[0]["buttons"]]
        self.assertEqual(labels, list(buttons))
        return problems[0]

    def ago(self, **span):
        return datetime.now() - timedelta(**span)

    def test_nothing_when_all_is_well(self):
        """Jobs that run as long as usual, wait for a moment, for later, or failed alone."""
        self.job()
        self.job("root.sub", state="started", date_started=self.ago(seconds=3))
        self.job(eta=datetime.now() + timedelta(hours=1))
        self.job(state="failed", date_started=self.ago(days=1))
        self.sub.paused = True
        self.assertEqual(self.problems(), [])

    def test_no_runner(self):
        self.job()
        with mock.patch.object(Snapshot, "runner", None):
            self.assert_only("no_runner", "No runner is alive", buttons=())

    def test_workers_out_of_reach(self):
        self.job(date_created=self.ago(hours=1))
        self.env["queue.job.runner"].create(
            {
                "name": "node:12",
                "trouble": "answered",
                "status": 401,
                "address": "http://h",
            }
        )
        self.assert_only("workers", "http://h", "http_auth_user", buttons=())

    def test_pooler(self):
        self.env["queue.job.runner"].create({"name": "node:12", "is_pooled": True})
        self.assert_only("pooler", "through a pooler", buttons=())

    def test_modules(self):
        with mock.patch.object(Snapshot, "modules_are_changing", True):
            self.assert_only("modules", "being installed", buttons=())

    def test_paused_channel(self):
        self.job("root.sub")
        self.job("root.sub.below", date_created=self.ago(hours=2))
        self.sub.paused = True
        problem = self.assert_only(
            "paused", "root.sub", "2 jobs", buttons=("Resume", "Open")
        )
        resume, opened = problem["buttons"]
        jobs = self.env["queue.job"].search(opened["action"]["domain"])
        self.assertEqual(len(jobs), 2)
        getattr(self.env[resume["model"]].browse(resume["ids"]), resume["method"])()
        self.assertFalse(self.sub.paused)

    def test_job_behind_a_failed_one(self):
        self.sub.sequential = True
        self.job("root.sub", state="failed")
        self.job("root.sub", date_created=self.ago(hours=1))
        self.assert_only("behind_failed", "root.sub", "1 jobs wait")

    def test_long_run_that_others_wait_for(self):
        self.job("root.sub", state="done", date_done=self.ago(minutes=5), exec_time=10)
        slow = self.job("root.sub", state="started", date_started=self.ago(minutes=5))
        self.problems()
        for _number in range(3):
            self.job("root.sub", date_created=self.ago(minutes=4))
        problem = self.assert_only(
            "long", "root.sub: 3 jobs wait 4 minutes", "30 times longer than usual"
        )
        self.assertEqual(problem["buttons"][0]["action"]["res_id"], slow.id)

    def test_graphs_wait_for_failed_jobs(self):
        """Also behind a joint; a failed job that no other waits for is none of them."""
        partner = self.env["res.partner"]
        calls = [partner.delayable().create_company() for _number in range(8)]
        chain(calls[0], calls[1]).delay()
        group(*calls[2:5]).on_done(group(*calls[5:7])).delay()
        chain(calls[7], partner.delayable().create_company()).delay()
        for number in (0, 2, 3):
            self.record(calls[number]).state = "failed"
        self.record(calls[7]).state = "failed"
        waits = self.env["queue.job"].search(
            [("graph_uuid", "!=", False)], order="id desc"
        )
        waits[0].state = "cancelled"
        problem = self.assert_only("graphs", "2 graphs", buttons=("Requeue", "Open"))
        wizard = self.env["queue.requeue.job"].with_context(
            **problem["buttons"][0]["action"]["context"]
        )
        self.assertEqual(wizard.create({}).moved_count, 3)

    def record(self, delayable):
        row = delayable._generated_job.db_record().with_env(self.env)
        return row.with_context(_job_edit_sentinel=row.EDIT_SENTINEL)

    def test_sent_jobs_that_no_worker_begins(self):
        self.job(state="enqueued", date_enqueued=self.ago(minutes=2))
        self.assert_only("sent", "2 minutes ago", "all workers are busy")

    def test_jobs_that_wait_although_there_is_room(self):
        self.job("root.sub", date_created=self.ago(minutes=10))
        self.assert_only("late", "root.sub: 1 jobs wait", "10 minutes")

    def test_function_that_fails(self):
        now = datetime.now()
        for _number in range(10):
            job = self.job(state="failed", date_started=now)
            self.env["queue.job.attempt"].create(
                {
                    "job_id": job.id,
                    "outcome": "failed",
                    "date_ended": now - timedelta(minutes=5),
                }
            )
        problem = self.assert_only("failing", "10 of 10 jobs failed")
        jobs = self.env["queue.job"].search(problem["buttons"][0]["action"]["domain"])
        self.assertEqual(len(jobs), 10)

    def test_the_worst_come_first_and_few_are_named(self):
        self.env["queue.job.runner"].create({"name": "node:12", "is_pooled": True})
        for number in range(6):
            self.env["queue.job.channel"].create(
                {"name": f"p{number}", "parent_id": self.root.id, "paused": True}
            )
            self.job(f"root.p{number}")
        with mock.patch.object(Snapshot, "runner", None):
            kinds = [each["kind"] for each in self.problems()]
        self.assertEqual(kinds, ["no_runner", "pooler", "paused", "paused", "paused"])
