# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import datetime, timedelta

from odoo import sql_db
from odoo.tests import tagged

from ..insight import throughput
from .overview_case import OverviewCase

NOW = datetime(2026, 3, 4, 12, 30, 30)


@tagged("post_install", "-at_install")
class TestTally(OverviewCase):
    def series(self, minutes=60, width=1, **options):
        return throughput.series(self.env, NOW, minutes, width, **options)

    def test_each_job_is_added_up_once(self):
        self.done(3, NOW - timedelta(minutes=10))
        self.failed(NOW - timedelta(minutes=10))
        self.assertTrue(throughput.add_up(self.env, NOW))
        self.assertTrue(throughput.add_up(self.env, NOW))
        row = self.tally.search([])
        self.assertEqual((row.done, row.failed), (3, 1))
        self.assertEqual(row.minute, datetime(2026, 3, 4, 12, 20))

    def test_more_of_the_same_minute_is_added(self):
        self.done(1, NOW - timedelta(seconds=20))
        throughput.add_up(self.env, NOW)
        self.done(2, NOW - timedelta(seconds=10))
        throughput.add_up(self.env, NOW)
        self.assertEqual(self.tally.search([]).done, 3)

    def test_what_just_ended_may_not_be_all(self):
        """Another job may have ended before, and be committed after."""
        self.done(1, NOW - timedelta(seconds=1))
        throughput.add_up(self.env, NOW)
        self.assertFalse(self.tally.search([]))
        self.assertEqual(self.series()[-1], [1, 0])

    def test_series_of_one_look_goes_on_in_the_next(self):
        for minute in range(4, 0, -1):
            self.done(1, NOW - timedelta(minutes=minute))
        self.assertFalse(throughput.add_up(self.env, NOW, budget=2))
        self.assertEqual(sum(self.tally.search([]).mapped("done")), 3)
        self.assertTrue(throughput.add_up(self.env, NOW, budget=2))
        self.assertEqual(self.tally.search([]).mapped("done"), [1, 1, 1, 1])

    def test_jobs_that_ended_together_are_added_up_together(self):
        self.done(5, NOW - timedelta(minutes=4))
        self.assertFalse(throughput.add_up(self.env, NOW, budget=2))
        self.assertTrue(throughput.add_up(self.env, NOW, budget=2))
        self.assertEqual(self.tally.search([]).done, 5)

    def test_requeued_job_was_done_all_the_same(self):
        job = self.done(1, NOW - timedelta(minutes=4))
        throughput.add_up(self.env, NOW)
        job.requeue()
        self.env.flush_all()
        throughput.add_up(self.env, NOW)
        self.assertEqual(self.tally.search([]).done, 1)

    def test_job_without_channel(self):
        self.done(1, NOW - timedelta(minutes=4), channel=False)
        throughput.add_up(self.env, NOW)
        self.assertEqual(self.tally.search([]).done, 1)

    def test_series(self):
        self.done(2, NOW - timedelta(minutes=10))
        self.failed(NOW - timedelta(minutes=3))
        self.done(1, NOW - timedelta(minutes=70))
        throughput.add_up(self.env, NOW)
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
        throughput.add_up(self.env, NOW)
        (row,) = throughput.functions(self.env, NOW)
        self.assertEqual(row["function"], "<res.partner>.create_company")
        self.assertEqual((row["done"], row["failed"]), (4, 1))
        self.assertEqual((row["average"], row["longest"]), (3.0, 4.0))

    def test_only_of_the_companies_seen(self):
        other = self.env["res.company"].create({"name": "Other"})
        self.done(2, NOW - timedelta(minutes=10), company_id=other.id)
        self.done(1, NOW - timedelta(minutes=10), company_id=False)
        throughput.add_up(self.env, NOW)
        self.assertEqual(self.series(companies=self.env.company.ids)[-11], [1, 0])
        self.assertEqual(self.series(companies=other.ids)[-11], [3, 0])
        (row,) = throughput.functions(self.env, NOW, self.env.company.ids)
        self.assertEqual(row["done"], 1)

    def test_second_reader_learns_what_is_left(self):
        """While another session adds up, a second reader was told that all was complete."""
        self.done(4, NOW - timedelta(minutes=4))
        self.done(1, NOW - timedelta(minutes=2))
        with sql_db.db_connect(self.env.cr.dbname).cursor() as other:
            other.execute("SELECT pg_advisory_xact_lock(hashtext('queue_job_minute'))")
            self.assertFalse(throughput.add_up(self.env, NOW, budget=2))
            self.assertTrue(throughput.add_up(self.env, NOW, budget=20))
        self.assertFalse(self.tally.search([]))

    def test_functions_and_series_count_the_same_jobs(self):
        """Also those that ended just now, which no hour holds yet."""
        self.done(2, NOW - timedelta(minutes=10))
        throughput.add_up(self.env, NOW)
        self.done(3, NOW - timedelta(seconds=1))
        self.failed(NOW - timedelta(seconds=2))
        (row,) = throughput.functions(self.env, NOW)
        done, failed = (sum(side) for side in zip(*self.series(1440, 15), strict=True))
        self.assertEqual((row["done"], row["failed"]), (5, 1))
        self.assertEqual((done, failed), (5, 1))

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
