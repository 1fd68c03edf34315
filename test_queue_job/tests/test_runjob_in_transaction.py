# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The steps of a worker, called one by one in the transaction of a test.

Nothing is committed: the cursor's ``commit`` and ``rollback`` are stand-ins, and
a job stays on the cursor of the test where a worker would take another one. That
is how suites of addons that depend on this one call them.
"""

from datetime import datetime, timedelta
from unittest import mock

import psycopg2

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.controllers.main import RunJobController
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.jobrunner.runner import Database

from .common import CONTROLLER_LOGGER, JobCase


def conflict(pgcode="40001"):
    error = type("Conflict", (psycopg2.OperationalError,), {"pgcode": pgcode})
    return error("somebody was faster")


class StepCase(JobCase):
    def setUp(self):
        super().setUp()
        self.commit = self.startPatcher(mock.patch.object(self.env.cr, "commit"))
        self.rollback = self.startPatcher(mock.patch.object(self.env.cr, "rollback"))
        self.startPatcher(mock.patch("time.sleep"))

    def locks(self, row):
        return self.env["queue.job.lock"].search([("queue_job_id", "=", row.id)])

    def bare_row(self, uuid, **values):
        """Make a row with nothing in it but what a caller of ``create`` must give."""
        editor = self.job_model.with_context(
            _job_edit_sentinel=self.job_model.EDIT_SENTINEL
        )
        call = {"model_name": "queue.job", "method_name": "_test_job"}
        return editor.create({"uuid": uuid, "state": "pending", **call, **values})


@tagged("post_install", "-at_install")
class TestAcquireStep(StepCase):
    def test_enqueued_row_of_test_data(self):
        row = self.job_model.search([("uuid", "=", "test_enqueued_job")])
        row.state = "enqueued"
        self.env.flush_all()
        self.assertFalse(self.locks(row))
        job = RunJobController._acquire_job(self.env, job_uuid="test_enqueued_job")
        self.assertEqual(job.db_record(), row)
        self.assertEqual(job.state, "started")
        self.assertTrue(self.locks(row))
        self.commit.assert_called_once_with()

    def test_started_row_of_test_data(self):
        row = self.job_model.search([("uuid", "=", "test_started_job")])
        row.state = "started"
        self.env.flush_all()
        with self.assertLogs(CONTROLLER_LOGGER, "WARNING") as logs:
            job = RunJobController._acquire_job(self.env, job_uuid="test_started_job")
        self.assertIsNone(job)
        self.assertFalse(self.locks(row))
        self.assertIn(
            "was requested to run job test_started_job, but it does not exist",
            logs.output[0],
        )
        self.commit.assert_not_called()

    def test_started_is_written_before_the_commit_and_locked_after_it(self):
        row = self.bare_row("steps", state="enqueued")
        steps = []
        lock = Job.lock

        def note(step):
            self.env.cr.execute("SELECT state FROM queue_job WHERE id = %s", [row.id])
            steps.append((step, *self.env.cr.fetchone()))

        def noted_lock(job):
            note("lock")
            return lock(job)

        self.env.flush_all()
        self.commit.side_effect = lambda: note("commit")
        with mock.patch.object(Job, "lock", noted_lock):
            RunJobController._acquire_job(self.env, "steps")
        self.assertEqual(steps, [("commit", "started"), ("lock", "started")])


@tagged("post_install", "-at_install")
class TestPerformStep(StepCase):
    def test_job_of_another_cursor_is_refused(self):
        job = self.make_job()
        with self.registry.cursor() as cr, self.assertRaises(AssertionError):
            RunJobController._try_perform_job(self.env(cr=cr), job)

    def test_done_without_a_commit(self):
        job = self.make_job(self.record.write_name, "done")
        RunJobController._try_perform_job(self.env, job)
        self.assertEqual((job.state, self.row(job).state), ("done", "done"))
        self.assertEqual(self.record.name, "done")
        self.commit.assert_not_called()

    def test_commit_inside_raises(self):
        job = self.make_job(self.record.commit_inside, "lost")
        with self.assertRaisesRegex(RuntimeError, "^Commit is forbidden in queue jobs"):
            RunJobController._try_perform_job(self.env, job)
        self.assertIs(self.env.cr.commit, self.commit)
        self.commit.assert_not_called()
        self.env.invalidate_all()
        self.assertEqual(self.record.name, "one")

    def test_commit_inside_that_is_allowed(self):
        """On a cursor of its own; the lock of this one is not let go."""
        function = self.env.ref("queue_job.job_function_queue_job__test_job")
        function.allow_commit = True
        job = Job(self.job_model._test_job, kwargs={"commit_within_job": True})
        RunJobController._try_perform_job(self.env, job)
        self.assertEqual(self.row(job).state, "done")
        self.commit.assert_not_called()

    def test_what_is_still_to_be_computed_is_part_of_the_time(self):
        job = self.make_job(self.record.write_name, "ab")
        compute = type(self.record)._compute_double_name
        seen = []

        def computed(records):
            seen.append(job.date_done)
            compute(records)

        with mock.patch.object(type(self.record), "_compute_double_name", computed):
            RunJobController._try_perform_job(self.env, job)
        self.assertEqual(seen, [None])
        self.assertTrue(job.date_done)

    def test_error_passes_and_the_work_is_undone(self):
        job = self.make_job(self.record.write_name_then_raise, "lost", "value")
        with self.assertRaises(ValueError):
            RunJobController._try_perform_job(self.env, job)
        self.env.invalidate_all()
        self.assertEqual(self.record.name, "one")
        self.assertEqual(self.row(job).state, "pending")


@tagged("post_install", "-at_install")
class TestRunStep(StepCase):
    def run_here(self, job):
        """Run with everything that is recorded on the cursor of the test."""
        with mock.patch("odoo.addons.queue_job.job.Job.in_temporary_env") as temporary:
            self.temporary = temporary
            return RunJobController._runjob(self.env, job)

    def fail_here(self, job, expected):
        """Run a job that fails; without ``assertRaises``, which would roll back."""
        with mute_logger(CONTROLLER_LOGGER):
            try:
                self.run_here(job)
            except expected:
                return
        self.fail("nothing was raised")

    def test_done(self):
        job = self.make_job()
        with mock.patch.object(RunJobController, "_enqueue_dependent_jobs") as enqueue:
            self.assertIsNone(self.run_here(job))
        enqueue.assert_called_once_with(self.env, job)
        self.assertEqual(self.row(job).state, "done")

    def test_failure_is_recorded_on_another_cursor_and_raised(self):
        job = self.make_job(self.record.raise_error, "value")
        self.fail_here(job, ValueError)
        self.temporary.assert_called()
        row = self.row(job)
        self.assertEqual((job.state, row.state), ("failed", "failed"))
        self.assertEqual(
            (row.exc_name, row.exc_message), ("ValueError", "the job raised")
        )
        self.assertEqual(row.retry, 1)

    def test_on_fail_is_called_with_the_failure_values(self):
        """Also where no hook is set: others may override it."""
        job = self.make_job(self.record.raise_error, "value")
        with mock.patch.object(Job, "on_fail") as on_fail:
            self.fail_here(job, ValueError)
        [[values]] = [call.args for call in on_fail.call_args_list]
        self.assertEqual(values["exc_name"], "ValueError")
        self.assertEqual(values["exc_message"], "the job raised")
        self.assertIn("Traceback", values["exc_info"])

    def test_hook_of_the_test_job(self):
        function = self.env.ref("queue_job.job_function_queue_job__test_job")
        function.on_fail_method = "_test_on_fail"
        job = self.make_job(self.job_model._test_job)
        path = "odoo.addons.queue_job.models.queue_job.QueueJob"
        with (
            mock.patch(f"{path}._test_job", side_effect=KeyError("gone")),
            mock.patch(f"{path}._test_on_fail") as hook,
        ):
            self.fail_here(self.load(job), KeyError)
        [call] = hook.call_args_list
        self.assertEqual(set(call.kwargs), {"exc_name", "exc_message", "exc_info"})
        self.assertEqual(call.kwargs["exc_name"], "KeyError")

    def test_postponed(self):
        job = self.make_job(self.record.raise_retryable, "busy", 40)
        before = datetime.now()
        with self.assertNoLogs(CONTROLLER_LOGGER, "WARNING"):
            self.assertIsNone(self.run_here(job))
        self.rollback.assert_called_once_with()
        row = self.row(job)
        self.assertEqual((row.state, row.retry, row.result), ("pending", 1, "busy"))
        self.assertAlmostEqual(
            row.eta, before + timedelta(seconds=40), delta=timedelta(seconds=20)
        )
        self.assertFalse(row.date_started or row.date_enqueued)

    def test_conflict_postpones_a_job_that_nobody_claimed(self):
        for pgcode in ("55P03", "40001", "40P01"):
            with self.subTest(pgcode):
                job = self.make_job()
                with (
                    mock.patch.object(Job, "perform", side_effect=conflict(pgcode)),
                    self.assertNoLogs(CONTROLLER_LOGGER, "WARNING"),
                ):
                    self.assertIsNone(self.run_here(job))
                row = self.row(job)
                self.assertEqual(
                    (row.state, row.result), ("pending", "somebody was faster")
                )
                wait = (row.eta - datetime.now()).total_seconds()
                self.assertAlmostEqual(wait, 5, delta=5)

    def test_other_database_errors_fail(self):
        job = self.make_job()
        with mock.patch.object(Job, "perform", side_effect=conflict("57014")):
            self.fail_here(job, psycopg2.OperationalError)
        self.assertEqual(self.row(job).state, "failed")

    def test_message_that_is_no_text(self):
        job = self.make_job()
        with mock.patch.object(Job, "perform", side_effect=KeyError({"a": 1})):
            self.fail_here(job, KeyError)
        self.assertEqual(self.row(job).exc_message, "{'a': 1}")

    def test_job_that_was_never_stored(self):
        job = Job(self.record.testing_method)
        self.run_here(job)
        self.assertEqual(self.row(job).state, "done")
        job = Job(self.record.raise_error, args=("value",))
        self.fail_here(job, ValueError)
        self.assertEqual((job.state, self.row(job).state), ("failed", "failed"))

    def test_retryable_error_from_elsewhere(self):
        job = self.make_job()
        error = RetryableJobError("by an override", seconds=7)
        with mock.patch.object(RunJobController, "_try_perform_job", side_effect=error):
            self.assertIsNone(self.run_here(job))
        self.assertEqual(self.row(job).result, "by an override")


@tagged("post_install", "-at_install")
class TestDeadJobsStep(StepCase):
    def dead_job(self, uuid):
        job = Job.load(self.env, self.bare_row(uuid).uuid)
        job.set_enqueued()
        job.set_started()
        job.date_enqueued = datetime.now() - timedelta(minutes=1)
        job.store()
        self.env.flush_all()
        return job

    def sweep(self):
        query = Database(self.env.cr.dbname)._query_requeue_dead_jobs()
        self.env.cr.execute(query)
        self.env.invalidate_all()
        return [uuid for (uuid,) in self.env.cr.fetchall()]

    def test_starting_makes_a_lock_row(self):
        row = self.bare_row("lock row")
        job = Job.load(self.env, row.uuid)
        job.set_started()
        self.assertEqual(len(self.locks(row)), 1)

    def test_query_of_throw_away_databases(self):
        """One after the other: each is elected, and gives up the role with its end."""
        for number in range(3):
            job = self.dead_job(f"dead {number}")
            self.assertIn(job.uuid, self.sweep())
            row = self.row(job)
            self.assertEqual((row.state, row.retry), ("pending", 1))

    def test_sweep_changes_nothing_else(self):
        job = self.dead_job("dead")
        names = ("date_enqueued", "date_started", "date_done", "worker_pid")
        before = self.row(job).read(names)
        self.sweep()
        self.assertEqual(self.row(job).read(names), before)
        self.assertFalse(self.row(job).exc_message or self.row(job).exc_name)
