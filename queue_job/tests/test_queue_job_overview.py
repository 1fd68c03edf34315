# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import re
from datetime import datetime, timedelta
from unittest.mock import patch

from odoo.exceptions import AccessError
from odoo.tests import TransactionCase, new_test_user, tagged

from ..jobrunner.connection import PG_ADVISORY_LOCK_ID
from ..models import queue_job_channel_load, queue_job_load
from ..models.queue_job_estimate import Estimates
from ..models.queue_job_load import Load

CONFIGURED = "odoo.addons.queue_job.jobrunner.channel_config.fixed_settings"
NOW = datetime(2026, 3, 4, 12, 30, 30)


class OverviewCase(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.jobs = cls.env["queue.job"]
        cls.root = cls.env.ref("queue_job.channel_root")
        cls.sub = cls.env["queue.job.channel"].create(
            {"name": "overview", "parent_id": cls.root.id, "capacity": 3}
        )
        cls.tally = cls.env["queue.job.minute"]
        cls.overview = cls.env["queue.job.overview"]

    def make(self, count=1, channel="root.overview", **values):
        jobs = self.jobs.browse()
        for _number in range(count):
            delayed = (
                self.env["res.partner"].with_delay(channel=channel).create_company()
            )
            jobs |= delayed.db_record().with_env(self.env)
        if values:
            editor = jobs.with_context(_job_edit_sentinel=self.jobs.EDIT_SENTINEL)
            editor.write(values)
        self.env.flush_all()
        return jobs

    def done(self, count, ended, seconds=1.0, **values):
        values = {"state": "done", "date_done": ended, "exec_time": seconds, **values}
        return self.make(count, **values)

    def failed(self, ended):
        job = self.make(state="failed")
        self.env["queue.job.attempt"].create(
            {"job_id": job.id, "outcome": "failed", "date_ended": ended}
        )
        self.env.flush_all()
        return job


@tagged("post_install", "-at_install")
class TestTally(OverviewCase):
    def series(self, minutes=60, width=1, **options):
        return self.tally._series(NOW, minutes, width, **options)

    def test_each_job_is_added_up_once(self):
        self.done(3, NOW - timedelta(minutes=10))
        self.failed(NOW - timedelta(minutes=10))
        self.assertTrue(self.tally._add_up(NOW))
        self.assertTrue(self.tally._add_up(NOW))
        row = self.tally.search([])
        self.assertEqual((row.done, row.failed), (3, 1))
        self.assertEqual(row.minute, datetime(2026, 3, 4, 12, 20))

    def test_more_of_the_same_minute_is_added(self):
        self.done(1, NOW - timedelta(seconds=20))
        self.tally._add_up(NOW)
        self.done(2, NOW - timedelta(seconds=10))
        self.tally._add_up(NOW)
        self.assertEqual(self.tally.search([]).done, 3)

    def test_what_just_ended_may_not_be_all(self):
        """Another job may have ended before, and be committed after."""
        self.done(1, NOW - timedelta(seconds=1))
        self.tally._add_up(NOW)
        self.assertFalse(self.tally.search([]))
        self.assertEqual(self.series()[-1], [1, 0])

    def test_series_of_one_look_goes_on_in_the_next(self):
        for minute in range(4, 0, -1):
            self.done(1, NOW - timedelta(minutes=minute))
        self.assertFalse(self.tally._add_up(NOW, budget=2))
        self.assertEqual(sum(self.tally.search([]).mapped("done")), 3)
        self.assertTrue(self.tally._add_up(NOW, budget=2))
        self.assertEqual(self.tally.search([]).mapped("done"), [1, 1, 1, 1])

    def test_jobs_that_ended_together_are_added_up_together(self):
        self.done(5, NOW - timedelta(minutes=4))
        self.assertFalse(self.tally._add_up(NOW, budget=2))
        self.assertTrue(self.tally._add_up(NOW, budget=2))
        self.assertEqual(self.tally.search([]).done, 5)

    def test_requeued_job_was_done_all_the_same(self):
        job = self.done(1, NOW - timedelta(minutes=4))
        self.tally._add_up(NOW)
        job.requeue()
        self.env.flush_all()
        self.tally._add_up(NOW)
        self.assertEqual(self.tally.search([]).done, 1)

    def test_job_without_channel(self):
        self.done(1, NOW - timedelta(minutes=4), channel=False)
        self.tally._add_up(NOW)
        self.assertEqual(self.tally.search([]).done, 1)

    def test_series(self):
        self.done(2, NOW - timedelta(minutes=10))
        self.failed(NOW - timedelta(minutes=3))
        self.done(1, NOW - timedelta(minutes=70))
        self.tally._add_up(NOW)
        series = self.series()
        self.assertEqual(len(series), 60)
        self.assertEqual(series[-11], [2, 0])
        self.assertEqual(series[-4], [0, 1])
        self.assertEqual(sum(done for done, _failed in series), 2)
        day = self.series(1440, 15)
        self.assertEqual(len(day), 96)
        self.assertEqual([sum(side) for side in zip(*day, strict=True)], [3, 1])

    def test_functions(self):
        self.done(2, NOW - timedelta(minutes=10), seconds=4.0)
        self.done(2, NOW - timedelta(minutes=70), seconds=2.0)
        self.failed(NOW - timedelta(minutes=10))
        self.tally._add_up(NOW)
        (row,) = self.env["queue.job.hour"]._functions(NOW)
        self.assertEqual(row["function"], "<res.partner>.create_company")
        self.assertEqual((row["done"], row["failed"]), (4, 1))
        self.assertEqual((row["average"], row["longest"]), (3.0, 4.0))

    def test_only_of_the_companies_seen(self):
        other = self.env["res.company"].create({"name": "Other"})
        self.done(2, NOW - timedelta(minutes=10), company_id=other.id)
        self.done(1, NOW - timedelta(minutes=10), company_id=False)
        self.tally._add_up(NOW)
        self.assertEqual(self.series(companies=self.env.company.ids)[-11], [1, 0])
        self.assertEqual(self.series(companies=other.ids)[-11], [3, 0])
        (row,) = self.env["queue.job.hour"]._functions(NOW, self.env.company.ids)
        self.assertEqual(row["done"], 1)

    def test_scheduled_action_drops_what_is_old(self):
        vals = {"done": 1, "failed": 0}
        old = datetime.now() - timedelta(days=3)
        self.tally.create({"minute": old, "until": old, **vals})
        self.env["queue.job.hour"].create(
            {"hour": old, "function": "x", "seconds": 1, "longest": 1, **vals}
        )
        self.env.flush_all()
        self.assertEqual(
            self.env.ref("queue_job.queue_job_add_up_cron").code, "model._cron_add_up()"
        )
        self.tally._cron_add_up()
        self.env.invalidate_all()
        self.assertFalse(self.tally.search([]))
        self.assertFalse(self.env["queue.job.hour"].search([]))


@tagged("post_install", "-at_install")
class TestLoad(OverviewCase):
    def load(self, **options):
        return Load(self.env, **options).channels()

    def test_counts_with_what_is_below(self):
        self.make(2)
        self.make(1, channel="root.overview.deep")
        self.make(1, state="started")
        self.make(1, state="enqueued")
        self.make(2, state="failed")
        self.make(1, state="wait_dependencies")
        self.make(1, eta=datetime.now() + timedelta(hours=1))
        self.make(1, eta=datetime.now() - timedelta(hours=1))
        self.make(1, state="cancelled")
        figures = self.load()
        numbers = {
            key: figures["root.overview"][key]
            for key in ("waiting", "running", "sent", "failed", "depending", "later")
        }
        self.assertEqual(
            {key: number.count for key, number in numbers.items()},
            {
                "waiting": 4,
                "running": 1,
                "sent": 1,
                "failed": 2,
                "depending": 1,
                "later": 1,
            },
        )
        self.assertTrue(all(number.exact for number in numbers.values()))
        self.assertEqual(figures["root.overview.deep"]["waiting"].count, 1)
        self.assertGreaterEqual(figures["root"]["waiting"].count, 4)

    def test_other_spellings_of_a_channel(self):
        self.make(1, channel="overview")
        nowhere = self.make(2)
        nowhere[0].sudo().channel = False
        nowhere[1].sudo().channel = "root"
        self.env.flush_all()
        figures = self.load()
        self.assertEqual(figures["root.overview"]["waiting"].count, 1)
        self.assertEqual(figures["root"]["waiting"].count, 3)

    def test_settings(self):
        self.sub.paused = True
        self.make(1, channel="root.overview.deep")
        figures = self.load()
        self.assertEqual(figures["root.overview"]["capacity"], 3)
        self.assertTrue(figures["root.overview"]["paused"])
        self.assertFalse(figures["root.overview.deep"]["paused"])
        self.assertTrue(figures["root.overview.deep"]["stopped"])

    def test_oldest_of_all_priorities(self):
        now = datetime.now().replace(microsecond=0)
        self.make(1, priority=1, date_created=now - timedelta(hours=1))
        self.make(1, priority=7, date_created=now - timedelta(hours=3))
        self.make(1, priority=9, date_created=now - timedelta(hours=2))
        self.make(1, channel="root.due", eta=now - timedelta(hours=4))
        figures = self.load()
        self.assertEqual(figures["root.overview"]["oldest"], now - timedelta(hours=3))
        self.assertEqual(figures["root.due"]["oldest"], now - timedelta(hours=4))
        self.assertEqual(figures["root"]["oldest"], now - timedelta(hours=4))

    def test_counts_stop_at_a_bound(self):
        self.make(5)
        with patch.multiple(queue_job_load, BUDGET=3, MOST=3, LEAST=3):
            number = self.load()["root.overview"]["waiting"]
        self.assertEqual(
            (number.count, number.exact, number.estimated), (3, False, False)
        )

    def test_beyond_the_bound_an_estimate(self):
        self.make(5)
        estimates = {("pending", "root.overview"): 900}
        with (
            patch.multiple(queue_job_load, BUDGET=3, MOST=3, LEAST=3),
            patch.object(Estimates, "_by_pair", estimates),
        ):
            number = self.load()["root.overview"]["waiting"]
            self.make(1, eta=datetime.now() + timedelta(hours=1))
            less = self.load()["root.overview"]["waiting"]
        self.assertEqual(
            (number.count, number.exact, number.estimated), (900, False, True)
        )
        self.assertEqual(less.count, 899)

    def bounded(self, estimates, share=1):
        """Return the figures of the channel when each count stops at three."""
        with (
            patch.multiple(queue_job_load, BUDGET=3, MOST=3, LEAST=3),
            patch.object(Estimates, "_by_pair", estimates),
            patch.object(Estimates, "share_without_eta", share),
        ):
            return self.load()["root.overview"]

    def test_estimate_of_many_for_later(self):
        self.make(5, eta=datetime.now() + timedelta(hours=1))
        self.make(2)
        figures = self.bounded({("pending", "root.overview"): 900})
        self.assertEqual(figures["later"], (898, False, True))
        self.assertEqual(figures["waiting"], (2, True, False))

    def test_estimates_of_many_of_both(self):
        """How many are pending is known, and how many of all pending jobs have no eta."""
        self.make(5, eta=datetime.now() + timedelta(hours=1))
        self.make(1, eta=datetime.now() - timedelta(hours=1))
        self.make(5)
        figures = self.bounded({("pending", "root.overview"): 1000}, share=0.75)
        self.assertEqual(figures["waiting"], (751, False, True))
        self.assertEqual(figures["later"], (249, False, True))

    def test_estimate_and_least_are_the_least(self):
        self.make(5)
        self.make(5, channel="root.overview.deep")
        figures = self.bounded({("pending", "root.overview"): 900})
        self.assertEqual(figures["waiting"], (903, False, False))

    def test_postgresql_estimates_by_state_and_channel(self):
        self.make(40, state="failed")
        self.env.cr.execute("ANALYZE queue_job")
        with patch.object(
            Estimates, "_fetch", lambda _estimates, statement: self.fetch(statement)
        ):
            estimate = Estimates(self.env).of("failed", "root.overview")
        self.assertEqual(estimate, 40)

    def test_postgresql_estimates_how_many_have_no_eta(self):
        self.env.cr.execute("DELETE FROM queue_job")
        self.make(30)
        self.make(10, eta=datetime.now() + timedelta(hours=1))
        self.env.cr.execute("ANALYZE queue_job")
        self.assertEqual(Estimates(self.env).share_without_eta, 0.75)

    def fetch(self, statement):
        """Read the statistics as if nothing had changed since."""
        self.env.cr.execute(statement)
        return [(*row[:-1], 0) for row in self.env.cr.fetchall()]

    def test_estimates_that_are_old_are_not_told(self):
        row = ([["failed", "root"], ["done", "root"]], [0.1, 0.9], 1000, 60)
        with patch.object(Estimates, "_fetch", return_value=[row]):
            estimates = Estimates(self.env)
            self.assertEqual(estimates.of("done", "root"), 900)
            self.assertEqual(estimates.of("failed", "root"), 0)

    def test_only_of_the_companies_seen(self):
        other = self.env["res.company"].create({"name": "Other"})
        self.make(2, company_id=other.id)
        self.make(1, state="failed", company_id=other.id)
        self.make(1)
        figures = self.load(companies=self.env.company.ids)["root.overview"]
        self.assertEqual((figures["waiting"].count, figures["failed"].count), (1, 0))

    def test_many_jobs_of_another_company_hide_none(self):
        """Those of the reader's company, behind more than a count looks at, were 0."""
        other = self.env["res.company"].create({"name": "Other"})
        later = datetime.now() + timedelta(hours=1)
        for company in (other, self.env.company, self.env["res.company"]):
            count = 5 if company == other else 1
            values = {"company_id": company.id}
            self.make(count, state="failed", **values)
            self.make(count, **values)
            self.make(count, eta=later, **values)
        with patch.multiple(queue_job_load, BUDGET=4, MOST=4, LEAST=4):
            figures = self.load(companies=self.env.company.ids)["root.overview"]
        for key in ("failed", "waiting", "later"):
            with self.subTest(key=key):
                self.assertEqual(figures[key], (2, True, False))

    def test_count_that_stopped_before_the_first_is_not_none(self):
        other = self.env["res.company"].create({"name": "Other"})
        self.make(8, state="wait_dependencies", company_id=other.id)
        with patch.multiple(queue_job_load, BUDGET=3, MOST=3, LEAST=3):
            figures = self.load(companies=self.env.company.ids)["root.overview"]
            self.assertEqual(figures["depending"], (0, False, False))
            channel = self.sub.with_context(allowed_company_ids=self.env.company.ids)
            with patch.object(
                queue_job_channel_load, "companies_seen", lambda env: env.companies.ids
            ):
                self.assertEqual(channel.later_text, "0+")


@tagged("post_install", "-at_install")
class TestOverview(OverviewCase):
    def test_for_managers_only(self):
        manager = new_test_user(
            self.env,
            "queue_manager",
            groups="base.group_user,queue_job.group_queue_job_manager",
        )
        self.assertTrue(self.overview.with_user(manager).read_overview()["channels"])
        user = new_test_user(self.env, "no_manager", groups="base.group_user")
        with self.assertRaises(AccessError):
            self.overview.with_user(user).read_overview()

    def test_manager_of_one_company_sees_its_numbers_only(self):
        other = self.env["res.company"].create({"name": "Other"})
        manager = new_test_user(
            self.env,
            "queue_manager",
            groups="base.group_user,queue_job.group_queue_job_manager",
        )
        self.make(2, company_id=other.id)
        self.make(1)
        for is_active in (True, False):
            with self.subTest(is_active):
                other.active = is_active
                figures = self.overview.with_user(manager).read_overview()["channels"]
                (sub,) = (it for it in figures if it["name"] == "root.overview")
                self.assertEqual(sub["waiting"]["count"], 1)

    def test_tree_of_channels(self):
        deep = {"name": "deep", "parent_id": self.sub.id}
        self.env["queue.job.channel"].create([deep, {**deep, "name": "a"}])
        self.env["queue.job.channel"].create(
            {"name": "overviewed", "parent_id": self.root.id}
        )
        channels = self.overview.read_overview()["channels"]
        names = [it["name"] for it in channels if "overview" in it["name"]]
        self.assertEqual(
            names,
            [
                "root.overview",
                "root.overview.a",
                "root.overview.deep",
                "root.overviewed",
            ],
        )
        self.assertEqual(channels[0]["name"], "root")
        self.assertEqual([it["depth"] for it in channels if it["label"] == "deep"], [2])

    def test_queue_of_which_all_is_long_done_is_not_empty(self):
        """A quiet weekend was taken for a queue that never had a job."""
        self.env.cr.execute("DELETE FROM queue_job")
        self.assertFalse(self.overview.read_overview()["has_jobs"])
        self.done(1, datetime.now() - timedelta(days=9))
        self.assertTrue(self.overview.read_overview()["has_jobs"])

    def test_channel_that_the_configuration_pauses(self):
        self.sub.paused = True
        fixed = {"root": {"paused": True}}
        with patch(CONFIGURED, return_value=fixed):
            channels = self.overview.read_overview()["channels"]
        paused = {
            it["name"]: (it["paused"], it["has_fixed_pause"])
            for it in channels
            if it["name"] in ("root", "root.overview")
        }
        self.assertEqual(paused, {"root": (True, True), "root.overview": (True, False)})

    def test_periods(self):
        for period, points, width in (
            ("hour", 60, 1),
            ("day", 96, 15),
            ("nonsense", 60, 1),
        ):
            series = self.overview.read_overview(period)["series"]
            self.assertEqual((len(series["points"]), series["width"]), (points, width))

    def test_no_runner(self):
        runner = self.overview._runner()
        self.assertFalse(runner["is_alive"])
        checks = {check["key"]: check for check in runner["checks"]}
        self.assertEqual(
            set(checks), {"server_wide_modules", "workers", "channels", "database"}
        )
        # The tests run with root:0.
        self.assertFalse(checks["channels"]["is_right"])
        self.assertIn("root:0", checks["channels"]["text"])
        with patch.object(
            type(self.overview), "_server_wide_modules", lambda _self: ["base", "web"]
        ):
            checks = {
                check["key"]: check for check in self.overview._runner()["checks"]
            }
        self.assertIs(checks["server_wide_modules"]["is_right"], False)
        self.assertIn("base,rpc,web,queue_job", checks["server_wide_modules"]["text"])

    def test_runner_is_who_holds_the_lock(self):
        with self.registry.cursor() as cr:
            cr.execute("SET application_name = 'queue_job runner node-7:4242'")
            cr.execute("SELECT pg_try_advisory_xact_lock(%s)", [PG_ADVISORY_LOCK_ID])
            self.assertTrue(cr.fetchone()[0])
            runner = self.overview._runner()
            cr.execute("RESET application_name")
        self.assertTrue(runner["is_alive"])
        self.assertEqual((runner["node"], runner["pid"]), ("node-7", "4242"))
        self.assertGreaterEqual(runner["age"], 0)
        self.assertFalse(self.overview._runner()["is_alive"])


@tagged("post_install", "-at_install")
class TestCost(OverviewCase):
    def statements(self, call):
        """Return the statements on jobs that a call sends, as text."""
        sent = []
        execute = type(self.env.cr).execute

        def record(cr, query, *args, **kwargs):
            result = execute(cr, query, *args, **kwargs)
            text = cr._obj.query.decode()
            if re.search(r"\bqueue_job\b", text) and "pg_stats_ext" not in text:
                sent.append(text)
            return result

        with patch.object(type(self.env.cr), "execute", record):
            call()
        return sent

    def test_each_statement_goes_by_index(self):
        """None reads the table: neither a million done jobs nor a million waiting ones count."""
        self.make(3)
        self.make(1, eta=datetime.now())
        self.make(1, channel="root.overview", state="failed")
        statements = self.statements(self.overview.read_overview)
        self.assertGreater(len(statements), 8)
        self.env.cr.execute("SET LOCAL enable_seqscan = off")
        for statement in statements:
            with self.subTest(statement=statement):
                self.env.cr.execute("EXPLAIN " + statement)
                plan = "\n".join(row for (row,) in self.env.cr.fetchall())
                self.assertNotRegex(plan, r"Seq Scan on queue_job( |$|\n)")

    def test_number_of_statements_does_not_depend_on_jobs_or_channels(self):
        self.make(1)
        self.make(1, eta=datetime.now())
        few = len(self.statements(self.overview.read_overview))
        for number in range(8):
            self.make(3, channel=f"root.overview.c{number}")
        self.assertEqual(len(self.statements(self.overview.read_overview)), few)
