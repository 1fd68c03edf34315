# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mistakes of callers, each with an error that names the remedy."""

import copy
import functools
import gc
import timeit
from unittest import mock

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.delay import Delayable, chain, group
from odoo.addons.queue_job.fields import NotStorableError
from odoo.addons.queue_job.job import Job, identity_exact
from odoo.addons.queue_job.options import check_call

from ..models.test_queue_job import TestQueueJob
from .common import JobCase
from .test_delayables import DELAY_LOGGER, used_up


@tagged("post_install", "-at_install")
class TestMistakes(JobCase):
    def setUp(self):
        super().setUp()
        # The delayables of calls that are refused.
        self.enterContext(mute_logger(DELAY_LOGGER))
        self.addCleanup(gc.collect)

    def delayable(self):
        return self.record.delayable().testing_method()

    def test_unsaved_record(self):
        unsaved = self.model.new({"name": "unsaved"})
        for delay in (
            lambda: unsaved.with_delay().testing_method(),
            lambda: self.record.with_delay().testing_method(unsaved),
            lambda: self.record.with_delay().testing_method(k=[{"a": unsaved}]),
        ):
            with self.assertRaisesRegex(NotStorableError, "save the record first"):
                delay()
        self.assert_nothing_stored()

    def test_arguments_without_end(self):
        deep = []
        for _level in range(900):
            deep = [deep]
        cyclic = []
        cyclic.append(cyclic)
        for value in (deep, cyclic):
            for key in (None, identity_exact):
                with self.assertRaisesRegex(
                    NotStorableError, "positional argument 1 .*nested too deeply"
                ):
                    self.record.with_delay(identity_key=key).testing_method(value)
            with self.assertRaisesRegex(NotStorableError, "argument 'k' "):
                self.record.with_delay().testing_method(k=value)
        self.assert_nothing_stored()

    def test_stored_job_in_a_graph(self):
        job = self.record.with_delay().testing_method()
        for build in (group, chain, self.delayable().on_done):
            with self.assertRaisesRegex(TypeError, "stored already: use delayable()"):
                build(job)

    def test_what_is_no_delayable_in_a_graph(self):
        for maker, name in (
            (group, "group"),
            (chain, "chain"),
            (self.delayable().on_done, "on_done"),
            (group(self.delayable()).on_done, "on_done"),
        ):
            for value in (
                [self.delayable()],
                (self.delayable() for _once in range(1)),
                self.record,
                None,
                True,
                "text",
                self.job_model,
            ):
                with (
                    self.subTest(name, value=value),
                    self.assertRaisesRegex(TypeError, rf"^{name}\(\) takes delayables"),
                ):
                    maker(self.delayable(), value)

    def test_method_that_was_not_called_in_a_graph(self):
        with self.assertRaisesRegex(TypeError, "call the method"):
            group(self.record.delayable().testing_method)

    def test_with_delay_in_a_graph(self):
        with self.assertRaisesRegex(TypeError, "instead of with_delay"):
            chain(self.record.with_delay())

    def test_methods_of_delayables_on_with_delay(self):
        for name, args in (
            ("set", ({"priority": 1},)),
            ("split", (2,)),
            ("on_done", ()),
            ("delay", ()),
        ):
            with (
                self.subTest(name),
                self.assertRaisesRegex(ValueError, f"{name} is of delayables"),
            ):
                getattr(self.record.with_delay(), name)(*args)

    def test_only_a_call_states_the_method(self):
        """A debugger that looked for ``read`` made the job read."""
        delayable = self.delayable()
        for name in ("read", "write", "_order", "no_such"):
            hasattr(delayable, name)
        self.assertEqual(delayable._job_method, self.record.testing_method)
        delayable.delay()
        self.assertEqual(
            self.row(delayable._generated_job).method_name, "testing_method"
        )

    def test_attribute_kept_is_called_later(self):
        delayable = self.record.delayable()
        call, other = delayable.return_value, delayable.testing_method
        self.assertIs(call(5), delayable)
        self.assertEqual(delayable._job_method_name, "return_value")
        other()
        self.assertEqual(delayable._job_method_name, "testing_method")
        used_up(delayable)

    def test_dunder_names_are_no_methods(self):
        for target in (used_up(self.record.delayable()), self.record.with_delay()):
            for name in (
                "__iter__",
                "__len__",
                "__html__",
                "__deepcopy__",
                "__array__",
            ):
                self.assertFalse(hasattr(target, name), name)
        used_up(target.delayable)

    def test_copy_of_a_delayable_is_no_call(self):
        delayable = self.delayable()
        self.assertEqual(copy.copy(delayable)._job_method_name, "testing_method")
        delayable.delay()


def two(records, a, b=1):
    return a, b


def keyword_only(records, *, a, b=1):
    return a, b


def everything(records, a, /, b, *args, c, **kwargs):
    return a, b


def anything(records, **kwargs):
    return kwargs


@tagged("post_install", "-at_install")
class TestSignatures(JobCase):
    def add_method(self, method):
        TestQueueJob.added_method = method
        self.addCleanup(delattr, TestQueueJob, "added_method")

    def setUp(self):
        super().setUp()
        self.enterContext(mute_logger(DELAY_LOGGER))

    def test_arguments_are_checked_in_the_caller(self):
        """Their jobs failed in a worker, with nothing of the caller in the traceback."""
        for method, args, kwargs, fits in (
            (two, (1,), {}, True),
            (two, (1, 2), {}, True),
            (two, (), {"a": 1}, True),
            (two, (1,), {"b": 2}, True),
            (two, (), {}, False),
            (two, (1, 2, 3), {}, False),
            (two, (1,), {"a": 1}, False),
            (two, (1,), {"c": 1}, False),
            (two, (), {"b": 1}, False),
            (keyword_only, (), {"a": 1}, True),
            (keyword_only, (), {}, False),
            (keyword_only, (), {"b": 1}, False),
            (keyword_only, (1,), {}, False),
            (everything, (1, 2, 3), {"c": 1, "d": 2}, True),
            (everything, (1,), {"b": 1, "c": 1, "a": 2}, True),
            (everything, (1, 2), {}, False),
            (everything, (), {"a": 1, "b": 2, "c": 3}, False),
            (anything, (), {"a": 1}, True),
            (anything, (), {"records": 1}, False),
            (anything, (1,), {}, False),
        ):
            with self.subTest(method.__name__, args=args, kwargs=kwargs):
                self.add_method(method)
                delayable = used_up(self.record.delayable())
                for call in (
                    delayable.added_method,
                    self.record.with_delay().added_method,
                ):
                    if fits:
                        call(*args, **kwargs)
                        continue
                    with self.assertRaisesRegex(TypeError, method.__name__):
                        call(*args, **kwargs)
                    with self.assertRaises(TypeError):
                        method(self.record, *args, **kwargs)
                self.doCleanups()
                self.enterContext(mute_logger(DELAY_LOGGER))

    def test_keyword_named_self(self):
        def noop(self, **kwargs):
            return kwargs

        self.add_method(noop)
        with self.assertRaisesRegex(TypeError, "noop.*self"):
            self.record.with_delay().added_method(**{"self": 1})

        def lenient(records, **kwargs):
            return kwargs

        TestQueueJob.added_method = lenient
        job = self.record.with_delay().added_method(
            **{"self": 1, "name": 2, "method": 3}
        )
        self.assertEqual(self.row(job).kwargs, {"self": 1, "name": 2, "method": 3})

    def test_constructor_of_a_job_does_not_ask(self):
        self.add_method(two)
        Job(self.record.added_method, args=(1, 2, 3, 4))

    def test_decorated_methods_and_mocks_take_everything(self):
        @functools.wraps(two)
        def wrapper(*args, **kwargs):
            return two(*args[:2])

        self.add_method(wrapper)
        job = self.record.with_delay().added_method(1, 2, 3)
        self.assertEqual(list(self.row(job).args), [1, 2, 3])
        used_up(Delayable(mock.MagicMock()).export(1, 2, k=3))

    def test_check_takes_no_time(self):
        """Below 5 µs; three times that here, because other processes run too."""
        method = self.record.write_name
        seconds = min(
            timeit.repeat(lambda: check_call(method, ("x",), {}), number=1000, repeat=9)
        )
        self.assertLess(seconds / 1000, 15e-6)


@tagged("post_install", "-at_install")
class TestGraphNeverDelayed(JobCase):
    def setUp(self):
        super().setUp()
        gc.collect()  # what other tests left is none of ours

    def made(self, number):
        return self.record.delayable().testing_method(f"number {number}")

    def warnings_of(self, build):
        with self.assertLogs(DELAY_LOGGER, level="WARNING") as log:
            build()
            gc.collect()
        return log.output

    def test_one_warning_names_the_first_delayable_and_the_place(self):
        """A chain of a hundred gave a hundred warnings, none with a place."""
        for build in (
            lambda: chain(*map(self.made, range(20))),
            lambda: group(*map(self.made, range(20))),
            lambda: chain(group(*map(self.made, range(5))), self.made(9)),
            lambda: self.made(0).on_done(chain(self.made(1), self.made(2))),
            lambda: chain(group(), self.made(0), chain()).on_done(self.made(1)),
            lambda: chain().on_done(self.made(0), self.made(1)),
            lambda: chain(self.made(0), group(self.made(1), chain(self.made(2)))),
        ):
            [text] = self.warnings_of(build)
            self.assertIn("testing_method(('number 0',), {})", text)
            self.assertIn("was prepared but never delayed", text)
            self.assertRegex(text, r"test_mistakes\.py:\d+")

    def test_place_is_for_those_who_develop(self):
        config = {"dev_mode": [], "test_enable": False}
        with mock.patch("odoo.addons.queue_job.delay.config", config):
            [text] = self.warnings_of(lambda: chain(self.made(0), self.made(1)))
        self.assertNotIn(".py", text)

    def test_each_graph_has_its_warning(self):
        def build():
            chain(self.made(0), self.made(1))
            group(self.made(2), self.made(3))

        self.assertEqual(len(self.warnings_of(build)), 2)

    def test_group_that_grows_in_a_loop(self):
        def build():
            grown = group(self.made(0))
            for number in range(1, 3000):
                grown = group(grown, self.made(number))

        self.assertEqual(len(self.warnings_of(build)), 1)

    def test_delayed_graph_is_silent(self):
        with self.assertNoLogs(DELAY_LOGGER, level="WARNING"):
            chain(self.made(0), group(self.made(1), self.made(2))).delay()
            gc.collect()

    def test_part_that_was_left_out_is_named(self):
        def build():
            above, below = self.made(0), self.made(1)
            above.on_done(below)
            below.delay()

        [text] = self.warnings_of(build)
        self.assertIn("number 0", text)
