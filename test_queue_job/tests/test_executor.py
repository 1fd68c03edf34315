# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Acquire and run without a runner, as tests of other addons do.

They claim the jobs of the data of this addon, or run a job that nobody has claimed,
in their own transaction: what commits, and the cursor for the outcome, is replaced.
"""

import logging
from contextlib import contextmanager, suppress
from unittest import mock

from odoo.tests import tagged
from odoo.tools import config, mute_logger

from odoo.addons.queue_job.controllers.main import RunJobController
from odoo.addons.queue_job.delay import chain
from odoo.addons.queue_job.exception import JobError, RetryableJobError
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.worker import Bundle

from .common import CONTROLLER_LOGGER, CommittedJobCase, JobCase

QUEUE_JOB = "odoo.addons.queue_job.models.queue_job.QueueJob"
IN_TEMPORARY_ENV = "odoo.addons.queue_job.job.Job.in_temporary_env"


@tagged("post_install", "-at_install")
class TestAcquireDataOfTests(JobCase):
    def lock_of(self, row):
        return self.env["queue.job.lock"].search([("queue_job_id", "=", row.id)])

    def test_enqueued_job(self):
        row = self.job_model.search([("uuid", "=", "test_enqueued_job")])
        row.state = "enqueued"  # a runner that lives beside the tests may have moved it
        self.lock_of(row).unlink()
        with mock.patch.object(
            self.env.cr, "commit", mock.Mock(side_effect=self.env.flush_all)
        ) as commit:
            job = RunJobController._acquire_job(self.env, job_uuid="test_enqueued_job")
        commit.assert_called_once_with()
        self.assertEqual((job.uuid, job.state), ("test_enqueued_job", "started"))
        self.assertEqual(row.state, "started")
        self.assertTrue(row.date_started)
        self.assertEqual(self.lock_of(row).id, row.id)

    def test_started_job(self):
        row = self.job_model.search([("uuid", "=", "test_started_job")])
        row.state = "started"
        with (
            mock.patch.object(self.env.cr, "commit") as commit,
            self.assertLogs(CONTROLLER_LOGGER, level=logging.WARNING) as log,
        ):
            job = RunJobController._acquire_job(self.env, "test_started_job")
        commit.assert_not_called()
        self.assertIsNone(job)
        self.assertIn(
            "was requested to run job test_started_job, but it does not exist",
            log.output[0],
        )

    def test_lock_rows_stay_after_the_run_and_go_with_the_job(self):
        job = self.make_job()
        job.set_started()
        job.store()
        job.set_done()
        job.store()
        row = self.row(job)
        lock = self.lock_of(row)
        self.assertEqual(lock.ids, row.ids)
        row.unlink()
        self.env.flush_all()
        self.env.invalidate_all()
        self.assertFalse(lock.exists())


@tagged("post_install", "-at_install")
class TestRunInPlace(JobCase):
    @contextmanager
    def patched(self, **methods):
        """Replace methods of queue.job by mocks, and the cursors by the one of the test."""
        with (
            mock.patch(IN_TEMPORARY_ENV) as temporary,
            mock.patch.object(self.env.cr, "rollback"),
            mock.patch.multiple(
                QUEUE_JOB,
                **{name: mock.DEFAULT for name in ("_test_job", "_test_on_fail")},
            ) as mocks,
            mute_logger(CONTROLLER_LOGGER),
        ):
            for name, values in methods.items():
                mocks[name].configure_mock(**values)
            mocks["in_temporary_env"] = temporary
            yield mocks

    def job_with_hook(self, **properties):
        function = self.env.ref("queue_job.job_function_queue_job__test_job")
        function.on_fail_method = "_test_on_fail"
        return Job(self.job_model._test_job, **properties)

    def test_done(self):
        job = self.job_with_hook()
        job.store()
        with self.patched(_test_job={"return_value": "the result"}) as mocks:
            self.assertIsNone(RunJobController._runjob(self.env, job))
        mocks["_test_job"].assert_called_once_with()
        mocks["_test_on_fail"].assert_not_called()
        mocks["in_temporary_env"].assert_not_called()
        self.assertRecordValues(
            self.row(job), [{"state": "done", "retry": 1, "result": "the result"}]
        )

    def run_failing(self, job):
        with self.patched(_test_job={"side_effect": JobError("the reason")}) as mocks:
            with self.assertRaisesRegex(JobError, "the reason"):
                RunJobController._runjob(self.env, job)
        mocks["in_temporary_env"].assert_called_with()
        [call] = mocks["_test_on_fail"].call_args_list
        self.assertEqual(call.args, ())
        self.assertEqual(
            {**call.kwargs, "exc_info": None},
            {
                "exc_name": "odoo.addons.queue_job.exception.JobError",
                "exc_message": "the reason",
                "exc_info": None,
            },
        )
        self.assertIn("Traceback", call.kwargs["exc_info"])
        self.assertEqual(job.state, "failed")
        self.assertRecordValues(
            self.row(job),
            [
                {
                    "state": "failed",
                    "retry": 1,
                    "exc_name": "odoo.addons.queue_job.exception.JobError",
                    "exc_message": "the reason",
                }
            ],
        )

    def test_failure_of_a_pending_job(self):
        job = self.job_with_hook()
        job.store()
        self.run_failing(job)

    def test_failure_of_a_loaded_job(self):
        job = self.job_with_hook()
        job.store()
        self.run_failing(self.load(job))

    def test_failure_of_a_job_that_was_started_in_memory(self):
        job = self.job_with_hook()
        job.store()
        job.set_started()
        self.run_failing(job)

    def test_failure_of_a_job_that_was_started_and_stored(self):
        job = self.job_with_hook()
        job.store()
        job.set_started()
        job.store()
        self.run_failing(job)

    def test_failure_of_a_job_that_is_not_stored(self):
        self.run_failing(self.job_with_hook())

    def test_retry(self):
        job = self.job_with_hook()
        job.store()
        with self.patched(
            _test_job={"side_effect": RetryableJobError("busy", seconds=30)}
        ) as mocks:
            self.assertIsNone(RunJobController._runjob(self.env, job))
        mocks["_test_on_fail"].assert_not_called()
        self.assertRecordValues(
            self.row(job), [{"state": "pending", "retry": 1, "result": "busy"}]
        )
        self.assertTrue(self.row(job).eta)

    def test_dependents_are_released(self):
        one, other = (self.record.delayable().testing_method() for _time in range(2))
        chain(one, other).delay()
        with self.patched():
            RunJobController._runjob(self.env, one._generated_job)
        self.assertEqual(self.row(other._generated_job).state, "pending")

    def test_b25_retried_job_of_a_cancelled_parent_does_not_wait_for_ever(self):
        """The child was requeued alone; a retry is not to make it wait again."""
        parent = self.record.delayable().testing_method()
        child = self.record.delayable().raise_retryable("busy")
        chain(parent, child).delay()
        self.row(parent._generated_job).button_cancelled()
        self.row(child._generated_job).requeue()
        job = self.load(child._generated_job)
        with self.patched():
            RunJobController._runjob(self.env, job)
        self.assertRecordValues(
            self.row(job), [{"state": "pending", "result": "busy", "retry": 1}]
        )

    def name_hook_by_sql(self, function, name):
        """Name a hook as a row has it that a person saved before names were checked."""
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE queue_job_function SET on_fail_method = %s, "
            "on_fail_method_by_user = true WHERE id = %s",
            (name, function.id),
        )
        self.env.invalidate_all()
        self.registry.clear_cache()

    def test_s04_stored_hook_of_the_framework_is_not_called(self):
        function = self.env.ref("test_queue_job.job_function_with_fail_hook")
        for name in ("unlink", "_compute_display_name", "sudo"):
            with self.subTest(name):
                self.name_hook_by_sql(function, name)
                job = self.make_job(self.record.with_fail_hook, "name")
                # Not assertRaises: it undoes what is done inside.
                with self.patched(), suppress(ValueError):
                    RunJobController._runjob(self.env, job)
                self.assertTrue(self.record.exists())
                row = self.row(job)
                self.assertEqual(row.state, "failed")
                self.assertIn("the hook should know", row.exc_info)
                self.assertIn(f"'{name}' cannot be used", row.exc_info)

    def test_s04_stored_hook_that_moves_jobs_is_not_called(self):
        function = self.env.ref("queue_job.job_function_queue_job__test_job")
        self.name_hook_by_sql(function, "button_done")
        other = self.row(self.make_job())
        job = self.make_job(other._test_job)
        with self.patched(_test_job={"side_effect": JobError("the reason")}):
            with suppress(JobError):
                RunJobController._runjob(self.env, job)
        self.assertEqual(other.state, "pending")
        self.assertIn("'button_done' cannot be used", self.row(job).exc_info)


@tagged("post_install", "-at_install")
class TestOutcomeAfterConflict(CommittedJobCase):
    """The row changes elsewhere while the job runs: the outcome meets a conflict."""

    def setUp(self):
        super().setUp()
        self.startPatcher(mock.patch("time.sleep"))
        self.enterContext(mute_logger(CONTROLLER_LOGGER, "odoo.sql_db"))

    def run_with_conflicts(self, uuid, count):
        """Let another session write the row in each of the first ``count`` tries."""
        rounds = iter(range(count))

        def return_value(records, value):
            for number in rounds:
                with self.new_env() as env:
                    env["queue.job"].search([("uuid", "=", uuid)]).priority = number
                break
            return value

        with mock.patch.object(
            type(self.env["test.queue.job"]), "return_value", return_value
        ):
            return self.acquire_and_run(uuid)

    def test_result_is_kept_by_the_try_that_succeeds(self):
        uuid = self.delay("return_value", "the result")
        self.run_with_conflicts(uuid, 1)
        self.assertEqual(
            self.columns(uuid, "state", "result", "retry"),
            {"state": "done", "result": "the result", "retry": 1},
        )

    def test_b01_conflicts_of_the_outcome_are_counted(self):
        uuid = self.delay("return_value", "the result", max_retries=2)
        for retry, state in ((1, "pending"), (2, "failed")):
            self.run_with_conflicts(uuid, 3)
            self.assertEqual(
                self.columns(uuid, "state", "retry"), {"state": state, "retry": retry}
            )
            self.move(uuid, "enqueued" if state == "pending" else state)

    def test_retry_after_the_outcome_was_refused_is_counted(self):
        uuid = self.delay("return_value", 1)
        write = type(self.env["queue.job"]).write

        def late(records, vals):
            result = write(records, vals)
            if vals.get("state") == "done":
                records.flush_recordset()
                raise RetryableJobError("not yet")
            return result

        self.patch(type(self.env["queue.job"]), "write", late)
        self.acquire_and_run(uuid)
        self.assertEqual(
            self.columns(uuid, "state", "retry", "result", "date_done"),
            {"state": "pending", "retry": 1, "result": "not yet", "date_done": False},
        )

    def test_job_whose_commit_is_refused_fails(self):
        """A constraint that is deferred speaks when the job is written as done."""
        uuid = self.delay("return_value", 1)

        def return_value(records, value):
            records.env.cr.execute(
                "CREATE TEMP TABLE test_once (id int UNIQUE DEFERRABLE INITIALLY DEFERRED) "
                "ON COMMIT DROP; INSERT INTO test_once VALUES (1), (1)"
            )
            return value

        with (
            mock.patch.object(
                type(self.env["test.queue.job"]), "return_value", return_value
            ),
            mock.patch.dict(config._runtime_options, {"test_enable": False}),
        ):
            self.acquire_and_run(uuid)
        values = self.columns(uuid, "state", "retry", "date_done", "exc_message")
        self.assertIn("test_once", values.pop("exc_message"))
        self.assertEqual(values, {"state": "failed", "retry": 1, "date_done": False})

    def test_b07_error_after_the_job_was_written_as_done_does_not_hang(self):
        """The claim of the next job of the run shares the transaction."""
        first, second = (self.delay("return_value", number) for number in range(2))
        self.patch(
            Bundle,
            "claim_next",
            mock.Mock(side_effect=ValueError("not this one")),
        )
        in_temporary_env = Job.in_temporary_env

        @contextmanager
        def impatient(job):
            with in_temporary_env(job):
                job.env.cr.execute("SET LOCAL lock_timeout = '3s'")
                yield

        self.patch(Job, "in_temporary_env", impatient)
        with self.new_env() as env:
            # A busy machine is not to spend the budget of a worker.
            RunJobController.perform_bundle(env, [first, second], budget=60)
        for uuid in (first, second):
            self.assertEqual(
                self.columns(uuid, "state", "exc_message", "date_done"),
                {"state": "failed", "exc_message": "not this one", "date_done": False},
            )
