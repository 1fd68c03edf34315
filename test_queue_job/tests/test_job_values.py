# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The attributes of a job that callers set, and what a caller gave as arguments."""

from collections import namedtuple
from datetime import datetime
from unittest import mock

from freezegun import freeze_time

from odoo.tests import tagged

from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.tests.common import trap_jobs

from .common import JobCase

NOW = datetime(2026, 3, 4, 5, 6, 7)
Point = namedtuple("Point", ("x", "y"))


@tagged("post_install", "-at_install")
class TestAttributes(JobCase):
    def test_settable_ones(self):
        other = self.model.create({"name": "other"})
        job = Job(self.record.return_value, args=(1,))
        job.args = (2,)
        job.kwargs = {"k": 3}
        job.recordset = other
        job.channel = "root.sub"
        job.eta = None
        job.identity_key = "key"
        self.assertEqual((job.args, job.kwargs), ((2,), {"k": 3}))
        self.assertEqual((job.recordset, job.env), (other, other.env))
        self.assertEqual((job.channel, job.identity_key), ("root.sub", "key"))
        self.assertEqual(job.func.__self__, other)
        self.assertEqual(
            job.func_string, f"test.queue.job({other.id},).return_value(2, k=3)"
        )

    def test_private_setter_swaps_the_environment(self):
        job = Job(self.record.testing_method)
        env = self.env(context={"other": 1})
        job._env = env
        self.assertIs(job.env, env)
        self.assertEqual(job.recordset, self.record)

    def test_channel_without_one_is_that_of_the_function(self):
        job = Job(self.env["test.queue.channel"].in_sub_channel, channel="root.other")
        self.assertEqual(job.channel, "root.other")
        job.channel = None
        self.assertEqual(job.channel, "root.sub")
        self.assertEqual(job.job_config.channel, "root.sub")

    def test_configuration_is_that_of_the_construction(self):
        function = self.env.ref("test_queue_job.job_function_with_retry_pattern")
        job = Job(self.record.with_retry_pattern)
        self.assertIsInstance(job.job_config, type(function).JobConfig)
        self.assertEqual(job.job_config.job_function_id, function.id)
        function.retry_pattern = {1: 7}
        self.assertEqual(job.job_config.retry_pattern, {1: 60, 2: 180, 3: 10, 5: 300})
        self.assertEqual(
            Job(self.record.with_retry_pattern).job_config.retry_pattern, {1: 7}
        )

    def test_identity_function_is_asked_once_and_late(self):
        identity = mock.Mock(return_value="key")
        job = Job(self.record.testing_method, identity_key=identity)
        identity.assert_not_called()
        self.assertEqual([job.identity_key, job.identity_key], ["key", "key"])
        identity.assert_called_once_with(job)

    def test_method_of_the_framework(self):
        """Any method of a model will do."""
        partners = self.env["res.partner"]
        job = partners.with_delay().create({"name": "made later"})
        self.assertEqual(self.row(job).channel, "root")
        self.assertEqual(self.load(job).perform().name, "made later")
        self.assertEqual(Job(partners.mapped).method_name, "mapped")

    def test_description_of_a_docstring_is_its_first_line(self):
        for doc, expected in (
            ("  One line  ", "One line"),
            ("First.\n\n    More.", "First."),
            ("", "test.queue.job.testing_method"),
            (None, "test.queue.job.testing_method"),
        ):
            with self.subTest(doc):
                method = type(self.model).testing_method
                with mock.patch.object(method, "__doc__", doc):
                    self.assertEqual(
                        Job(self.record.testing_method).description, expected
                    )

    def test_retry_seconds_of_an_error_may_be_a_pair(self):
        job = Job(self.record.testing_method)
        error = RetryableJobError("later", seconds=(10, 20))
        with freeze_time(NOW):
            job.postpone(result=str(error), seconds=error.seconds)
        wait = (job.eta - NOW).total_seconds()
        self.assertTrue(10 <= wait <= 20, wait)

    def test_buttons_follow_frozen_time(self):
        """Tests of other addons freeze time, and look at what a button wrote."""
        for button, column in (
            ("button_done", "date_done"),
            ("button_cancelled", "date_cancelled"),
        ):
            row = self.row(self.make_job())
            with freeze_time(NOW):
                getattr(row, button)()
            self.assertEqual(row[column], NOW)
        with freeze_time(NOW):
            job = self.record.with_delay(eta=60).testing_method()
        self.assertEqual(self.row(job).date_created, NOW)
        self.assertEqual(self.row(job).eta, NOW.replace(minute=7))


@tagged("post_install", "-at_install")
class TestNamedTuples(JobCase):
    """They come back as they were given, whether the job is stored or not."""

    def test_it_is_what_it_was_when_it_was_stored(self):
        job = self.make_job(self.record.return_value, Point(1, self.record))
        self.env.invalidate_all()
        value = self.load(job).perform()
        self.assertEqual(value, Point(1, self.record))
        self.assertIs(type(value), Point)

    def test_deeper_down(self):
        job = self.make_job(self.record.return_value, [{"p": Point(Point(1, 2), 3)}])
        self.env.invalidate_all()
        self.assertEqual(self.load(job).args, ([{"p": ((1, 2), 3)}],))

    def test_it_stays_what_it_is_in_memory(self):
        record = self.record.with_context(queue_job__no_delay=True)
        for value in (Point(1, 2), [Point(1, 2)], {"p": Point(1, self.record)}):
            with self.subTest(value):
                result = record.with_delay().return_value(value).result
                self.assertEqual(repr(result), repr(value))
        with trap_jobs() as trap:
            self.record.with_delay().return_value(Point(1, 2))
            trap.assert_enqueued_job(self.record.return_value, args=(Point(1, 2),))
            trap.assert_enqueued_job(self.record.return_value, args=((1, 2),))
        self.assertEqual(trap.calls[0].args[0].x, 1)

    def test_its_records_move_to_the_other_cursor(self):
        job = Job(self.record.testing_method, args=(Point(self.record, 2),))
        with job.in_temporary_env():
            point = job.args[0]
            self.assertIs(point.x.env.cr, job.env.cr)
            self.assertEqual(point, Point(self.record, 2))

    def test_records_in_sets_move_too(self):
        """Else a job that may commit would write them in a transaction that does not."""
        for kind in (set, frozenset):
            with self.subTest(kind):
                job = Job(self.record.testing_method, args=(kind([self.record]),))
                with job.in_temporary_env():
                    [records] = job.args[0]
                    self.assertIs(records.env.cr, job.env.cr)
                    self.assertIs(type(job.args[0]), kind)
