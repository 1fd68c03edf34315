# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The clock of a worker is set while jobs wait and run."""

from datetime import datetime, timedelta

from freezegun import freeze_time

from odoo.tests import tagged

from odoo.addons.queue_job.store import attempts

from .common import JobCase

NOW = datetime(2030, 5, 5, 12)
BACK = NOW - timedelta(hours=1)


@tagged("post_install", "-at_install")
class TestClock(JobCase):
    def test_clock_set_back_makes_no_negative_duration(self):
        """The average of a job function was minus one hour."""
        with freeze_time(NOW):
            job = self.make_job()
            job.set_started()
            job.store()
        row = self.row(job)
        with freeze_time(BACK):
            self.assertEqual(row.ran, 0)
            self.assertEqual(row.waited, 0)
            job.set_done()
            job.store()
        row = self.row(job)
        self.assertEqual((row.exec_time, row.ran), (0, 0))

    def test_clock_set_back_after_a_failure(self):
        # The end of an attempt is that of the database's clock.
        with freeze_time(datetime.now() + timedelta(hours=1)):
            job = self.make_job()
            job.set_started()
            job.store()
        attempts.keep(self.row(job), "failed", 1, {"exc_name": "E"})
        self.assertEqual(self.row(job).attempt_ids.seconds, 0)
