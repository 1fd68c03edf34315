# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import doctest
import logging
import types
import unittest
from datetime import datetime
from unittest import mock

from odoo.tests import BaseCase, tagged
from odoo.tests.case import TestCase as OdooTestCase

from odoo.addons.queue_job.delay import chain, group
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.job import Job, identity_exact
from odoo.addons.queue_job.tests.common import (
    JobCall,
    JobCounter,
    JobMixin,
    JobsTester,
    JobsTrap,
    OdooDocTestCase,
    load_doctests,
    mock_with_delay,
    trap_jobs,
)

from .common import JobCase

ORDER = ["priority", "max_retries", "eta", "description", "channel", "identity_key"]


@tagged("post_install", "-at_install")
class TestTrap(JobCase):
    def test_jobs_are_built_and_not_stored(self):
        with trap_jobs() as trap:
            job = self.record.with_delay().testing_method(1)
        self.assertIsInstance(job, Job)
        self.assertEqual(trap.enqueued_jobs, [job])
        self.assert_nothing_stored()

    def test_each_way_to_delay_is_trapped(self):
        with trap_jobs() as trap:
            self.record.with_delay().testing_method(1)
            self.record.delayable().testing_method(2).delay()
            chain(*(self.record.delayable().testing_method(n) for n in (3, 4))).delay()
            group(*(self.record.delayable().testing_method(n) for n in (5, 6))).delay()
        self.assertEqual(trap.jobs_count(), 6)
        self.assert_nothing_stored()

    def test_trap_ends_with_the_block(self):
        with trap_jobs() as trap:
            pass
        self.record.with_delay().testing_method()
        self.assertEqual(trap.jobs_count(), 0)
        self.assertEqual(self.job_model.search_count([]), self.stored_before + 1)

    def test_store_works_again_after_the_block(self):
        with trap_jobs():
            job = self.record.with_delay().testing_method()
            job.store()
            self.assert_nothing_stored()
        job.store()
        self.assertTrue(job.db_record())

    def test_graph_is_set_as_usual(self):
        with trap_jobs() as trap:
            a, b = (self.record.delayable().testing_method(n) for n in "ab")
            chain(a, b).delay()
            first, second = trap.enqueued_jobs
        self.assertTrue(first.graph_uuid)
        self.assertEqual(first.graph_uuid, second.graph_uuid)
        self.assertEqual(second.depends_on, {first})
        self.assertEqual((first.state, second.state), ("pending", "wait_dependencies"))

    def test_large_graph_is_set_as_usual(self):
        with trap_jobs() as trap:
            parents = [self.record.delayable().testing_method(n) for n in range(10)]
            children = [self.record.delayable().testing_method(n) for n in range(10)]
            group(*parents).on_done(group(*children)).delay()
            for child in children:
                job = child._generated_job
                self.assertEqual(
                    (len(job.depends_on), job.state), (10, "wait_dependencies")
                )
            trap.assert_jobs_count(20)
        self.assert_nothing_stored()

    def test_calls_count_twins_and_enqueued_jobs_do_not(self):
        with trap_jobs() as trap:
            for _time in range(3):
                self.record.with_delay(identity_key="key").testing_method()
            self.record.with_delay(identity_key=identity_exact).testing_method()
            self.record.with_delay(identity_key=identity_exact).testing_method()
            self.record.with_delay().testing_method()
            self.record.with_delay().testing_method()
        self.assertEqual(len(trap.calls), 7)
        trap.assert_jobs_count(4)

    def test_twin_in_the_database_is_still_found(self):
        twin = self.record.with_delay(identity_key="key").testing_method()
        with trap_jobs():
            job = self.record.with_delay(identity_key="key").testing_method()
        self.assertEqual(job.uuid, twin.uuid)

    def test_context_is_what_a_stored_job_would_have(self):
        record = self.record.with_context(kept_key="kept", lost_key="lost")
        with trap_jobs() as trap:
            job = record.with_delay().return_context()
            trap.perform_enqueued_jobs()
        self.assertEqual(job.result, {"kept_key": "kept", "job_uuid": job.uuid})

    def test_repr_is_that_of_the_calls(self):
        with trap_jobs() as trap:
            self.record.with_delay().testing_method()
        self.assertEqual(repr(trap), repr(trap.calls))

    def test_no_delay_is_recorded_and_run(self):
        with trap_jobs() as trap:
            self.record.with_context(queue_job__no_delay=True).with_delay().write_name(
                "now"
            )
        self.assertEqual(self.record.name, "now")
        trap.assert_jobs_count(1)

    def test_internals_that_other_kits_call(self):
        with trap_jobs() as trap:
            job = self.record.with_delay().testing_method(1)
            self.assertEqual(
                trap._filtered_enqueued_jobs(self.record.testing_method), [job]
            )
            self.assertEqual(
                trap._format_job_call(trap.calls[0]),
                f"<test.queue.job({self.record.id},)>.testing_method(1) with properties "
                "(priority=None, max_retries=None, eta=None, description=None, "
                "channel=None, identity_key=None)",
            )
            job = Job(self.record.with_context(lost=1).testing_method)
            trap._prepare_context(job)
            self.assertNotIn("lost", job.recordset.env.context)
            added = trap._add_job(self.record.testing_method, args=(2,), kwargs={})
            self.assertEqual(trap.enqueued_jobs[-1], added)

    def test_old_name(self):
        self.assertIs(JobsTester, JobsTrap)


@tagged("post_install", "-at_install")
class TestTrapCounts(JobCase):
    def test_count(self):
        other = self.model.create({"name": "other"})
        with trap_jobs() as trap:
            self.record.with_delay().testing_method(1)
            self.record.with_delay().testing_method(2)
            self.record.with_delay().without_docstring()
            other.with_delay().testing_method()
        self.assertEqual(trap.jobs_count(), 4)
        self.assertEqual(trap.jobs_count(only=self.record.testing_method), 2)
        self.assertEqual(trap.jobs_count(only=(self.record | other).testing_method), 0)
        trap.assert_jobs_count(4)
        trap.assert_jobs_count(1, only=other.testing_method)

    def test_message_of_a_wrong_count(self):
        with trap_jobs() as trap:
            self.record.with_delay().testing_method(1)
        with self.assertRaises(AssertionError) as caught:
            trap.assert_jobs_count(2)
        self.assertEqual(str(caught.exception), "1 != 2")
        with self.assertRaises(AssertionError) as caught:
            trap.assert_jobs_count(3, only=self.record.without_docstring)
        self.assertEqual(str(caught.exception), "0 != 3")

    def test_notes_of_a_wrong_count_list_the_jobs(self):
        if not hasattr(AssertionError, "add_note"):
            self.skipTest("exceptions of this Python take no notes")
        with trap_jobs() as trap:
            self.record.with_delay(priority=2).testing_method(1)
        with self.assertRaises(AssertionError) as caught:
            trap.assert_jobs_count(2)
        [note] = caught.exception.__notes__
        self.assertIn(f"<test.queue.job({self.record.id},)>.testing_method(1)", note)
        self.assertIn("priority=2", note)


@tagged("post_install", "-at_install")
class TestTrapAssertions(JobCase):
    def setUp(self):
        super().setUp()
        with trap_jobs() as self.trap:
            self.eta = datetime(2030, 1, 1)
            self.record.with_delay(
                channel="root.test",
                priority=15,
                eta=self.eta,
                identity_key=identity_exact,
            ).testing_method(1, foo=2)
            self.record.with_delay().testing_method()

    def assert_message(self, *lines, **kwargs):
        with self.assertRaises(AssertionError) as caught:
            self.trap.assert_enqueued_job(self.record.testing_method, **kwargs)
        records = f"<test.queue.job({self.record.id},)>"
        first, second, *rest = [line.format(records=records) for line in lines]
        self.assertEqual(
            str(caught.exception),
            "\n".join(
                [
                    f"Job {first} was not enqueued.",
                    second,
                    *(f" * {line}" for line in rest),
                ]
            ),
        )
        return caught.exception

    def test_match(self):
        self.trap.assert_enqueued_job(self.record.testing_method)
        self.trap.assert_enqueued_job(
            self.record.testing_method,
            args=(1,),
            kwargs={"foo": 2},
            properties={
                "channel": "root.test",
                "priority": 15,
                "eta": self.eta,
                "identity_key": identity_exact,
                "description": None,
            },
        )

    def test_properties_not_named_are_not_looked_at(self):
        self.trap.assert_enqueued_job(
            self.record.testing_method,
            args=(1,),
            kwargs={"foo": 2},
            properties={"priority": 15},
        )

    def test_properties_are_those_of_the_caller(self):
        self.trap.assert_enqueued_job(
            self.record.testing_method, properties={"priority": None}
        )
        with self.assertRaises(AssertionError):
            self.trap.assert_enqueued_job(
                self.record.testing_method, properties={"priority": 10}
            )

    def test_mismatches(self):
        other = self.model.create({"name": "other"})
        good = {"args": (1,), "kwargs": {"foo": 2}}
        cases = (
            (other.testing_method, good),
            (self.record.without_docstring, good),
            (self.record.testing_method, {**good, "args": (2,)}),
            (self.record.testing_method, {**good, "args": [1]}),
            (self.record.testing_method, {**good, "kwargs": {}}),
            (self.record.testing_method, {"args": (1,)}),
            (self.record.testing_method, {**good, "properties": {"priority": 16}}),
            (self.record.testing_method, {**good, "properties": {"prioritty": 15}}),
        )
        for method, kwargs in cases:
            with (
                self.subTest(method=method, kwargs=kwargs),
                self.assertRaises(AssertionError),
            ):
                self.trap.assert_enqueued_job(method, **kwargs)

    def test_message(self):
        self.assert_message(
            "{records}.testing_method(2, foo=3) with properties (channel=root.other, priority=1)",
            "Actual enqueued jobs:",
            "{records}.testing_method(1, foo=2) with properties (priority=15, channel=root.test)",
            "{records}.testing_method() with properties (priority=None, channel=None)",
            args=(2,),
            kwargs={"foo": 3},
            properties={"channel": "root.other", "priority": 1},
        )

    def test_message_without_properties(self):
        self.assert_message(
            "{records}.testing_method(2) with properties ()",
            "Actual enqueued jobs:",
            "{records}.testing_method(1, foo=2) with properties ()",
            "{records}.testing_method() with properties ()",
            args=(2,),
        )

    def test_notes_explain_what_the_lists_do_not_show(self):
        if not hasattr(AssertionError, "add_note"):
            self.skipTest("exceptions of this Python take no notes")
        with self.assertRaises(AssertionError) as caught:
            self.trap.assert_enqueued_job(
                self.record.testing_method, args=("1",), kwargs={"foo": 2}
            )
        self.assertIn("('1',)", caught.exception.__notes__[0])
        with self.assertRaises(AssertionError) as caught:
            self.trap.assert_enqueued_job(
                self.record.testing_method, properties={"prio": 1}
            )
        self.assertIn("prio", caught.exception.__notes__[0])


@tagged("post_install", "-at_install")
class TestJobCall(JobCase):
    def test_members(self):
        with trap_jobs() as trap:
            self.record.with_delay(priority=2).testing_method(1, k=2)
        [call] = trap.calls
        self.assertIsInstance(call, JobCall)
        self.assertEqual(JobCall._fields, ("method", "args", "kwargs", "properties"))
        method, args, kwargs, properties = call
        self.assertEqual((args, kwargs), ((1,), {"k": 2}))
        self.assertEqual(method, self.record.testing_method)
        self.assertEqual(list(properties), ORDER)
        self.assertEqual(properties, {**dict.fromkeys(ORDER), "priority": 2})

    def test_equality(self):
        def call(record=self.record, args=(1,), priority=1):
            return JobCall(
                record.testing_method, args, {"k": 2}, {"priority": priority}
            )

        other = self.model.create({"name": "other"})
        self.assertEqual(call(), call())
        self.assertEqual(call(), call(record=self.model.browse(self.record.id)))
        self.assertNotEqual(call(), call(record=other))
        self.assertNotEqual(call(), call(args=(2,)))
        self.assertNotEqual(call(), call(priority=2))


@tagged("post_install", "-at_install")
class TestPerformTrapped(JobCase):
    def setUp(self):
        super().setUp()
        self.ran = []
        self.patch(
            type(self.model),
            "return_value",
            lambda records, value: self.ran.append(value),
        )

    def test_perform_runs_and_forgets(self):
        with trap_jobs() as trap:
            self.record.with_delay().write_name("performed")
            self.assertIsNone(trap.perform_enqueued_jobs())
            trap.assert_jobs_count(0)
            self.assertEqual(len(trap.calls), 1)
        self.assertEqual(self.record.name, "performed")

    def test_single_jobs_by_priority_then_graphs_parents_first(self):
        with trap_jobs() as trap:
            a, b, c = (self.record.delayable(priority=1).return_value(n) for n in "abc")
            chain(c, b, a).delay()
            self.record.with_delay(priority=30).return_value("late")
            self.record.with_delay(priority=20).return_value("early")
            trap.perform_enqueued_jobs()
        self.assertEqual(self.ran, ["early", "late", "c", "b", "a"])

    def test_group_waits_for_all_its_parents(self):
        with trap_jobs() as trap:
            one, two, last = (
                self.record.delayable().return_value(n) for n in (1, 2, 3)
            )
            last.set(priority=1)
            group(one, two).on_done(last).delay()
            trap.perform_enqueued_jobs()
        self.assertEqual((set(self.ran[:2]), self.ran[2]), ({1, 2}, 3))

    def test_jobs_delayed_meanwhile_are_trapped(self):
        with trap_jobs() as trap:
            self.record.with_delay().delay_two()
            trap.perform_enqueued_jobs()
            trap.assert_jobs_count(2, only=self.record.testing_method)

    def test_error_ends_the_batch(self):
        with trap_jobs() as trap:
            self.record.with_delay(priority=1).raise_error("key")
            self.record.with_delay(priority=2).return_value("dropped")
            with self.assertRaises(KeyError):
                trap.perform_enqueued_jobs()
            trap.assert_jobs_count(0)
            trap.perform_enqueued_jobs()
        self.assertEqual(self.ran, [])

    def test_retryable_error_propagates(self):
        with trap_jobs() as trap:
            self.record.with_delay().raise_retryable()
            with self.assertRaises(RetryableJobError):
                trap.perform_enqueued_jobs()


@tagged("post_install", "-at_install")
class TestMockWithDelay(JobCase):
    def test_call_is_recorded(self):
        before = self.job_model.search_count([])
        with mock_with_delay() as (delayable_cls, delayable):
            self.record.with_delay(priority=15, description="D").testing_method(1, k=2)
            args, kwargs = delayable_cls.call_args
            self.assertEqual(delayable_cls.call_count, 1)
            self.assertEqual(args, (self.record,))
            self.assertEqual(
                kwargs, {**dict.fromkeys(ORDER), "priority": 15, "description": "D"}
            )
            delayable.testing_method.assert_called_once_with(1, k=2)
        self.assertEqual(self.job_model.search_count([]), before)

    def test_delayable_is_not_mocked(self):
        with mock_with_delay() as (delayable_cls, _delayable):
            delayable = self.record.delayable().testing_method()
            delayable.delay()
        delayable_cls.assert_not_called()
        self.assertTrue(self.row(delayable._generated_job))


@tagged("post_install", "-at_install")
class TestCounter(JobCase, JobMixin):
    def test_counter(self):
        old = self.record.with_delay().testing_method()
        counter = self.job_counter()
        self.assertIsInstance(counter, JobCounter)
        self.assertIs(counter.env, self.env)
        self.assertIn(old.db_record(), counter.existing)
        new = self.record.with_delay().testing_method()
        self.assertEqual(counter.search_created(), new.db_record())
        self.assertEqual(counter.count_created(), 1)
        self.assertEqual(counter.count_existing() + 1, counter.count_all())
        self.assertEqual(len(counter.search_all()), counter.count_all())

    def test_perform_jobs(self):
        self.record.with_delay().write_name("not performed")
        counter = self.job_counter()
        job = self.record.with_delay().write_name("performed")
        self.perform_jobs(counter)
        self.assertEqual(self.record.name, "performed")
        self.assertEqual(self.row(job).state, "pending")

    def test_trap_of_the_mixin(self):
        with self.trap_jobs() as trap:
            self.record.with_delay().testing_method()
        trap.assert_jobs_count(1)


@tagged("post_install", "-at_install")
class TestDoctests(BaseCase):
    def module(self, doc):
        module = types.ModuleType("odoo.addons.queue_job.documented")
        module.__doc__ = doc
        module.__file__ = __file__
        return module

    def load(self, doc):
        suite = unittest.TestSuite()
        load_tests = load_doctests(self.module(doc))
        return list(load_tests(unittest.TestLoader(), suite, None))

    def test_module_without_doctests(self):
        self.assertEqual(self.load("Nothing to run."), [])

    def test_one_case_for_each_doctest(self):
        [case] = self.load(">>> 1 + 1\n2\n")
        self.assertIsInstance(case, OdooDocTestCase)
        self.assertIsInstance(case, doctest.DocTestCase)
        self.assertIsInstance(case, OdooTestCase)
        self.assertEqual(
            case.test_tags, {"standard", "at_install", "queue_job", "doctest"}
        )
        self.assertEqual(case.test_sequence, 0)

    def test_doctest_runs(self):
        [case] = self.load(">>> 1 + 1\n2\n")
        with self.assertLogs("odoo.addons.queue_job.tests.common", logging.INFO):
            case.setUp()
        case.runTest()
        case.tearDown()

    def test_failing_doctest_fails(self):
        [case] = self.load(">>> 1 + 1\n3\n")
        with self.assertRaises(AssertionError):
            case.runTest()

    def test_constructor_takes_an_existing_case(self):
        [existing] = doctest.DocTestSuite(self.module(">>> 1 + 1\n2\n"))
        set_up = mock.Mock()
        case = OdooDocTestCase(existing, setUp=set_up, seq=7)
        case.setUp()
        set_up.assert_called_once()
        self.assertEqual(case.test_sequence, 7)
