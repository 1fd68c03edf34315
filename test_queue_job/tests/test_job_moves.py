# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import os
from datetime import datetime, timedelta
from unittest import mock

from freezegun import freeze_time

from odoo.tests import tagged

from odoo.addons.queue_job.job import Job

from .common import JobCase

NOW = datetime(2026, 3, 4, 5, 6, 7)


@tagged("post_install", "-at_install")
class TestMoves(JobCase):
    @freeze_time(NOW)
    def test_set_enqueued(self):
        job = Job(self.record.testing_method)
        job.worker_pid = 5
        job.date_started = NOW
        job.set_enqueued()
        self.assertEqual((job.state, job.date_enqueued), ("enqueued", NOW))
        self.assertIsNone(job.date_started)
        self.assertIsNone(job.worker_pid)

    @freeze_time(NOW)
    def test_set_started(self):
        job = self.make_job()
        with mock.patch("os.getpid", return_value=99999):
            job.set_started()
        self.assertEqual((job.state, job.date_started), ("started", NOW))
        self.assertEqual(job.worker_pid, 99999)
        lock = self.env["queue.job.lock"].search(
            [("queue_job_id", "=", job.db_record().id)]
        )
        self.assertEqual(lock.id, job.db_record().id)
        self.assertNotEqual(os.getpid(), 99999)

    @freeze_time(NOW)
    def test_set_done(self):
        job = self.make_job()
        job.set_failed(exc_info="info", exc_name="name", exc_message="message")
        job.date_started = NOW - timedelta(seconds=90)
        job.set_done(result="the result")
        self.assertEqual(
            (job.state, job.date_done, job.result), ("done", NOW, "the result")
        )
        self.assertEqual((job.exc_name, job.exc_info), (None, None))
        self.assertEqual(job.exc_message, "message")
        self.assertEqual(job.exec_time, 90.0)
        job.set_done()
        self.assertEqual(job.result, "the result")

    @freeze_time(NOW)
    def test_set_cancelled(self):
        job = self.make_job()
        job.set_cancelled(result="not needed")
        self.assertEqual(
            (job.state, job.date_cancelled, job.result),
            ("cancelled", NOW, "not needed"),
        )

    def test_set_failed(self):
        job = self.make_job()
        job.set_failed(exc_info="info", exc_name="name")
        job.set_failed(exc_info=None, exc_message="message")
        self.assertEqual(
            (job.state, job.exc_info, job.exc_name, job.exc_message),
            ("failed", "info", "name", "message"),
        )

    def test_set_pending(self):
        job = self.make_job(eta=datetime(2030, 1, 1))
        job.set_started()
        job.set_failed(exc_info="info")
        job.date_done = job.date_cancelled = job.date_enqueued = NOW
        job.retry = 3
        job.set_pending(result="again", reset_retry=False)
        self.assertEqual((job.state, job.retry, job.result), ("pending", 3, "again"))
        for name in (
            "date_enqueued",
            "date_started",
            "date_done",
            "date_cancelled",
            "worker_pid",
        ):
            self.assertFalse(getattr(job, name), name)
        self.assertEqual((job.eta, job.exc_info), (datetime(2030, 1, 1), "info"))
        job.set_pending()
        self.assertEqual((job.retry, job.result), (0, "again"))

    @freeze_time(NOW)
    def test_postpone(self):
        job = self.make_job()
        job.set_failed(exc_name="name", exc_info="info")
        job.postpone(result="later", seconds=30)
        self.assertEqual(job.eta, NOW + timedelta(seconds=30))
        self.assertEqual(
            (job.result, job.exc_name, job.exc_info), ("later", None, None)
        )
        job.postpone()
        self.assertEqual(job.eta, NOW + timedelta(seconds=600))
        self.assertEqual(job.result, "later")

    def test_on_fail_calls_the_hook(self):
        job = Job(self.record.with_fail_hook, args=("name",))
        self.assertEqual(job.on_fail_method_name, "fail_hook")
        job.on_fail({"exc_name": "E", "exc_message": "m", "exc_info": "i"})
        self.assertEqual(self.record.name, "E: m")

    def test_on_fail_without_hook_does_nothing(self):
        job = Job(self.record.testing_method)
        self.assertFalse(job.on_fail_method_name)
        job.on_fail({"exc_name": "E"})

    def test_lock_record_is_added_once(self):
        job = self.make_job()
        job.add_lock_record()
        job.add_lock_record()
        locks = self.env["queue.job.lock"].search(
            [("queue_job_id", "=", job.db_record().id)]
        )
        self.assertEqual(locks.ids, job.db_record().ids)

    def test_lock_needs_a_started_job(self):
        job = self.make_job()
        job.add_lock_record()
        self.assertFalse(job.lock())
        job.set_started()
        job.store()
        self.assertTrue(job.lock())

    def test_lock_of_a_job_that_is_not_stored(self):
        self.assertFalse(Job(self.record.testing_method).lock())
