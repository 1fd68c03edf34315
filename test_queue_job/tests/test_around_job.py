# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What addons put around an attempt, and the trace that a job keeps of its caller."""

from contextlib import contextmanager
from unittest import mock

from odoo.exceptions import AccessError
from odoo.tests import tagged

from odoo.addons.queue_job.delay import group
from odoo.addons.queue_job.worker import Kind, WorkerDoors, perform

from .common import JobCase

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class AroundCase(JobCase):
    def around(self, function):
        """Let a context manager stand around each attempt."""

        def _around_job(model, job):
            return contextmanager(function)(model, job)

        model = type(self.env["queue.job"])
        patcher = mock.patch.object(model, "_around_job", _around_job)
        patcher.start()
        self.addCleanup(patcher.stop)

    def attempt(self, job):
        return perform(WorkerDoors, self.env, self.load(job))


@tagged("post_install", "-at_install")
class TestAroundJob(AroundCase):
    def test_attempt_is_inside_in_the_environment_of_the_job(self):
        seen = []

        def around(model, job):
            seen.append(("before", model.env.uid, job.retry, job.result))
            yield
            seen.append(("after", model.env.uid, job.retry, job.result))

        self.around(around)
        user = self.make_user("around", "base.group_system")
        job = self.record.with_user(user).with_delay().testing_method(return_context=1)
        self.assertIs(self.attempt(job).kind, Kind.DONE)
        self.assertEqual(
            [row[:3] for row in seen], [("before", user.id, 0), ("after", user.id, 1)]
        )
        self.assertIsNone(seen[0][3])
        self.assertTrue(seen[1][3])

    def test_error_of_the_job_passes_through(self):
        seen = []

        def around(model, job):
            try:
                yield
            except Exception as error:
                seen.append(str(error))
                raise

        self.around(around)
        job = self.record.with_delay().raise_retryable()
        self.assertIs(self.attempt(job).kind, Kind.POSTPONED)
        self.assertEqual(len(seen), 1)

    def test_error_of_the_job_cannot_be_suppressed(self):
        def around(model, job):
            try:
                yield
            except Exception:  # noqa: BLE001 what a hook must not do
                return

        self.around(around)
        job = self.record.with_delay().raise_retryable()
        self.assertIs(self.attempt(job).kind, Kind.POSTPONED)

    def test_error_of_the_hook_fails_the_attempt(self):
        def around(model, job):
            yield
            raise ValueError("exporter")

        self.around(around)
        job = self.record.with_delay().testing_method()
        outcome = self.attempt(job)
        self.assertEqual((outcome.kind, str(outcome.error)), (Kind.FAILED, "exporter"))


@tagged("post_install", "-at_install")
class TestTraceparent(JobCase):
    def provide(self, value):
        model = type(self.env["queue.job"])
        patcher = mock.patch.object(model, "_current_traceparent", return_value=value)
        self.addCleanup(patcher.stop)
        return patcher.start()

    def test_without_a_provider_nothing_is_kept(self):
        job = self.record.with_delay().testing_method()
        self.assertFalse(self.row(job).traceparent)
        self.assertIsNone(self.load(job).traceparent)

    def test_job_keeps_the_trace_of_its_caller(self):
        self.provide(TRACE)
        job = self.record.with_delay().testing_method()
        self.assertEqual(self.row(job).traceparent, TRACE)
        self.assertEqual(self.load(job).traceparent, TRACE)

    def test_provider_is_asked_once_for_a_graph(self):
        provider = self.provide(TRACE)
        group(
            *[self.record.delayable().testing_method() for _number in range(5)]
        ).delay()
        self.assertEqual(provider.call_count, 1)
        jobs = self.job_model.search([("traceparent", "=", TRACE)])
        self.assertEqual(len(jobs), 5)

    def test_provider_costs_no_query(self):
        self.record.with_delay().testing_method()
        self.provide(TRACE)
        with self.assertQueryCount(1):
            self.record.with_delay().testing_method()

    def test_trace_is_not_for_people_to_change(self):
        job = self.row(self.record.with_delay().testing_method())
        with self.assertRaises(AccessError):
            job.write({"traceparent": TRACE})
