# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
from datetime import datetime, timedelta
from unittest import mock

import psycopg2

from odoo import SUPERUSER_ID, api
from odoo.tests import BaseCase, tagged

from odoo.addons.queue_job.controllers.main import (
    DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE,
    PG_RETRY,
    RunJobController,
    _prevent_commit,
)
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.job import Job

from ..controllers.main import ThirdPartyRunJobController
from .common import (
    CONTROLLER_LOGGER,
    CommittedJobCase,
    JobCase,
    SerializationFailure,
)


@tagged("post_install", "-at_install")
class TestPreventCommit(BaseCase):
    def setUp(self):
        super().setUp()
        self.cursor = mock.Mock(spec=["commit"])
        self.commit = self.cursor.commit

    def test_commit_is_forbidden_meanwhile(self):
        text = "^Commit is forbidden in queue jobs(?s:.)*Allow Commit"
        with _prevent_commit(self.cursor), self.assertRaisesRegex(RuntimeError, text):
            self.cursor.commit()
        self.commit.assert_not_called()

    def test_commit_is_restored(self):
        with _prevent_commit(self.cursor):
            pass
        self.assertIs(self.cursor.commit, self.commit)

    def test_commit_is_restored_after_an_error(self):
        with self.assertRaises(KeyError), _prevent_commit(self.cursor):
            raise KeyError
        self.assertIs(self.cursor.commit, self.commit)


@tagged("post_install", "-at_install")
class TestFailureValues(JobCase):
    def test_values(self):
        job = Job(self.record.testing_method)
        cases = (
            (ValueError("the text"), "ValueError", "the text"),
            (ValueError(), "ValueError", ""),
            (KeyError({"a": 1}), "KeyError", {"a": 1}),
            (
                RetryableJobError("later"),
                "odoo.addons.queue_job.exception.RetryableJobError",
                "later",
            ),
        )
        for error, name, message in cases:
            with self.subTest(name):
                self.assertEqual(
                    RunJobController._get_failure_values(job, "traceback", error),
                    {"exc_info": "traceback", "exc_name": name, "exc_message": message},
                )


@tagged("post_install", "-at_install")
class TestAcquire(CommittedJobCase):
    def test_started_is_committed_and_the_lock_held(self):
        uuid = self.delay("testing_method")
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            job = RunJobController._acquire_job(env, uuid)
            self.assertEqual((job.uuid, job.state), (uuid, "started"))
            self.assertIs(job.env.cr, cr)
            values = self.columns(uuid, "state", "date_started", "worker_pid")
            self.assertEqual(values["state"], "started")
            self.assertTrue(values["date_started"] and values["worker_pid"])
            with self.new_env() as other:
                self.assertFalse(Job.load(other, uuid).lock())
            cr.rollback()
        with self.new_env() as other:
            self.assertTrue(Job.load(other, uuid).lock())

    def test_one_commit(self):
        uuid = self.delay("testing_method")
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            with mock.patch.object(cr, "commit", wraps=cr.commit) as commit:
                RunJobController._acquire_job(env, uuid)
            commit.assert_called_once_with()

    def test_only_enqueued_jobs_are_acquired(self):
        uuid = self.delay("testing_method", state="pending")
        for state in (
            "pending",
            "wait_dependencies",
            "started",
            "done",
            "failed",
            "cancelled",
        ):
            with self.subTest(state):
                self.move(uuid, state)
                with (
                    self.registry.cursor() as cr,
                    mock.patch.object(cr, "commit") as commit,
                ):
                    env = api.Environment(cr, SUPERUSER_ID, {})
                    with self.assertLogs(CONTROLLER_LOGGER, level="WARNING") as log:
                        self.assertIsNone(RunJobController._acquire_job(env, uuid))
                    commit.assert_not_called()
                self.assertIn(
                    f"was requested to run job {uuid}, but it does not exist",
                    log.output[0],
                )
                self.assertEqual(self.columns(uuid, "state"), {"state": state})

    def test_missing_job(self):
        with self.new_env() as env:
            with self.assertLogs(CONTROLLER_LOGGER, level="WARNING") as log:
                self.assertIsNone(RunJobController._acquire_job(env, "no such uuid"))
        self.assertIn(
            "was requested to run job no such uuid, but it does not exist",
            log.output[0],
        )

    def test_job_locked_elsewhere_is_skipped(self):
        uuid = self.delay("testing_method")
        with self.registry.cursor() as other:
            other.execute(
                "SELECT id FROM queue_job WHERE uuid = %s FOR UPDATE", (uuid,)
            )
            with (
                self.new_env() as env,
                self.assertLogs(CONTROLLER_LOGGER, level="WARNING"),
            ):
                self.assertIsNone(RunJobController._acquire_job(env, uuid))

    def test_lock_that_is_taken_gives_nothing(self):
        uuid = self.delay("testing_method")
        with mock.patch.object(Job, "lock", return_value=False), self.new_env() as env:
            with self.assertLogs(CONTROLLER_LOGGER, level="WARNING") as log:
                self.assertIsNone(RunJobController._acquire_job(env, uuid))
        self.assertIn("could not be locked", log.output[0])


@tagged("post_install", "-at_install")
class TestRunJob(CommittedJobCase):
    def run_failing(self, uuid):
        with self.assertLogs(CONTROLLER_LOGGER, level="ERROR") as log:
            error = self.acquire_and_run(uuid)
        return error, log.output

    def test_done(self):
        uuid = self.delay("write_name", "done")
        self.assertIsNone(self.acquire_and_run(uuid))
        values = self.columns(
            uuid,
            "state",
            "retry",
            "date_started",
            "date_done",
            "date_enqueued",
            "exec_time",
        )
        self.assertEqual((values["state"], values["retry"]), ("done", 1))
        for name in ("date_enqueued", "date_started", "date_done"):
            self.assertTrue(values[name], name)
        self.assertEqual(self.name_of_record(), "done")

    def test_result_is_stored_as_text(self):
        uuid = self.delay("return_value", 5)
        self.acquire_and_run(uuid)
        self.assertEqual(self.columns(uuid, "result"), {"result": "5"})

    def test_pending_computations_belong_to_the_job(self):
        uuid = self.delay("write_name", "ab")
        self.acquire_and_run(uuid)
        with self.new_env() as env:
            self.assertEqual(self.record_in(env).double_name, "abab")

    def test_failure(self):
        uuid = self.delay("write_name_then_raise", "lost", "value")
        error, log = self.run_failing(uuid)
        self.assertIsInstance(error, ValueError)
        self.assertIn("Traceback", log[0])
        values = self.columns(
            uuid,
            "state",
            "retry",
            "exc_name",
            "exc_message",
            "exc_info",
            "date_started",
        )
        self.assertEqual(
            (
                values["state"],
                values["retry"],
                values["exc_name"],
                values["exc_message"],
            ),
            ("failed", 1, "ValueError", "the job raised"),
        )
        self.assertIn("Traceback", values["exc_info"])
        self.assertTrue(values["date_started"])
        self.assertEqual(self.name_of_record(), "one")

    def test_failure_shows_one_message_and_the_tracked_error(self):
        uuid = self.delay("raise_error", "value")
        self.run_failing(uuid)
        with self.new_env() as env:
            messages = env["queue.job"].search([("uuid", "=", uuid)]).message_ids
            subtype = env.ref("queue_job.mt_job_failed")
            self.assertEqual(len(messages), 2)
            self.assertEqual(
                len(messages.filtered(lambda m: m.subtype_id == subtype)), 1
            )
            tracked = messages.tracking_value_ids
            self.assertEqual(tracked.field_id.name, "exc_message")
            self.assertEqual(tracked.new_value_char, "the job raised")

    def test_retry(self):
        uuid = self.delay("raise_retryable", "busy", 40)
        before = datetime.now()
        with self.assertNoLogs(CONTROLLER_LOGGER, level="ERROR"):
            self.assertIsNone(self.acquire_and_run(uuid))
        values = self.columns(
            uuid, "state", "retry", "result", "eta", "date_enqueued", "date_started"
        )
        self.assertEqual(
            (values["state"], values["retry"], values["result"]), ("pending", 1, False)
        )
        self.assertAlmostEqual(
            values["eta"], before + timedelta(seconds=40), delta=timedelta(seconds=10)
        )
        self.assertFalse(values["date_enqueued"] or values["date_started"])

    def test_retry_rolls_the_work_back(self):
        uuid = self.delay("write_name", "lost")
        with mock.patch.object(
            Job, "set_done", side_effect=RetryableJobError("after the work", seconds=1)
        ):
            self.acquire_and_run(uuid)
        self.assertEqual(self.columns(uuid, "state"), {"state": "pending"})
        self.assertEqual(self.name_of_record(), "one")

    def test_last_retry_fails(self):
        uuid = self.delay("raise_retryable", "busy", max_retries=1)
        error, _log = self.run_failing(uuid)
        self.assertEqual(str(error), "Max. retries (1) reached: busy")
        values = self.columns(uuid, "state", "exc_name", "exc_message")
        self.assertEqual(values["state"], "failed")
        self.assertEqual(
            values["exc_name"], "odoo.addons.queue_job.exception.FailedJobError"
        )
        self.assertEqual(values["exc_message"], "Max. retries (1) reached: busy")

    def test_concurrency_errors_are_tried_again(self):
        self.assertEqual(PG_RETRY, 5)
        for pgcode in ("55P03", "40001", "40P01"):
            with self.subTest(pgcode):
                error = type(
                    "Conflict", (psycopg2.OperationalError,), {"pgcode": pgcode}
                )
                uuid = self.delay("testing_method")
                with (
                    mock.patch.object(Job, "perform", side_effect=error("conflict")),
                    mock.patch("time.sleep"),
                ):
                    self.assertIsNone(self.acquire_and_run(uuid))
                values = self.columns(uuid, "state", "result", "eta")
                self.assertEqual(
                    (values["state"], values["result"]), ("pending", False)
                )
                self.assertTrue(values["eta"])

    def test_other_operational_error_fails(self):
        uuid = self.delay("testing_method")
        with mock.patch.object(
            Job, "perform", side_effect=psycopg2.OperationalError("other")
        ):
            self.run_failing(uuid)
        self.assertEqual(self.columns(uuid, "state"), {"state": "failed"})

    def test_commit_inside_is_refused(self):
        uuid = self.delay("commit_inside", "lost")
        error, _log = self.run_failing(uuid)
        self.assertIsInstance(error, RuntimeError)
        values = self.columns(uuid, "state", "exc_message")
        self.assertEqual(values["state"], "failed")
        self.assertIn("Commit is forbidden in queue jobs", values["exc_message"])
        self.assertEqual(self.name_of_record(), "one")

    def test_commit_inside_works_where_it_is_allowed(self):
        uuid = self.delay("commit_inside_allowed", "committed")
        self.assertIsNone(self.acquire_and_run(uuid))
        self.assertEqual(self.columns(uuid, "state"), {"state": "done"})
        self.assertEqual(self.name_of_record(), "committed")

    def test_what_was_committed_inside_stays_after_a_failure(self):
        uuid = self.delay("commit_inside_then_raise", "committed")
        self.run_failing(uuid)
        self.assertEqual(self.columns(uuid, "state"), {"state": "failed"})
        self.assertEqual(self.name_of_record(), "committed")

    def test_every_recordset_of_a_job_that_may_commit_is_on_its_cursor(self):
        uuid = self.delay("testing_method", state="pending")
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            record = self.record_in(env)
            job = Job(
                record.return_cursors,
                args=(record, [record]),
                kwargs={"k": {"d": record}},
            )
            cursors = job.perform()
            self.assertEqual(len(cursors), 4)
            self.assertEqual(len(set(map(id, cursors))), 1)
            self.assertIsNot(cursors[0], cr)
        self.assertEqual(self.columns(uuid, "state"), {"state": "pending"})

    def test_on_fail_hook_may_write_what_the_job_wrote(self):
        uuid = self.delay("with_fail_hook", "of the job")
        self.run_failing(uuid)
        self.assertEqual(self.columns(uuid, "state"), {"state": "failed"})
        self.assertEqual(self.name_of_record(), "ValueError: the hook should know")

    def test_hook_is_not_called_when_the_job_is_tried_again(self):
        uuid = self.delay("with_fail_hook", "of the job")
        with mock.patch.object(Job, "perform", side_effect=RetryableJobError("later")):
            with mock.patch.object(Job, "on_fail") as on_fail:
                self.acquire_and_run(uuid)
        on_fail.assert_not_called()

    def test_hook_gets_the_failure_values(self):
        uuid = self.delay("with_fail_hook", "of the job")
        with mock.patch.object(Job, "on_fail") as on_fail:
            self.run_failing(uuid)
        [call] = on_fail.call_args_list
        self.assertEqual(set(call.args[0]), {"exc_name", "exc_message", "exc_info"})

    def test_dependents_are_handled_after_success_only(self):
        with mock.patch.object(RunJobController, "_enqueue_dependent_jobs") as enqueue:
            self.acquire_and_run(self.delay("testing_method"))
            self.assertEqual(len(enqueue.call_args_list), 1)
            self.run_failing(self.delay("raise_error", "value"))
            self.acquire_and_run(self.delay("raise_retryable"))
            self.assertEqual(len(enqueue.call_args_list), 1)

    def test_third_party_controller(self):
        journal = []
        self.patch(ThirdPartyRunJobController, "third_party_journal", journal)
        uuid = self.delay("testing_method")
        self.acquire_and_run(uuid, ThirdPartyRunJobController)
        self.assertEqual(
            journal,
            [("run", uuid), ("try", uuid), ("tried", uuid), ("dependents", uuid)],
        )
        self.assertEqual(self.columns(uuid, "state"), {"state": "done"})


@tagged("post_install", "-at_install")
class TestTemporaryEnvironment(CommittedJobCase):
    def test_commits_at_the_end(self):
        with self.new_env() as env:
            job = Job(self.record_in(env).testing_method)
            with job.in_temporary_env():
                job.recordset.name = "committed"
            self.assertEqual(self.name_of_record(), "committed")

    def test_rolls_back_after_an_error(self):
        with self.new_env() as env:
            job = Job(self.record_in(env).testing_method)
            with self.assertRaises(KeyError), job.in_temporary_env():
                job.recordset.name = "rolled back"
                job.env.flush_all()
                raise KeyError
            self.assertIs(job.env, env)
        self.assertEqual(self.name_of_record(), "one")


@tagged("post_install", "-at_install")
class TestEnqueueDependentJobs(JobCase):
    def setUp(self):
        super().setUp()
        self.job = mock.MagicMock(name="job")
        self.cr = mock.MagicMock(name="cursor")
        self.fake_env = mock.Mock(cr=self.cr)

    def enqueue(self):
        RunJobController._enqueue_dependent_jobs(self.fake_env, self.job)

    def test_nothing_to_check(self):
        self.job.should_check_dependents.return_value = False
        self.enqueue()
        self.job.enqueue_waiting.assert_not_called()

    def test_in_a_savepoint(self):
        self.enqueue()
        self.cr.savepoint.assert_called()
        self.job.enqueue_waiting.assert_called_once_with()

    def test_conflicts_are_tried_again(self):
        self.job.enqueue_waiting.side_effect = [SerializationFailure(), None]
        with (
            mock.patch("time.sleep"),
            self.assertLogs(CONTROLLER_LOGGER, logging.INFO) as log,
        ):
            self.enqueue()
        self.assertEqual(self.job.enqueue_waiting.call_count, 2)
        self.assertRegex(
            log.output[0], r"SERIALIZATION_FAILURE, retry 1/5 in \S+ sec\.\.\."
        )

    def test_maximum_of_tries(self):
        self.assertEqual(DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE, 5)
        self.job.enqueue_waiting.side_effect = SerializationFailure()
        with (
            mock.patch("time.sleep"),
            self.assertLogs(CONTROLLER_LOGGER, "ERROR") as log,
        ):
            with self.assertRaises(SerializationFailure):
                self.enqueue()
        self.assertEqual(self.job.enqueue_waiting.call_count, 5)
        self.assertIn(
            "SERIALIZATION_FAILURE, maximum number of tries reached to update dependencies",
            log.output[0],
        )

    def test_other_errors_propagate_at_once(self):
        self.job.enqueue_waiting.side_effect = psycopg2.OperationalError("other")
        with self.assertRaises(psycopg2.OperationalError):
            self.enqueue()
        self.assertEqual(self.job.enqueue_waiting.call_count, 1)
