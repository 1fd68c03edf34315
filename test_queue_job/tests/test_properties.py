# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Values of properties: what is accepted, and errors that name the property."""

import asyncio
import functools
import inspect
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from unittest import mock

from odoo.tests import tagged
from odoo.tools.translate import LazyTranslate

from odoo.addons.queue_job.delay import Delayable, DelayableRecordset
from odoo.addons.queue_job.delay_plan import Plan
from odoo.addons.queue_job.job import Job

from ..models.test_queue_job import TestQueueJob
from .common import JobCase

_lt = LazyTranslate("test_queue_job")


class Index:
    """A whole number of a library, as numpy has them."""

    def __index__(self):
        return 5


class Translatable:
    translate = _translate = True


@tagged("post_install", "-at_install")
class TestNumbers(JobCase):
    def stored(self, name, value):
        job = self.record.with_delay(**{name: value}).testing_method()
        return self.row(job)[name]

    def test_what_int_takes_without_loss(self):
        for name in ("priority", "max_retries"):
            for value in ("5", " 5 ", 5.0, Index(), True + 4):
                with self.subTest(name, value=value):
                    self.assertEqual(self.stored(name, value), 5)

    def test_what_loses_or_is_no_number_is_refused_by_name(self):
        for name in ("priority", "max_retries"):
            for value in (5.5, "5.5", "high", "", float("nan"), float("inf"), [5]):
                with (
                    self.subTest(name, value=value),
                    self.assertRaisesRegex(TypeError, f"^{name} of a job must be"),
                ):
                    Job(self.record.testing_method, **{name: value})

    def test_record_is_no_number(self):
        for name in ("priority", "max_retries"):
            with self.assertRaisesRegex(TypeError, name):
                Job(self.record.testing_method, **{name: self.record})

    def test_number_that_no_column_takes_is_refused_before_sql(self):
        """The caller's transaction was lost to NumericValueOutOfRange."""
        for name, value in (
            ("priority", 10**10),
            ("priority", -(10**10)),
            ("priority", "9999999999"),
            ("priority", 1e300),
            ("max_retries", 2**31),
            ("max_retries", -1),
        ):
            with (
                self.subTest(name, value=value),
                self.assertRaisesRegex(ValueError, f"^{name} of a job must be from"),
            ):
                Job(self.record.testing_method, **{name: value})

    def test_bounds_are_stored(self):
        for name, value in (
            ("priority", 2**31 - 1),
            ("priority", -(2**31)),
            ("max_retries", 2**31 - 1),
            ("max_retries", 0),
        ):
            with self.subTest(name, value=value):
                self.assertEqual(self.stored(name, value), value)

    def test_number_set_later_is_checked_when_it_is_stored(self):
        for name, value in (("priority", 10**10), ("max_retries", -(2**40))):
            job = self.make_job()
            setattr(job, name, value)
            with self.assertRaisesRegex(ValueError, name):
                job.store()

    def test_job_of_an_old_row_can_be_stored_whatever_its_number(self):
        job = self.make_job()
        self.row(job).max_retries = -1
        loaded = self.load(job)
        loaded.set_failed(exc_name="E")
        loaded.store()
        self.assertEqual(self.row(job).state, "failed")


@tagged("post_install", "-at_install")
class TestEta(JobCase):
    def test_odd_moments_are_refused_by_name(self):
        aware = datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))
        for value, error in (
            (10**13, ValueError),
            (-(10**13), ValueError),
            (float("nan"), ValueError),
            (float("inf"), ValueError),
            (timedelta.max, ValueError),
            (aware, ValueError),
            ("tomorrow", TypeError),
            ("60", TypeError),
            ([60], TypeError),
            (Decimal(60), TypeError),
            (self.record, TypeError),
        ):
            with (
                self.subTest(value=value),
                self.assertRaisesRegex(error, "^eta of a job must be"),
            ):
                Job(self.record.testing_method, eta=value)

    def test_first_and_last_moments_are_stored(self):
        for value in (
            datetime.min,
            datetime(999, 1, 1),
            datetime.max.replace(microsecond=0),
            date.min,
            date.max,
            "0001-01-01 00:00:00",
            "9999-12-31",
        ):
            with self.subTest(value=value):
                job = self.record.with_delay(eta=value).testing_method()
                self.assertEqual(str(self.row(job).eta)[:10], str(value)[:10])


@tagged("post_install", "-at_install")
class TestTexts(JobCase):
    def test_numbers_are_texts_of_description_and_key(self):
        for value, text in ((12, "12"), (1.5, "1.5"), (0, "0"), ("x", "x")):
            with self.subTest(value=value):
                job = self.record.with_delay(
                    description=value, identity_key=lambda job, value=value: value
                ).testing_method()
                row = self.row(job)
                self.assertEqual((row.name, row.identity_key), (text, text))

    def test_language_that_is_not_installed(self):
        """Making a job raised, whatever its description."""
        record = self.record.with_context(lang="xx_YY")
        for description in (None, "Described", _lt("Described")):
            with self.subTest(type(description)):
                job = Job(record.testing_method, description=description)
                self.assertIn(job.description, ("Described", "Return what was given."))

    def test_lazy_translation_is_translated(self):
        job = Job(self.record.testing_method, description=_lt("Described"))
        self.assertEqual(job.description, "Described")

    def test_record_or_object_is_no_text(self):
        """A record has a method ``_translate``, and its repr became the channel."""
        channel = self.env.ref("queue_job.channel_root")
        for value in (channel, Translatable(), b"root", ["root"], object()):
            for name in ("description", "channel"):
                with (
                    self.subTest(name, value=value),
                    self.assertRaisesRegex(TypeError, f"^{name} of a job must be a"),
                ):
                    Job(self.record.testing_method, **{name: value})
            job = Job(self.record.testing_method, identity_key=lambda job, v=value: v)
            with self.assertRaisesRegex(TypeError, "^identity_key of a job"):
                job.store()

    def test_channel_set_later_is_checked_too(self):
        job = Job(self.record.testing_method)
        with self.assertRaisesRegex(TypeError, "^channel of a job"):
            job.channel = self.env.ref("queue_job.channel_root")
        with self.assertRaisesRegex(TypeError, "^channel of a job"):
            job.channel = 12

    def test_unknown_option_lists_the_known_ones(self):
        known = "priority, eta, max_retries, description, channel, identity_key"
        for entry in (self.record.with_delay, self.record.delayable):
            with self.assertRaisesRegex(
                TypeError, f"{entry.__name__}.*unexpected.*'priorty'.*{known}"
            ):
                entry(priorty=5)


@tagged("post_install", "-at_install")
class TestJobOptions(JobCase):
    """The options travel as one object; callers see the same doors as ever."""

    NAMES = ("priority", "eta", "max_retries", "description", "channel", "identity_key")

    def test_doors_have_the_options_in_order(self):
        for door, place in (
            (self.record.with_delay, ()),
            (self.record.delayable, ()),
            (Delayable, ("recordset",)),
            (DelayableRecordset, ("recordset",)),
        ):
            with self.subTest(door):
                parameters = inspect.signature(door).parameters
                self.assertEqual(tuple(parameters), (*place, *self.NAMES))
                for name in self.NAMES:
                    self.assertIsNone(parameters[name].default)
        self.assertEqual(Delayable._properties, self.NAMES)

    def test_options_by_place_are_those_by_name(self):
        values = (1, 60, 2, "text", "root.a", "key")
        for door in (self.record.delayable, partial(Delayable, self.record)):
            found = door(*values).testing_method()
            self.addCleanup(setattr, found, "_generated_job", True)
            for name, value in zip(self.NAMES, values, strict=True):
                self.assertEqual(getattr(found, name), value)
        with self.assertRaises(TypeError):
            self.record.with_delay(*values, 7)
        with self.assertRaises(TypeError):
            self.record.with_delay(1, priority=1)

    def test_attributes_of_a_delayable_can_be_set(self):
        delayable = self.record.delayable(priority=3).testing_method()
        delayable.priority += 1
        delayable.description = "set"
        delayable.delay()
        row = self.row(delayable._generated_job)
        self.assertEqual((row.priority, row.name), (4, "set"))

    def test_job_alone_needs_no_plan(self):
        with mock.patch.object(Plan, "of", side_effect=AssertionError):
            self.record.with_delay().testing_method()
            self.record.delayable().testing_method().delay()


def generator(records):
    yield records.write({"name": "never"})


async def coroutine(records):
    await asyncio.sleep(0)


async def async_generator(records):
    yield 1


def consuming(function):
    @functools.wraps(function)
    def consume(*args):
        return list(function(*args))

    return consume


@tagged("post_install", "-at_install")
class TestMethodsThatExecuteNothing(JobCase):
    def add_method(self, method):
        TestQueueJob.added_method = method
        self.addCleanup(delattr, TestQueueJob, "added_method")

    def test_are_refused_when_they_are_delayed(self):
        """Their jobs were done, and nothing had been executed."""
        for method in (generator, coroutine, async_generator):
            with self.subTest(method.__name__):
                self.add_method(method)
                for delay in (
                    lambda: self.record.with_delay().added_method(),
                    lambda: self.record.delayable().added_method().delay(),
                    lambda: Job(self.record.added_method),
                ):
                    with self.assertRaisesRegex(TypeError, f"{method.__name__} cannot"):
                        delay()
                self.doCleanups()
        self.assert_nothing_stored()

    def test_decorator_that_consumes_a_generator_is_accepted(self):
        self.add_method(consuming(generator))
        job = self.record.with_delay().added_method()
        self.assertEqual(self.load(job).perform(), [True])
