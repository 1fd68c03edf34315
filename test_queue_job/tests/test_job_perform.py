# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import warnings
from datetime import timedelta
from decimal import Decimal
from unittest import mock

from odoo.tests import tagged

from odoo.addons.queue_job.exception import FailedJobError, RetryableJobError
from odoo.addons.queue_job.job import Job

from .common import JobCase


@tagged("post_install", "-at_install")
class TestPerform(JobCase):
    def test_result_is_kept_and_returned(self):
        job = Job(self.record.testing_method, args=("o",), kwargs={"k": "v"})
        self.assertEqual(job.perform(), (("o",), {"k": "v"}))
        self.assertEqual(job.result, (("o",), {"k": "v"}))
        self.assertEqual((job.retry, job.state), (1, "pending"))

    def test_other_errors_propagate(self):
        job = Job(self.record.raise_error, args=("key",))
        with self.assertRaises(KeyError):
            job.perform()
        self.assertEqual(job.retry, 1)

    def test_last_try_fails(self):
        job = Job(self.record.raise_retryable, args=("busy",), max_retries=3)
        for _try in range(2):
            with self.assertRaisesRegex(RetryableJobError, "busy"):
                job.perform()
        with self.assertRaises(FailedJobError) as caught:
            job.perform()
        self.assertEqual(str(caught.exception), "Max. retries (3) reached: busy")
        self.assertIsInstance(caught.exception.__cause__, RetryableJobError)
        self.assertEqual(job.retry, 3)

    def test_no_limit(self):
        job = Job(self.record.raise_retryable, max_retries=0)
        for _try in range(10):
            with self.assertRaises(RetryableJobError):
                job.perform()
        self.assertEqual(job.retry, 10)

    def test_ignored_retry_is_not_counted_whatever_the_limit(self):
        job = Job(
            self.record.raise_retryable, kwargs={"ignore_retry": True}, max_retries=1
        )
        for _try in range(3):
            with self.assertRaises(RetryableJobError):
                job.perform()
        self.assertEqual(job.retry, 0)

    def test_b10_method_that_only_begins_to_execute_fails(self):
        """It was done, and nothing of it was executed."""

        def generator(records):
            yield records.write({"name": "never written"})

        async def coroutine(records):
            records.name = "never written"

        async def async_generator(records):
            yield records.write({"name": "never written"})

        def wrapped(records):
            return generator(records)

        for method in (generator, coroutine, async_generator, wrapped):
            with self.subTest(method.__name__):
                method.__name__ = "without_docstring"
                # Refused when it is delayed, where that can be seen.
                job = Job(self.record.without_docstring)
                with (
                    mock.patch.object(type(self.model), "without_docstring", method),
                    warnings.catch_warnings(record=True) as warned,
                    self.assertRaisesRegex(FailedJobError, "was not executed"),
                ):
                    warnings.simplefilter("always")
                    job.perform()
                self.assertFalse(warned)
                self.assertIsNone(job.result)
                self.assertEqual(job.retry, 1)

    def test_b12_error_with_a_constructor_of_its_own(self):
        """It failed at the first try with an AttributeError."""

        class Busy(RetryableJobError):
            def __init__(self, resource):
                self.resource = resource

        job = Job(self.record.return_value, args=(1,), max_retries=2)
        with mock.patch.object(
            type(self.model), "return_value", mock.Mock(side_effect=Busy("a printer"))
        ):
            with self.assertRaises(Busy) as caught:
                job.perform()
            self.assertIsNone(caught.exception.seconds)
            with self.assertRaises(FailedJobError):
                job.perform()

    def test_method_and_hook_are_looked_up_when_run(self):
        job = Job(self.env["queue.job"]._test_job)
        with mock.patch(
            "odoo.addons.queue_job.models.queue_job.QueueJob._test_job",
            return_value="mocked",
        ):
            self.assertEqual(job.perform(), "mocked")

    def test_allow_commit_runs_in_a_temporary_environment(self):
        self.assertTrue(Job(self.record.commit_inside_allowed).job_config.allow_commit)
        job = Job(self.record.return_cursors)
        with mock.patch("odoo.addons.queue_job.job.Job.in_temporary_env") as temporary:
            temporary.return_value = mock.MagicMock()
            job.perform()
        temporary.assert_called_once_with()
        job = Job(self.record.testing_method)
        with mock.patch("odoo.addons.queue_job.job.Job.in_temporary_env") as temporary:
            job.perform()
        temporary.assert_not_called()

    def test_temporary_environment_binds_every_recordset(self):
        user = self.make_user("temporary")
        other = self.record.with_user(user).with_context(lang="en_US")
        job = Job(
            self.record.testing_method,
            args=(other, [other], {"deep": (other,)}),
            kwargs={"k": {"deep": [other]}},
        )
        with job.in_temporary_env():
            cr = job.env.cr
            self.assertIsNot(cr, self.env.cr)
            found = [
                job.args[0],
                job.args[1][0],
                job.args[2]["deep"][0],
                job.kwargs["k"]["deep"][0],
            ]
            for records in found:
                self.assertEqual(records, other)
                self.assertIs(records.env.cr, cr)
                self.assertEqual(records.env.uid, user.id)
                self.assertFalse(records.env.su)
                self.assertEqual(records.env.context, other.env.context)
        self.assertIs(job.env.cr, self.env.cr)
        self.assertIs(job.args[0].env.cr, self.env.cr)


@tagged("post_install", "-at_install")
class TestRetrySeconds(JobCase):
    def seconds(self, method, *tries):
        job = Job(method)
        seconds = []
        for retry in tries:
            job.retry = retry
            seconds.append(job._get_retry_seconds())
        return seconds

    def test_default(self):
        self.assertEqual(self.seconds(self.record.testing_method, 0, 1, 5), [600] * 3)

    def test_pattern(self):
        self.assertEqual(
            self.seconds(self.record.with_retry_pattern, 1, 2, 3, 4, 5, 9),
            [60, 180, 10, 10, 300, 300],
        )

    def test_pattern_that_starts_late(self):
        self.assertEqual(
            self.seconds(self.record.with_late_retry_pattern, 1, 2, 3, 4),
            [600, 600, 180, 180],
        )

    def test_explicit_seconds_win(self):
        job = Job(self.record.with_retry_pattern)
        self.assertEqual(job._get_retry_seconds(123), 123)
        self.assertEqual(job._get_retry_seconds(0), 600)

    def test_b12_waits_of_many_types(self):
        job = Job(self.record.testing_method)
        for given, expected in (
            (timedelta(minutes=2), 120),
            (1.5, 1.5),
            (Decimal("7"), 7),
            ("30", 30),
        ):
            with self.subTest(given):
                self.assertEqual(job._get_retry_seconds(given), expected)
                job.postpone(seconds=given)
                self.assertTrue(job.eta)

    def test_b12_pairs_of_many_types(self):
        job = Job(self.record.testing_method)
        for given, low, high in (
            ((0.5, 1.5), 0.5, 1.5),
            ((20, 10), 10, 20),
            ([timedelta(seconds=1), timedelta(seconds=2)], 1, 2),
            ((0, 0.25), 0, 0.25),
        ):
            with self.subTest(given):
                for _time in range(20):
                    self.assertTrue(low <= job._get_retry_seconds(given) <= high)

    def test_b12_what_is_no_wait_takes_the_pattern_and_the_log_says_so(self):
        job = Job(self.record.with_retry_pattern)
        job.retry = 2
        for given in (
            *(1e12, float("nan"), float("inf"), -5, "soon", object(), 10**400),
            *((1, 2, 3), (1, None), (-1, 5), timedelta(days=-1), {"a": 1}, 1j),
        ):
            with (
                self.subTest(given),
                self.assertLogs("odoo.addons.queue_job.job", "WARNING") as log,
            ):
                self.assertEqual(job._get_retry_seconds(given), 180)
            self.assertIn(job.uuid, log.output[0])

    def test_pair_is_random_between_both(self):
        with mock.patch(
            "odoo.addons.queue_job.job.randint", return_value=15
        ) as randint:
            self.assertEqual(
                self.seconds(self.record.with_random_retry_pattern, 1), [15]
            )
            self.assertEqual(
                Job(self.record.testing_method)._get_retry_seconds((1, 2)), 15
            )
            self.assertEqual(
                Job(self.record.testing_method)._get_retry_seconds([3, 4]), 15
            )
        self.assertEqual(
            [call.args for call in randint.call_args_list], [(10, 20), (1, 2), (3, 4)]
        )
