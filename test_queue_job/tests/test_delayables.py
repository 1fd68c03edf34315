# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import gc
from unittest import mock

from odoo.tests import BaseCase, tagged

from odoo.addons.queue_job.delay import (
    Delayable,
    DelayableChain,
    DelayableGraph,
    DelayableGroup,
)

from .common import JobCase

DELAY_LOGGER = "odoo.addons.queue_job.delay"


def used_up(delayable):
    """Mark a delayable so that it does not warn when it is collected."""
    delayable._generated_job = True
    return delayable


@tagged("post_install", "-at_install")
class TestDelayable(BaseCase):
    def test_construction_reads_nothing_from_the_recordset(self):
        class Untouchable:
            def __getattribute__(self, name):
                raise AssertionError(f"read {name}")

        used_up(Delayable(Untouchable()))

    def test_initial_values(self):
        recordset = mock.MagicMock(name="recordset")
        delayable = used_up(Delayable(recordset, priority=1, channel="root.sub"))
        self.assertIs(delayable.recordset, recordset)
        self.assertEqual(delayable.priority, 1)
        self.assertEqual(delayable.channel, "root.sub")
        self.assertIsNone(delayable.eta)
        self.assertIsNone(delayable._job_method)
        self.assertEqual(delayable._job_args, ())
        self.assertEqual(delayable._job_kwargs, {})
        self.assertIsInstance(delayable._graph, DelayableGraph)
        self.assertEqual(delayable._graph.vertices(), {delayable})
        delayable = Delayable(mock.MagicMock())
        self.assertIsNone(delayable._generated_job)
        used_up(delayable)

    def test_properties_in_order(self):
        self.assertEqual(
            tuple(Delayable._properties),
            (
                "priority",
                "eta",
                "max_retries",
                "description",
                "channel",
                "identity_key",
            ),
        )

    def test_equality_is_identity(self):
        recordset = mock.MagicMock(name="recordset")
        one, other = used_up(Delayable(recordset)), used_up(Delayable(recordset))
        self.assertEqual(len({one, other, one}), 2)

    def test_set_takes_a_dict_and_keywords(self):
        delayable = used_up(Delayable(mock.MagicMock()))
        result = delayable.set({"priority": 1, "eta": 60}, channel="root.sub")
        self.assertIs(result, delayable)
        self.assertEqual((delayable.priority, delayable.eta), (1, 60))
        self.assertEqual(delayable.channel, "root.sub")

    def test_set_refuses_unknown_properties(self):
        delayable = used_up(Delayable(mock.MagicMock()))
        for args, kwargs in ((({"urgency": 1},), {}), ((), {"urgency": 1})):
            with self.subTest(args=args), self.assertRaisesRegex(ValueError, "urgency"):
                delayable.set(*args, **kwargs)

    def test_set_takes_one_dict_at_most(self):
        delayable = used_up(Delayable(mock.MagicMock()))
        with self.assertRaises(TypeError):
            delayable.set({"priority": 1}, {"eta": 60})
        self.assertIsNone(delayable.priority)

    def test_job_of_a_mock_is_built(self):
        delayable = Delayable(mock.MagicMock(name="recordset"), priority=3).export(1)
        with mock.patch("odoo.addons.queue_job.delay.Job") as job_class:
            job = delayable._build_job()
        self.assertIs(job, job_class.return_value)
        self.assertEqual(job_class.call_args.args, (delayable.recordset.export,))
        self.assertEqual(job_class.call_args.kwargs["priority"], 3)


class PlainRecords(list):
    """What is not a recordset, and can be sliced like one."""

    _name = "plain.records"

    def __getitem__(self, key):
        item = super().__getitem__(key)
        return PlainRecords(item) if isinstance(key, slice) else item

    def documented(self, *args):
        """First line.

        Second line.
        """

    def bare(self, *args):
        return args


@tagged("post_install", "-at_install")
class TestDelayableOfAnything(BaseCase):
    def test_call(self):
        delayable = used_up(Delayable(PlainRecords("abc")).bare(1))
        self.assertEqual(delayable._job_method, delayable.recordset.bare)
        self.assertEqual(repr(delayable), "Delayable(['a', 'b', 'c'].bare((1,), {}))")

    def test_split(self):
        for method_name, base in (
            ("documented", "First line."),
            ("bare", "plain.records.bare"),
        ):
            with self.subTest(method_name):
                delayable = Delayable(PlainRecords(range(20)))
                parts = getattr(delayable, method_name)(1).split(8)
                found = sorted(
                    (used_up(part).recordset, part.description, part._job_args)
                    for part in parts._delayables
                )
                numbers = list(range(20))
                self.assertEqual(
                    found,
                    [
                        (numbers[:8], f"{base} (split 1/3)", (1,)),
                        (numbers[8:16], f"{base} (split 2/3)", (1,)),
                        (numbers[16:], f"{base} (split 3/3)", (1,)),
                    ],
                )

    def test_method_set_by_hand(self):
        delayable = Delayable(PlainRecords("ab"))
        delayable._job_method = delayable.recordset.bare
        delayable._job_args = (1,)
        self.assertEqual(repr(delayable), "Delayable(['a', 'b'].bare((1,), {}))")
        parts = delayable.split(1)
        for part in parts._delayables:
            self.assertEqual(used_up(part)._job_method.__name__, "bare")


@tagged("post_install", "-at_install")
class TestDelayableOfRecords(JobCase):
    def test_call_keeps_arguments_and_returns_the_delayable(self):
        delayable = used_up(self.record.delayable())
        result = delayable.testing_method(1, k=2)
        self.assertIs(result, delayable)
        self.assertEqual(delayable._job_method, self.record.testing_method)
        self.assertEqual(delayable._job_args, (1,))
        self.assertEqual(delayable._job_kwargs, {"k": 2})

    def test_nothing_is_stored_before_delay(self):
        before = self.job_model.search_count([])
        used_up(self.record.delayable().testing_method())
        self.assertEqual(self.job_model.search_count([]), before)

    def test_delay_returns_none_and_stores_one_job(self):
        delayable = self.record.delayable(priority=2).testing_method(1)
        self.assertIsNone(delayable.delay())
        row = self.row(delayable._generated_job)
        self.assertEqual(
            (row.priority, list(row.args), row.graph_uuid), (2, [1], False)
        )

    def test_delay_without_method_is_refused(self):
        delayable = used_up(self.record.delayable())
        delayable._generated_job = None
        with self.assertRaises(ValueError):
            delayable.delay()
        used_up(delayable)

    def test_delaying_again_rewrites_the_same_job(self):
        delayable = self.record.delayable().testing_method()
        delayable.delay()
        uuid = delayable._generated_job.uuid
        delayable.delay()
        self.assertEqual(delayable._generated_job.uuid, uuid)
        self.assertEqual(self.job_model.search_count([("uuid", "=", uuid)]), 1)

    def test_field_is_no_method(self):
        delayable = used_up(self.record.delayable())
        with self.assertRaisesRegex(AttributeError, "method"):
            getattr(delayable, "name")  # noqa: B009 is the act

    def test_missing_attribute(self):
        delayable = used_up(self.record.delayable())
        with self.assertRaises(AttributeError):
            getattr(delayable, "no_such_method")  # noqa: B009 is the act

    def test_build_job_builds_once(self):
        delayable = self.record.delayable(priority=3).testing_method(1)
        job = delayable._build_job()
        self.assertIs(delayable._build_job(), job)
        self.assertIs(delayable._generated_job, job)
        self.assertEqual((job.priority, job.args), (3, (1,)))

    def test_build_job_calls_the_global_of_the_module(self):
        delayable = self.record.delayable(priority=3).testing_method(1, k=2)
        with mock.patch("odoo.addons.queue_job.delay.Job") as job_class:
            delayable._build_job()
        [call] = job_class.call_args_list
        self.assertEqual(call.args, (self.record.testing_method,))
        self.assertEqual(
            list(call.kwargs)[:8],
            [
                "args",
                "kwargs",
                "priority",
                "max_retries",
                "eta",
                "description",
                "channel",
                "identity_key",
            ],
        )
        self.assertEqual(call.kwargs["args"], (1,))
        self.assertEqual(call.kwargs["kwargs"], {"k": 2})

    def test_execute_direct_performs_the_job(self):
        delayable = self.record.delayable().testing_method(1)
        job = delayable._build_job()
        delayable._execute_direct()
        self.assertEqual(job.result, ((1,), {}))

    def test_repr(self):
        delayable = used_up(self.record.delayable())
        records = f"test.queue.job({self.record.id},)"
        self.assertEqual(repr(delayable), f"Delayable({records}.((), {{}}))")
        delayable.testing_method("foo", k=1)
        self.assertEqual(
            repr(delayable),
            f"Delayable({records}.testing_method(('foo',), {{'k': 1}}))",
        )


@tagged("post_install", "-at_install")
class TestNeverDelayed(JobCase):
    def setUp(self):
        super().setUp()
        gc.collect()  # what other tests left is none of ours

    def test_collected_delayable_warns_once(self):
        delayable = self.record.delayable().testing_method("foo")
        text = repr(delayable)
        with self.assertLogs(DELAY_LOGGER, level="WARNING") as log:
            del delayable
            gc.collect()
        self.assertEqual(
            log.output,
            [f"WARNING:{DELAY_LOGGER}:Delayable {text} was prepared but never delayed"],
        )

    def test_delayed_one_is_silent(self):
        with self.assertNoLogs(DELAY_LOGGER, level="WARNING"):
            delayable = self.record.delayable().testing_method()
            delayable.delay()
            del delayable
            gc.collect()

    def test_vertices_above_the_delayed_one_warn(self):
        parent = self.record.delayable().testing_method("parent")
        child = self.record.delayable().testing_method("child")
        parent.on_done(child)
        child.delay()
        text = repr(parent)
        with self.assertLogs(DELAY_LOGGER, level="WARNING") as log:
            del parent, child
            gc.collect()
        self.assertEqual(len(log.output), 1)
        self.assertIn(text, log.output[0])


@tagged("post_install", "-at_install")
class TestSplit(JobCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.records = cls.model.create([{"name": str(number)} for number in range(5)])

    def test_split_makes_a_group_of_slices(self):
        parts = self.records.delayable().testing_method(1, k=2).split(2)
        self.assertIsInstance(parts, DelayableGroup)
        self.assertEqual(
            sorted(part.recordset.ids for part in parts._delayables),
            [self.records[:2].ids, self.records[2:4].ids, self.records[4:].ids],
        )
        for part in parts._delayables:
            self.assertEqual((part._job_args, part._job_kwargs), ((1,), {"k": 2}))
            self.assertEqual(part._job_method, part.recordset.testing_method)
        parts.delay()

    def test_split_makes_a_chain(self):
        parts = self.records.delayable().testing_method().split(2, chain=True)
        self.assertIsInstance(parts, DelayableChain)
        parts.delay()
        [head] = parts._head()
        jobs = self.job_model.search(
            [("graph_uuid", "=", head._generated_job.graph_uuid)]
        )
        self.assertEqual(
            sorted(jobs.mapped("state")),
            ["pending", "wait_dependencies", "wait_dependencies"],
        )

    def test_parts_copy_the_properties(self):
        delayable = self.records.delayable(
            priority=3, eta=60, max_retries=7, channel="root.sub"
        ).testing_method()
        parts = delayable.split(3)
        for part in parts._delayables:
            self.assertEqual(
                (part.priority, part.eta, part.max_retries, part.channel),
                (3, 60, 7, "root.sub"),
            )
        parts.delay()

    def test_descriptions_are_numbered(self):
        cases = (
            ({"description": "Given"}, "testing_method", "Given"),
            ({}, "testing_method", "Return what was given."),
            ({}, "without_docstring", "test.queue.job.without_docstring"),
        )
        for properties, method_name, base in cases:
            with self.subTest(base):
                delayable = self.records.delayable(**properties)
                parts = getattr(delayable, method_name)().split(3)
                self.assertEqual(
                    {part.description for part in parts._delayables},
                    {f"{base} (split 1/2)", f"{base} (split 2/2)"},
                )
                parts.delay()

    def test_split_of_fewer_records_than_the_size(self):
        parts = self.records.delayable().testing_method().split(10)
        [part] = parts._delayables
        self.assertEqual(part.recordset, self.records)
        self.assertEqual(part.description, "Return what was given. (split 1/1)")
        parts.delay()

    def test_split_original_does_not_warn(self):
        parts = self.records.delayable().testing_method().split(2)
        with self.assertNoLogs(DELAY_LOGGER, level="WARNING"):
            parts.delay()
            gc.collect()

    def test_split_before_the_method_is_refused(self):
        delayable = used_up(self.records.delayable())
        with self.assertRaises(ValueError):
            delayable.split(2)

    def test_what_follows_waits_for_all_parts(self):
        after = self.record.delayable().testing_method("after")
        self.records.delayable().testing_method().split(2).on_done(after).delay()
        row = self.row(after._generated_job)
        self.assertEqual(row.state, "wait_dependencies")
        self.assertEqual(len(row.dependency_ids), 3)
