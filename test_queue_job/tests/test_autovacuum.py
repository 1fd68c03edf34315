# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import datetime, timedelta

from odoo.tests import tagged

from .common import JobCase


@tagged("post_install", "-at_install")
class TestAutovacuum(JobCase):
    def setUp(self):
        super().setUp()
        # What other tests or the data left is not to be counted here.
        self.job_model.search([]).unlink()

    def done_job(self, days, channel="root", **values):
        row = self.row(self.make_job(channel=channel))
        date = datetime.now() - timedelta(days=days)
        row.write({"state": "done", "date_done": date, **values})
        return row

    def vacuum(self):
        self.env.flush_all()
        return self.job_model._gc_old_jobs()

    def test_default_interval(self):
        self.assertEqual(self.job_model._removal_interval, 30)
        self.assertEqual(self.env.ref("queue_job.channel_root").removal_interval, 30)
        old, young = self.done_job(31), self.done_job(29)
        self.assertEqual(self.vacuum(), (1, False))
        self.assertFalse(old.exists())
        self.assertTrue(young.exists())

    def test_cancelled_jobs(self):
        row = self.row(self.make_job())
        row.write(
            {
                "state": "cancelled",
                "date_cancelled": datetime.now() - timedelta(days=31),
            }
        )
        self.assertEqual(self.vacuum(), (1, False))
        self.assertFalse(row.exists())

    def test_unfinished_jobs_stay(self):
        row = self.row(self.make_job())
        self.assertEqual(self.vacuum(), (0, False))
        self.assertTrue(row.exists())

    def test_interval_of_the_channel(self):
        self.env.ref("queue_job.channel_root").removal_interval = 5
        self.env.ref("test_queue_job.channel_sub").removal_interval = 60
        kept, removed = self.done_job(31, channel="root.sub"), self.done_job(6)
        self.assertEqual(self.vacuum(), (1, False))
        self.assertTrue(kept.exists())
        self.assertFalse(removed.exists())

    def test_unknown_and_empty_channels_use_the_root_interval(self):
        unknown, empty = self.done_job(31, channel="root.unknown"), self.done_job(31)
        empty.channel = False
        young = self.done_job(29, channel="root.unknown")
        self.assertEqual(self.vacuum(), (2, False))
        self.assertFalse((unknown | empty).exists())
        self.assertTrue(young.exists())

    def test_interval_for_ever(self):
        """Who types many nines wants to keep the jobs, and the others to go as before."""
        self.env.ref("test_queue_job.channel_sub").write(
            {"removal_interval": 999_999_999, "removal_interval_failed": 999_999_999}
        )
        kept, removed = self.done_job(9000, channel="root.sub"), self.done_job(31)
        self.assertEqual(self.vacuum(), (1, False))
        self.assertTrue(kept.exists())
        self.assertFalse(removed.exists())

    def test_failed_jobs_of_unknown_channels_use_the_root_interval_too(self):
        self.env.ref("queue_job.channel_root").removal_interval_failed = 10
        date = datetime.now() - timedelta(days=11)
        values = {"state": "failed", "date_started": date}
        unknown, empty, known = self.job_model.create(
            [
                {**values, "uuid": "unknown", "channel": "root.unknown"},
                {**values, "uuid": "empty"},
                {**values, "uuid": "known", "channel": "root.sub"},
            ]
        )
        self.assertEqual(self.vacuum(), (2, False))
        self.assertFalse((unknown | empty).exists())
        self.assertTrue(known.exists())

    def test_interval_of_zero_removes_at_once(self):
        self.env.ref("queue_job.channel_root").removal_interval = 0
        self.done_job(0)
        self.assertEqual(self.vacuum(), (1, False))

    def test_oldest_go_first(self):
        jobs = [self.done_job(days) for days in (35, 50, 40)]
        self.env.flush_all()
        self.assertEqual(self.job_model._gc_old_jobs(limit=2), (2, True))
        self.assertEqual([bool(job.exists()) for job in jobs], [True, False, False])

    def test_job_that_waits_is_kept_whatever_its_dates(self):
        """The default of a caller's context once gave a waiting job an end date."""
        rows = [self.row(self.make_job()) for _date in range(2)]
        for row, name in zip(rows, ("date_done", "date_cancelled"), strict=True):
            row[name] = datetime.now() - timedelta(days=31)
        self.assertEqual(self.vacuum(), (0, False))
        self.assertTrue(all(row.exists() for row in rows))

    def test_thousand_at_a_time(self):
        values = {"state": "done", "date_done": datetime.now() - timedelta(days=40)}
        self.job_model.create([{**values, "uuid": f"old {i}"} for i in range(1001)])
        self.assertEqual(self.vacuum(), (1000, True))
        self.assertEqual(self.vacuum(), (1, False))

    def test_vacuum_cron_runs_it(self):
        self.assertTrue(
            getattr(type(self.job_model)._gc_old_jobs, "_autovacuum", False)
        )
