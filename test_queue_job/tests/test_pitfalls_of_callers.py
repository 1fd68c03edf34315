# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Known failures of the field's software, seen by who delays jobs; see ``test_pitfalls``."""

from datetime import datetime, timedelta, timezone

from odoo.tests import tagged

from odoo.addons.queue_job.delay import chain, group
from odoo.addons.queue_job.job import Job

from .common import JobCase


@tagged("post_install", "-at_install")
class TestPitfallsOfCallers(JobCase):
    def delayable(self, **properties):
        return self.record.delayable(**properties).testing_method()

    def test_b20_every_job_of_a_refused_graph_is_an_existing_one(self):
        def pair():
            delayables = [
                self.delayable(identity_key=f"b20 {number}") for number in range(2)
            ]
            group(*delayables).delay()
            return [delayable._generated_job for delayable in delayables]

        first, second = pair(), pair()
        self.assertEqual([job.uuid for job in first], [job.uuid for job in second])
        self.assertTrue(all(job.db_record() for job in second))

    def test_b21_twin_is_a_job(self):
        self.record.with_delay(identity_key="b21").testing_method()
        job = self.record.with_delay(identity_key="b21").testing_method()
        self.assertIsInstance(job, Job)
        self.assertEqual(job.db_record().identity_key, "b21")

    def test_b22_split_of_nothing_does_nothing(self):
        for chained in (False, True):
            with self.subTest(chain=chained):
                before = self.job_model.search_count([])
                self.model.browse().delayable().testing_method().split(
                    10, chain=chained
                ).delay()
                self.assertEqual(self.job_model.search_count([]), before)

    def test_b23_parts_have_distinct_keys(self):
        records = self.model.create([{"name": str(number)} for number in range(4)])
        parts = records.delayable(identity_key="b23").testing_method().split(1)
        parts.delay()
        keys = [part._generated_job.identity_key for part in parts._delayables]
        self.assertEqual(len(set(keys)), 4)

    def age(self, row, days):
        """Let everything about a job be that old."""
        moment = datetime.now() - timedelta(days=days)
        self.env.flush_all()
        self.env.cr.execute(
            """
            UPDATE queue_job
            SET date_created = %(moment)s, date_enqueued = %(moment)s, date_started = %(moment)s
            WHERE id = %(id)s
            """,
            {"moment": moment, "id": row.id},
        )
        self.env.invalidate_all()

    def failed_row(self):
        job = self.make_job()
        job.set_failed(
            exc_name="ValueError", exc_message="the reason", exc_info="the traceback"
        )
        job.store()
        return self.row(job)

    def test_b24_cancelled_and_done_jobs_keep_why_they_failed(self):
        row = self.failed_row()
        row.button_cancelled()
        self.assertEqual(
            (row.exc_name, row.exc_message, row.exc_info),
            ("ValueError", "the reason", "the traceback"),
        )
        row = self.failed_row()
        row.button_done()
        self.assertEqual(row.exc_message, "the reason")

    def test_b25_child_of_a_cancelled_parent_does_not_wait_for_ever(self):
        a, b = self.delayable(), self.delayable()
        chain(a, b).delay()
        self.row(a._generated_job).button_cancelled()
        child = self.row(b._generated_job)
        self.assertEqual(child.state, "cancelled")
        child.requeue()
        self.assertEqual(self.row(b._generated_job).state, "pending")

    def test_b26_eta_with_a_timezone_is_stored_as_utc(self):
        eta = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
        job = self.record.with_delay(eta=eta).testing_method()
        self.assertEqual(self.row(job).eta, datetime(2030, 1, 1, 10))

    def test_b26_eta_as_seconds_with_a_fraction(self):
        before = datetime.now()
        eta = self.row(self.record.with_delay(eta=90.5).testing_method()).eta
        self.assertAlmostEqual(
            eta, before + timedelta(seconds=90.5), delta=timedelta(seconds=30)
        )

    def test_b27_failed_jobs_are_kept_by_default(self):
        row = self.failed_row()
        self.age(row, days=5 * 365)
        self.job_model._gc_old_jobs()
        self.assertTrue(row.exists())

    def test_b27_failed_jobs_go_after_the_interval_of_their_channel(self):
        channel = self.env.ref("queue_job.channel_root")
        channel.removal_interval_failed = 10
        old, young = self.failed_row(), self.failed_row()
        self.age(old, days=11)
        self.age(young, days=9)
        self.job_model._gc_old_jobs()
        self.assertFalse(old.exists())
        self.assertTrue(young.exists())

    def test_b37_message_can_tell_the_exception(self):
        seen = []

        def message(record):
            seen.append((record.exc_name, record.exc_message, record.exc_info))

        self.patch(type(self.job_model), "_message_failed_job", message)
        self.failed_row()
        self.assertEqual(seen, [("ValueError", "the reason", "the traceback")])

    def test_b38_manager_with_the_company_allowed_follows(self):
        company = self.env["res.company"].create({"name": "of the job"})
        manager = self.make_user(
            "b38_manager",
            "base.group_user,queue_job.group_queue_job_manager",
            company_id=self.env.company.id,
            company_ids=[(6, 0, (self.env.company | company).ids)],
        )
        job = Job(self.record.with_company(company).testing_method)
        job.store()
        job.set_failed(exc_name="E")
        job.store()
        row = self.row(job)
        self.assertEqual(row.company_id, company)
        self.assertIn(manager.partner_id, row.message_partner_ids)
