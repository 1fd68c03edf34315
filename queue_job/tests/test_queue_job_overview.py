# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import re
from datetime import datetime, timedelta
from unittest.mock import patch

from odoo.exceptions import AccessError
from odoo.tests import new_test_user, tagged

from ..jobrunner.connection import PG_ADVISORY_LOCK_ID
from .alone import without_extensions
from .overview_case import OverviewCase

CONFIGURED = "odoo.addons.queue_job.channels.settings.fixed_settings"


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

    def test_test_job(self):
        """From delay to done; refused to whoever may not see the overview."""
        action = self.overview.run_test_job()
        job = self.jobs.browse(action["res_id"])
        self.assertEqual(job.state, "pending")
        user = new_test_user(self.env, "no_manager", groups="base.group_user")
        with self.assertRaises(AccessError):
            self.overview.with_user(user).run_test_job()

    def test_periods(self):
        for period, points, width in (
            ("hour", 60, 1),
            ("day", 96, 15),
            ("nonsense", 60, 1),
        ):
            series = self.overview.read_overview(period)["series"]
            self.assertEqual((len(series["points"]), series["width"]), (points, width))

    def test_no_runner(self):
        without_extensions(self.addCleanup, self.overview, "_runs_instead", "_checks")
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
