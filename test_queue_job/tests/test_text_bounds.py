# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Long texts of jobs are stored in full once at most."""

from odoo.tests import tagged

from odoo.addons.queue_job.store import attempts, rows
from odoo.addons.queue_job.utils import SHORT_TEXT, storable_text
from odoo.addons.queue_job.worker import outcome
from odoo.addons.queue_job.worker.lease import Lease

from .common import JobCase

LONG = "begin " + "x" * 1_000_000 + " end"


@tagged("post_install", "-at_install")
class TestTextBounds(JobCase):
    def assert_cut(self, text, limit=SHORT_TEXT):
        self.assertEqual(len(text), limit)
        self.assertTrue(text.startswith("begin "))
        self.assertIn("…", text)
        self.assertTrue(text.endswith(" end"))

    def test_short_texts_stay(self):
        for text in ("", "short", "x" * 10):
            self.assertEqual(storable_text(text, 10), text)
        self.assertEqual(storable_text("0123456789abc", 8), "01234…bc")

    def test_message_of_a_failure(self):
        """A message of 50 MB was stored five times, and read by the form."""
        job = self.make_job()
        job.set_failed(exc_name=LONG, exc_message=LONG, exc_info=LONG)
        job.store()
        row = self.row(job)
        self.assert_cut(row.exc_name)
        self.assert_cut(row.exc_message)
        self.assertEqual(row.exc_info, LONG)
        tracked = self.env["mail.tracking.value"].search(
            [("mail_message_id", "in", row.message_ids.ids)]
        )
        for value in tracked:
            self.assertLessEqual(len(value.new_value_char or ""), SHORT_TEXT)

    def test_failure_recorded_by_sql(self):
        job = self.make_job()
        job.set_started()
        job.store()
        values = {"exc_name": "E", "exc_message": LONG, "exc_info": LONG}
        Lease(job).commits = False
        self.env.flush_all()
        outcome._record_failure_plainly(job, values)
        row = self.row(job)
        self.assertEqual((row.state, row.exc_info), ("failed", LONG))
        self.assert_cut(row.exc_message)

    def test_attempt(self):
        job = self.make_job()
        row = self.row(job)
        attempts.keep(
            row, "failed", 1, {"exc_name": LONG, "exc_message": LONG, "exc_info": LONG}
        )
        attempt = row.attempt_ids
        self.assert_cut(attempt.exc_name)
        self.assert_cut(attempt.exc_message)
        self.assert_cut(attempt.exc_info, 4 * SHORT_TEXT)

    def test_description(self):
        job = self.record.with_delay(description=LONG).testing_method()
        self.assert_cut(self.row(job).name)

    def test_text_that_was_cut_is_not_written_again(self):
        job = self.make_job()
        job.set_failed(exc_message=LONG)
        job.store()
        self.assertNotIn("exc_message", rows.changed_values(job, self.row(job)))

    def test_message_that_is_no_text(self):
        job = self.make_job()
        job.set_failed(exc_message={"a": LONG})
        job.store()
        self.assertEqual(len(self.row(job).exc_message), SHORT_TEXT)
