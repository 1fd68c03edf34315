# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Why a job is not running: one case for each thing that can hold it."""

from datetime import datetime, timedelta
from unittest import mock

from odoo.sql_db import db_connect
from odoo.tests import TransactionCase, new_test_user, tagged

from ..delay import chain, group
from ..graph import Joint
from ..insight import snapshot
from ..insight.snapshot import Runner, Snapshot
from ..jobrunner.connection import PG_ADVISORY_LOCK_ID
from .alone import without_extensions
from .situation_case import SituationCase


class ExplainCase(SituationCase):
    """A queue with a runner, without configuration, and without other jobs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.jobs = cls.env["queue.job"]
        without_extensions(
            cls.addClassCleanup, cls.jobs, "_explain_runner", "_late_text"
        )
        cls.runner = Runner("node:12", datetime.now(), None)
        cls.startClassPatcher(
            mock.patch.object(
                Snapshot, "runner", property(lambda situation: cls.runner)
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
        cls.root.capacity = 4
        cls.sub = cls.env["queue.job.channel"].create(
            {"name": "sub", "parent_id": cls.root.id}
        )

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
        with mock.patch.object(Snapshot, "COUNT_LIMIT", 0):
            self.assert_explained(last, "line", "More than 0 jobs")

    def test_eta(self):
        job = self.job(eta=datetime.now() + timedelta(minutes=5))
        self.assert_explained(job, "eta", "Not before", "in 5 minutes")

    def test_eta_of_a_retry(self):
        job = self.job(eta=datetime.now() + timedelta(hours=2), retry=1)
        self.assert_explained(job, "eta", "tried again", "in 2 hours")

    def with_condition(self, **values):
        self.env["queue.job.runner"].search([]).unlink()
        since = {"since": datetime.now() - timedelta(days=2)}
        condition = {"name": "node:12", "address": "http://host:8069", **since}
        self.env["queue.job.runner"].create({**condition, **values})

    def test_the_runner_does_not_reach_workers(self):
        for values, text in (
            ({"trouble": "answered", "status": 401}, "http_auth_user"),
            ({"trouble": "unreachable"}, "scheme, host and port"),
            ({"trouble": "gateway", "status": 502}, "The proxy"),
            ({"trouble": "answered", "status": 404}, "server_wide_modules"),
        ):
            with self.subTest(text):
                self.with_condition(**values)
                self.assert_explained(self.job(), "workers", text, "http://host:8069")
        today = {"since": datetime.now().replace(hour=0, minute=0)}
        self.with_condition(trouble="answered", status=404, **today)
        self.env.user.tz = "UTC"
        self.assert_explained(self.job(), "workers", "since 12:00")
        sent = self.job(state="enqueued", date_enqueued=datetime(2020, 1, 1))
        self.assert_explained(sent, "workers", "server_wide_modules")

    def test_trouble_of_a_runner_that_is_gone_is_no_cause(self):
        self.with_condition(trouble="unreachable")
        with mock.patch.object(Snapshot, "runner", None):
            self.assert_explained(self.job(), "no_runner", "The server log")

    def test_pooler(self):
        self.with_condition(is_pooled=True)
        late = self.job(date_created=datetime.now() - timedelta(hours=1))
        self.assert_explained(late, "next", "node:12", "through a pooler")
        with mock.patch.object(Snapshot, "runner", None):
            self.assert_explained(late, "no_runner", "through a pooler")

    def test_no_runner(self):
        job = self.job()
        with mock.patch.object(Snapshot, "runner", None):
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

    def hidden(self, description="secret", **values):
        """Return a job of a company that the manager of ``as_manager`` does not see."""
        other = self.env["res.company"].search([("name", "=", "other")])
        other = other or self.env["res.company"].create({"name": "other"})
        return self.job(description=description, company_id=other.id, **values)

    def as_manager(self, job):
        user = self.env["res.users"].search([("login", "=", "manager_of_one")])
        return job.with_user(
            user
            or new_test_user(
                self.env, "manager_of_one", "queue_job.group_queue_job_manager"
            )
        )

    def test_names_only_what_the_reader_may_see(self):
        self.root.capacity = 1
        self.hidden(state="started")
        explanation = self.explain(self.as_manager(self.job()))
        self.assertEqual((explanation["kind"], explanation["jobs"]), ("full", []))
        self.assertNotIn("secret", explanation["text"])

    def test_a_sentence_about_hidden_jobs_tells_how_many_there_are(self):
        """It ended in a colon, as if something had been left out."""
        later = datetime.now() + timedelta(hours=1)
        sequential = {"capacity": 1, "sequential": True}
        self.root.capacity = 1
        first = self.hidden(state="started")
        second = self.hidden(state="enqueued")
        job = self.as_manager(self.job("root.sub"))
        several = self.explain(job)
        second.state = "done"
        full = self.explain(job)
        first.state = "done"
        self.sub.write(sequential)
        culprit = self.hidden(channel="root.sub", state="failed")
        failed = self.explain(job)
        culprit.write({"state": "pending", "eta": later, "priority": 0})
        overtaken = self.explain(job)
        self.assertEqual(
            [it["kind"] for it in (several, full, failed, overtaken)],
            ["full", "full", "sequential", "sequential_eta"],
        )
        for explanation in (full, failed, overtaken):
            for key in ("sentence", "text"):
                with self.subTest(kind=explanation["kind"], key=key):
                    self.assertRegex(
                        explanation[key], r": a job that you may not see\.$"
                    )
        self.assertTrue(several["text"].endswith(": 2 jobs that you may not see."))

    def test_jobs_that_may_be_seen_are_named_before_hidden_ones_are_told(self):
        self.root.capacity = 5
        for _number in range(4):
            self.hidden(state="started")
        self.job(description="plain to see", state="started")
        explanation = self.explain(self.as_manager(self.job()))
        self.assertIn("plain to see and 4 more", explanation["text"])

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
        with mock.patch.object(snapshot, "LOOKED_AT", 1):
            texts = [job.explanation["text"] for job in waiting]
        for name, text in zip("abc", texts, strict=True):
            self.assertIn(f"{name}0", text)

    def test_hidden_dependency(self):
        first, second, last = self.graph()
        user = new_test_user(self.env, "reader", "queue_job.group_queue_job_manager")
        company = self.env["res.company"].create({"name": "other"})
        (first + second).company_id = company
        waits = self.explain(last.with_user(user))
        second.state = "failed"
        fails = self.explain(last.with_user(user))
        self.assertTrue(waits["sentence"].endswith(": 2 jobs that you may not see."))
        self.assertTrue(fails["sentence"].endswith(": a job that you may not see."))

    def test_many_dependencies_in_a_list(self):
        """Each row tells how many it waits for, however few of them are looked at."""
        self.patch(Joint, "WORTH", 0)
        partner = self.env["res.partner"]
        parents = self.jobs
        children = self.jobs
        for _graph in range(2):
            first = [partner.delayable().create_company() for _number in range(5)]
            child, other = (partner.delayable().create_company() for _job in "ab")
            chain(group(*first), group(child, other)).delay()
            for delayable in first:
                parents |= delayable._generated_job.db_record().with_env(self.env)
            children |= child._generated_job.db_record().with_env(self.env)

        def explained():
            self.env.flush_all()
            self.env.invalidate_all()
            values = [child.explanation for child in children]
            return [(it["kind"], len(it["jobs"]), it["more"]) for it in values]

        with mock.patch.object(snapshot, "LOOKED_AT", 2):
            self.assertEqual(explained(), [("dependencies", 2, 3)] * 2)
            parents[2:5].write({"state": "failed"})
            self.assertEqual(
                explained(), [("dependency_failed", 2, 1), ("dependencies", 2, 3)]
            )

    def test_nothing_left_to_wait_for(self):
        first, second, last = self.graph()
        (first + second).state = "done"
        self.assert_explained(last, "dependencies", "will notice")
        with mock.patch.object(Snapshot, "runner", None):
            self.assert_explained(last, "no_runner")

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

    def test_sent_by_a_runner_that_is_gone(self):
        """It told that all workers are busy, and nothing would ever start the job."""
        job = self.job(state="enqueued", date_enqueued=datetime.now())
        with mock.patch.object(Snapshot, "runner", None):
            self.assert_explained(job, "sent", "just now")
            job.date_enqueued = datetime.now() - timedelta(hours=2)
            self.assert_explained(job, "no_runner", "server_wide_modules")

    def test_started(self):
        job = self.job(
            state="started",
            worker_pid=77,
            date_started=datetime.now() - timedelta(minutes=3),
        )
        explanation = self.assert_explained(job, "running", "3 minutes", "77")
        self.assertEqual(explanation["level"], "info")
        with mock.patch.object(Snapshot, "runner", None):
            explanation = self.assert_explained(job, "running", "77", "nobody notices")
        self.assertEqual(explanation["level"], "warning")

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
        self.assertIsNone(Snapshot(self.env).runner)
        with self.registry.cursor() as cr:
            cr.execute("SELECT pg_advisory_xact_lock(%s)", (PG_ADVISORY_LOCK_ID,))
            found = Snapshot(self.env(cr=cr))
            self.assertTrue(found.runner.since)

    def test_runner_is_found_from_a_replica(self):
        """With db_replica_host the form of a waiting job said that no runner is alive.

        The form is read from the replica, which knows no lock of the primary. What
        stands for one here is a server that has no locks at all.
        """

        database = self.env.cr.dbname
        runner = db_connect(database).cursor()
        self.addCleanup(runner.close)
        runner.execute("SELECT pg_advisory_xact_lock(%s)", (PG_ADVISORY_LOCK_ID,))
        replica = db_connect(database, readonly=True).cursor()
        self.addCleanup(replica.close)
        execute = replica.execute
        self.patch(
            replica,
            "execute",
            lambda query, values=None: execute(
                query.replace("pg_locks", "(SELECT * FROM pg_locks LIMIT 0)"), values
            ),
        )
        self.assertTrue(Snapshot(self.env(cr=replica)).runner)
