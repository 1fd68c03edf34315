# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The text of a call, by which equal calls are known."""

from odoo.tests import tagged

from odoo.addons.queue_job.job import FUNC_STRING_LENGTH, Job

from .common import JobCase

DIGEST = 64  # hexadecimal digits


@tagged("post_install", "-at_install")
class TestFuncString(JobCase):
    def func_string(self, *args, **kwargs):
        return Job(self.record.return_value, args=args, kwargs=kwargs).func_string

    def test_long_call_is_cut_where_it_is_stored(self):
        """(B17) An argument of 20 MB was stored as text of 76 MB beside itself."""
        job = self.make_job(self.record.return_value, "x" * 1_000_000)
        stored = self.row(job).func_string
        self.assertEqual(len(stored), FUNC_STRING_LENGTH + 1 + DIGEST)
        self.assertEqual(stored, job.func_string)
        self.assertIn("…", stored)

    def test_texts_of_long_calls_are_equal_only_for_equal_calls(self):
        start = "x" * (2 * FUNC_STRING_LENGTH)
        texts = {
            self.func_string(start + end, **kwargs)
            for end in ("", "a", "b", "\ud800", "\x00")
            for kwargs in ({}, {"k": 1}, {"k": start})
            for _twice in range(2)
        }
        self.assertEqual(len(texts), 15)

    def test_call_at_the_bound_is_kept(self):
        rest = len(self.func_string(""))
        text = self.func_string("x" * (FUNC_STRING_LENGTH - rest))
        self.assertEqual(len(text), FUNC_STRING_LENGTH)
        self.assertTrue(text.endswith("x')"))
        longer = self.func_string("x" * (FUNC_STRING_LENGTH - rest + 1))
        self.assertEqual(longer[:FUNC_STRING_LENGTH], text[:-2] + "x'")
