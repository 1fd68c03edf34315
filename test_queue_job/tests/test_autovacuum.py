# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import datetime, timedelta

from odoo.exceptions import UserError
from odoo.tests import tagged
from odoo.tools import mute_logger

from .common import JobCase

VACUUM_LOGGER = "odoo.addons.queue_job.store.vacuum"


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

    def test_interval_of_the_channel_however_it_is_spelled(self):
        """B15: a job whose channel is written without ``root.`` went by root's interval."""
        self.env.ref("queue_job.channel_root").removal_interval = 5
        self.env.ref("test_queue_job.channel_sub").removal_interval = 60
        kept = self.done_job(31)
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE queue_job SET channel = 'sub' WHERE id = %s", [kept.id]
        )
        self.env.invalidate_all()
        removed = self.done_job(6, channel="root.unknown")
        self.assertEqual(self.vacuum(), (1, False))
        self.assertTrue(kept.exists())
        self.assertFalse(removed.exists())

    def protect(self, jobs):
        """Let a third party's records need jobs."""
        self.env.flush_all()
        self.env.cr.execute(
            "CREATE TABLE qj_protector (job_id int REFERENCES queue_job ON DELETE RESTRICT);"
            "INSERT INTO qj_protector SELECT unnest(%s)",
            [jobs.ids],
        )

    def test_protected_jobs_do_not_keep_the_others(self):
        """B15: one old job that a third party's record protects kept all of them."""
        oldest, other = self.done_job(40), self.done_job(35)
        free = self.done_job(38) | self.done_job(36) | self.done_job(34)
        self.protect(oldest | other)
        with self.assertLogs(VACUUM_LOGGER, "WARNING") as logs:
            self.assertEqual(self.vacuum(), (3, False))
        self.assertFalse(free.exists())
        self.assertEqual((oldest | other).exists(), oldest | other)
        self.assertIn(oldest.uuid, logs.output[0])
        self.assertIn(other.uuid, logs.output[0])

    def test_protected_jobs_do_not_fill_the_batch(self):
        protected = self.done_job(40) | self.done_job(41) | self.done_job(42)
        free = self.done_job(38) | self.done_job(37)
        self.protect(protected)
        with mute_logger(VACUUM_LOGGER):
            self.assertEqual(self.job_model._gc_old_jobs(limit=1), (1, True))
            self.assertEqual(self.job_model._gc_old_jobs(limit=1), (1, False))
        self.assertFalse(free.exists())
        self.assertEqual(len(protected.exists()), 3)

    def test_jobs_that_code_protects_are_passed_over(self):
        kept, removed = self.done_job(40), self.done_job(39)
        unlink = type(self.job_model).unlink

        def protecting(jobs):
            if kept in jobs:
                raise UserError(jobs.env._("needed"))
            return unlink(jobs)

        self.patch(type(self.job_model), "unlink", protecting)
        with mute_logger(VACUUM_LOGGER):
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
