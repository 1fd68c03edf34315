# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whatever a job returns or raises, it is kept as text."""

import sys
from unittest import mock

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.exception import RetryableJobError

from .common import CONTROLLER_LOGGER, Unheard
from .test_runs import RunCase


class Refusing:
    """As an array of numpy, whose truth cannot be told; it refuses more."""

    def __init__(self, error=ValueError):
        self.error = error

    def __bool__(self):
        raise self.error("ambiguous")

    def __len__(self):
        raise self.error("no length")

    def __eq__(self, other):
        raise self.error("ambiguous too")

    __hash__ = None

    def __str__(self):
        return "an array"


class Textless(Refusing):
    def __str__(self):
        raise self.error("no text")

    __repr__ = __str__


RETURNED = (
    (Refusing, "an array"),
    (Textless, "Textless without a text: ValueError"),
    (lambda: Textless(SystemExit), "Textless without a text: WorkerExitError"),
    (lambda: 0, False),
    (lambda: [], False),
    (lambda: "text", "text"),
    (lambda: b"\x00\xff", "b'\\x00\\xff'"),
)


@tagged("post_install", "-at_install")
class TestResults(RunCase):
    def setUp(self):
        super().setUp()
        self.enterContext(mute_logger(CONTROLLER_LOGGER))

    def test_b14_result_is_kept_as_text(self):
        """A job that returned an array was done, then failed, and nobody was told."""
        for make, text in RETURNED:
            with self.subTest(text):
                uuids = self.delay_many(("return_value", 1), ("without_docstring",))
                with mock.patch.object(
                    self.model_class,
                    "return_value",
                    lambda records, value, make=make: make(),
                ):
                    self.perform(uuids)
                self.assertEqual(self.states(uuids), ["done", "done"])
                self.assertEqual(self.columns(uuids[0], "result"), {"result": text})

    def test_b14_message_of_an_error_is_kept_as_text(self):
        for make, text in RETURNED:
            with self.subTest(text):
                uuids = self.delay_many(("return_value", 1), ("without_docstring",))
                with mock.patch.object(
                    self.model_class,
                    "return_value",
                    mock.Mock(side_effect=RuntimeError(make())),
                ):
                    self.perform(uuids)
                self.assertEqual(self.states(uuids), ["failed", "done"])
                row = self.columns(uuids[0], "exc_message", "exc_name")
                self.assertEqual(row, {"exc_message": text, "exc_name": "RuntimeError"})

    def test_b14_message_of_a_postponement_is_kept_as_text(self):
        uuid = self.delay("return_value", 1)
        with mock.patch.object(
            self.model_class,
            "return_value",
            mock.Mock(side_effect=RetryableJobError(Textless(sys.exit))),
        ):
            self.perform([uuid])
        row = self.columns(uuid, "state", "retry", "result")
        self.assertEqual((row["state"], row["retry"]), ("pending", 1))
        self.assertIn("without a text", row["result"])


@tagged("post_install", "-at_install")
class TestResultsUnheard(Unheard, TestResults):
    """The same where SQL writes the moves."""

    allow_inherited_tests_method = True
