# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Labels of job functions: the first sentence of the docstring, where there is one."""

from unittest import mock

from odoo.tests import TransactionCase, tagged

from ..insight.labels import LONGEST, label_of


@tagged("post_install", "-at_install")
class TestLabels(TransactionCase):
    def test_first_sentence_of_the_docstring(self):
        self.assertEqual(
            label_of(self.env, "<queue.job>._test_job"),
            "Do nothing, for a while, or fail, as the arguments ask for",
        )

    def test_of_the_class_that_has_one(self):
        """An override without docstring does not hide what it overrides."""

        def _test_job(self):
            pass

        with mock.patch.object(self.env.registry["queue.job"], "_test_job", _test_job):
            self.assertTrue(label_of(self.env, "<queue.job>._test_job"))

    def test_long_and_wrapped(self):
        def _test_job(self):
            """Export all that
            was changed. Then more.

            Details.
            """

        with mock.patch.object(self.env.registry["queue.job"], "_test_job", _test_job):
            label = label_of(self.env, "<queue.job>._test_job")
            self.assertEqual(label, "Export all that was changed")
            _test_job.__doc__ = "word " * 99
            label = label_of(self.env, "<queue.job>._test_job")
            self.assertLessEqual(len(label), LONGEST)

    def test_without(self):
        for name in ("<gone.model>.x", "<res.partner>.no_such", "noop", "", None):
            with self.subTest(name):
                self.assertEqual(label_of(self.env, name), "")
