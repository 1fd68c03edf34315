# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import datetime, timedelta
from unittest.mock import patch

from odoo.tests import tagged

from ..insight import channel_counts
from ..insight.channel_counts import ChannelCounts
from ..insight.estimate import Estimates
from ..models import queue_job_channel
from .overview_case import OverviewCase


@tagged("post_install", "-at_install")
class TestLoad(OverviewCase):
    def load(self, **options):
        return ChannelCounts(self.env, **options).channels()

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
        with patch.multiple(channel_counts, BUDGET=3, MOST=3, LEAST=3):
            number = self.load()["root.overview"]["waiting"]
        self.assertEqual(
            (number.count, number.exact, number.estimated), (3, False, False)
        )

    def test_beyond_the_bound_an_estimate(self):
        self.make(5)
        estimates = {("pending", "root.overview"): 900}
        with (
            patch.multiple(channel_counts, BUDGET=3, MOST=3, LEAST=3),
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
            patch.multiple(channel_counts, BUDGET=3, MOST=3, LEAST=3),
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
        with patch.multiple(channel_counts, BUDGET=4, MOST=4, LEAST=4):
            figures = self.load(companies=self.env.company.ids)["root.overview"]
        for key in ("failed", "waiting", "later"):
            with self.subTest(key=key):
                self.assertEqual(figures[key], (2, True, False))

    def test_count_that_stopped_before_the_first_is_not_none(self):
        other = self.env["res.company"].create({"name": "Other"})
        self.make(8, state="wait_dependencies", company_id=other.id)
        with patch.multiple(channel_counts, BUDGET=3, MOST=3, LEAST=3):
            figures = self.load(companies=self.env.company.ids)["root.overview"]
            self.assertEqual(figures["depending"], (0, False, False))
            channel = self.sub.with_context(allowed_company_ids=self.env.company.ids)
            with patch.object(
                queue_job_channel, "companies_seen", lambda env: env.companies.ids
            ):
                self.assertEqual(channel.later_text, "0+")
