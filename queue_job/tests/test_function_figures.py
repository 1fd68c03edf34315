# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The page of a job function: its figures are those that SQL finds."""

from datetime import datetime, timedelta

from odoo.tests import tagged

from ..insight import throughput
from .overview_case import OverviewCase

NAME = "<res.partner>.create_company"


@tagged("post_install", "-at_install")
class TestFunctionFigures(OverviewCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env.cr.execute("DELETE FROM queue_job")
        cls.env.cr.execute("DELETE FROM queue_job_hour")
        cls.env.cr.execute("DELETE FROM queue_job_minute")
        functions = cls.env["queue.job.function"]
        functions.search([("name", "=", NAME)]).unlink()
        cls.function = functions.create(
            {
                "model_id": cls.env["ir.model"]._get_id("res.partner"),
                "method": "create_company",
                "channel_id": cls.sub.id,
                "edit_retry_pattern": "{1: 60, 5: 600, 9: (60, 120)}",
            }
        )

    def durations(self, count):
        """Make jobs that took 1 to ``count`` hundredths of a second."""
        now = datetime.now()
        (job,) = self.done(1, now - timedelta(minutes=10), 0.01)
        self.env.cr.execute(
            """
            INSERT INTO queue_job (uuid, state, channel, channel_method_name, exec_time,
                date_created, date_done, company_id)
            SELECT 'figures-' || n, 'done', channel, channel_method_name, n / 100.0,
                date_created, date_done, company_id
            FROM queue_job, generate_series(2, %s) AS n WHERE queue_job.id = %s
            """,
            (count, job.id),
        )
        return job

    def test_equal_sql_on_ten_thousand(self):
        job = self.durations(10_000)
        self.make(3)
        self.make(1, eta=datetime.now() + timedelta(hours=1))
        figures = self.function.figures
        self.env.cr.execute(
            """
            SELECT count(*), avg(exec_time), max(exec_time),
                percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY exec_time)
            FROM queue_job WHERE state = 'done' AND channel_method_name = %s
            """,
            (NAME,),
        )
        count, mean, longest, percentiles = self.env.cr.fetchone()
        self.assertEqual((figures["count"], count), (10_000, 10_000))
        self.assertAlmostEqual(figures["mean"], float(mean))
        self.assertAlmostEqual(figures["longest"], float(longest))
        self.assertEqual(figures["percentiles"], percentiles)
        self.assertEqual(figures["waiting"], 4)
        # Below 0.01, 0.1, 0.5, 1, 5, 10, 60 and 300 seconds, and above.
        self.assertEqual(
            figures["histogram"], [0, 9, 40, 50, 400, 500, 5000, 4001, 0, 0]
        )
        self.assertIn("95 %", job.usual_text)
        self.assertIn("95.00", job.usual_text)

    def test_other_functions_do_not_count(self):
        self.durations(5)
        self.env.cr.execute(
            "UPDATE queue_job SET channel_method_name = '<x>.y' WHERE exec_time > 0.03"
        )
        self.assertEqual(self.function.figures["count"], 3)

    def test_hours_and_the_day(self):
        now = datetime.now()
        self.done(2, now - timedelta(minutes=1), 2.0)
        self.done(1, now - timedelta(hours=5), 8.0)
        self.failed(now - timedelta(minutes=1))
        throughput.add_up(self.env)
        self.env.invalidate_all()
        hours = self.function.figures["hours"]
        self.assertEqual(len(hours), 24)
        self.assertEqual([sum(side) for side in zip(*hours, strict=True)], [3, 1])
        self.assertEqual((self.function.done_count, self.function.failed_count), (3, 1))
        self.assertAlmostEqual(self.function.mean, 4)
        self.assertAlmostEqual(self.function.longest, 8)

    def test_retry_rule_in_words(self):
        self.assertEqual(
            self.function.retry_text,
            "60 seconds, from try 5 on 10 minutes, from try 9 on 60 seconds to 2 minutes; "
            "5 attempts, unless a caller asks for another number",
        )
        self.function.edit_retry_pattern = "{}"
        self.assertIn("10 minutes; 5 attempts", self.function.retry_text)

    def test_jobs_and_failures(self):
        job = self.make(1)
        domain = self.function.action_open_jobs()["domain"]
        self.assertEqual(self.jobs.search(domain), job)
        failure = self.make(1, state="failed")
        domain = self.function.action_open_failures()["domain"]
        groups = self.env["queue.job.failure"].search(domain)
        self.assertEqual(groups.last_job_id, failure)
