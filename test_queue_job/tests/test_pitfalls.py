# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Known failures of the field's software, by their number; none of them is ours.

Each test tells how the failure was reproduced; the numbers are those of the
project's list.
"""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

from psycopg2 import OperationalError

from odoo import SUPERUSER_ID, api
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.controllers.main import RunJobController
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.worker import announce_dead

from .common import CONTROLLER_LOGGER, CommittedJobCase, SerializationFailure


@tagged("post_install", "-at_install")
class TestPitfallsOfRuns(CommittedJobCase):
    def setUp(self):
        super().setUp()
        self.startPatcher(mock.patch("time.sleep"))
        muted = mute_logger(CONTROLLER_LOGGER, "odoo.sql_db")
        self.enterContext(muted)

    def rewrite(self, uuid, **columns):
        """Change what only SQL can: as an uninstalled module leaves it."""
        with self.registry.cursor() as cr:
            for column, value in columns.items():
                cr.execute(
                    f"UPDATE queue_job SET {column} = %s WHERE uuid = %s", (value, uuid)
                )

    def run_until_it_ends(self, uuid, rounds=8):
        """Run, and sweep what was left over; return how many rounds it took."""
        for number in range(1, rounds + 1):
            self.move(uuid, "enqueued")
            # What acquiring raises is a request that answered 500.
            with contextlib.suppress(Exception):
                self.acquire_and_run(uuid)
            self.make_old()
            self.sweep_dead()
            if self.columns(uuid, "state")["state"] != "pending":
                return number
        return None

    def failures(self, uuid):
        return self.columns(
            uuid, "state", "retry", "exc_name", "exc_message", "exc_info"
        )

    def test_b01_conflicts_count_against_the_limit(self):
        uuid = self.delay("testing_method", max_retries=2)
        with mock.patch.object(
            type(self.env["test.queue.job"]),
            "testing_method",
            side_effect=SerializationFailure("conflict"),
        ):
            rounds = self.run_until_it_ends(uuid)
        values = self.failures(uuid)
        self.assertEqual((rounds, values["state"], values["retry"]), (2, "failed", 2))

    def test_b02_missing_method_fails_at_the_limit(self):
        uuid = self.delay("testing_method", max_retries=3)
        self.rewrite(uuid, method_name="no_such_method")
        rounds = self.run_until_it_ends(uuid)
        values = self.failures(uuid)
        self.assertEqual(values["state"], "failed")
        self.assertLessEqual(rounds, 3)
        self.assertGreaterEqual(values["retry"], 1)
        self.assertIn("no_such_method", values["exc_message"])

    def test_b02_missing_model_fails_at_the_limit(self):
        uuid = self.delay("testing_method", max_retries=3)
        self.rewrite(
            uuid,
            model_name="no.such.model",
            records='{"_type": "odoo_recordset", "model": "no.such.model", "ids": [1], "uid": 1}',
        )
        rounds = self.run_until_it_ends(uuid)
        values = self.failures(uuid)
        self.assertEqual(values["state"], "failed")
        self.assertLessEqual(rounds, 3)
        self.assertIn("no.such.model", values["exc_message"])

    def test_b02_buttons_work_without_the_method(self):
        for button, expected in (
            ("button_cancelled", "cancelled"),
            ("requeue", "pending"),
            ("button_done", "done"),
        ):
            with self.subTest(button):
                uuid = self.delay("testing_method", state="failed")
                self.rewrite(
                    uuid,
                    model_name="no.such.model",
                    method_name="no_such_method",
                    records='{"_type": "odoo_recordset", "model": "no.such.model", "ids": [1]}',
                )
                with self.new_env() as env:
                    getattr(env["queue.job"].search([("uuid", "=", uuid)]), button)()
                self.assertEqual(self.columns(uuid, "state"), {"state": expected})

    def test_b03_job_of_a_deleted_user_fails(self):
        with self.new_env() as env:
            user = self.make_user(env, "b03_deleted")
        uuid = self.delay("testing_method", user=user, max_retries=2)
        with self.new_env() as env:
            env["res.users"].browse(user).unlink()
        self.run_until_it_ends(uuid)
        values = self.failures(uuid)
        self.assertEqual(values["state"], "failed")
        self.assertIn("user", values["exc_message"])

    def test_b03_job_of_an_archived_user_runs(self):
        with self.new_env() as env:
            user = self.make_user(env, "b03_archived")
        self.addCleanup(self.remove_user, user)
        uuid = self.delay("testing_method", user=user)
        with self.new_env() as env:
            env["res.users"].browse(user).active = False
        self.acquire_and_run(uuid)
        self.assertEqual(self.columns(uuid, "state"), {"state": "done"})

    def make_user(self, env, login):
        user = (
            env["res.users"]
            .with_context(no_reset_password=True)
            .create({"name": login, "login": login})
        )
        return user.id

    def remove_user(self, user_id):
        with self.new_env() as env:
            env["res.users"].browse(user_id).unlink()

    def test_b05_hook_that_raises_loses_no_failure(self):
        uuid = self.delay("with_broken_fail_hook")
        self.acquire_and_run(uuid)
        values = self.failures(uuid)
        self.assertEqual(
            (values["state"], values["exc_name"], values["exc_message"]),
            ("failed", "ValueError", "the first error"),
        )
        self.assertIn("the first error", values["exc_info"])
        self.assertIn("the second error", values["exc_info"])

    def test_b06_error_with_characters_no_text_column_takes(self):
        for method, args in (
            ("raise_error", ("surrogate",)),
            ("raise_error", ("value", "bad \x01 character")),
        ):
            uuid = self.delay(method, *args)
            self.acquire_and_run(uuid)
            values = self.failures(uuid)
            self.assertEqual(values["state"], "failed")
            self.assertIn("character", values["exc_message"])

    def test_b06_error_with_a_nul(self):
        uuid = self.delay("testing_method")
        with mock.patch.object(
            type(self.env["test.queue.job"]),
            "testing_method",
            side_effect=ValueError("bad \x00 char"),
        ):
            self.acquire_and_run(uuid)
        values = self.failures(uuid)
        self.assertEqual(values["state"], "failed")
        self.assertIn("char", values["exc_message"])

    def test_b06_what_has_no_text(self):
        """An error, or a result, whose own ``__str__`` raises."""

        class Mute(Exception):
            def __str__(self):
                raise KeyError("forgotten")

        method = (type(self.env["test.queue.job"]), "testing_method")
        for error in (Mute(), Mute(Mute())):
            uuid = self.delay("testing_method")
            with mock.patch.object(*method, side_effect=error):
                self.acquire_and_run(uuid)
            values = self.failures(uuid)
            self.assertEqual(
                (values["state"], values["exc_name"][-4:]), ("failed", "Mute")
            )
            self.assertIn("Mute", values["exc_message"])
        uuid = self.delay("testing_method")
        with mock.patch.object(*method, return_value=Mute()):
            self.acquire_and_run(uuid)
        self.assertEqual(self.columns(uuid, "state"), {"state": "done"})

    def test_b06_result_with_a_nul(self):
        uuid = self.delay("testing_method")
        with mock.patch.object(
            type(self.env["test.queue.job"]),
            "testing_method",
            return_value="a \x00 result",
        ):
            self.acquire_and_run(uuid)
        values = self.columns(uuid, "state", "result")
        self.assertEqual(values["state"], "done")
        self.assertIn("result", values["result"])

    def test_b07_error_while_done_is_written_does_not_hang(self):
        """The handler of 19.0 waits for a row that its own worker locks."""
        uuid = self.delay("testing_method")
        write = type(self.env["queue.job"]).write
        in_temporary_env = Job.in_temporary_env

        def broken_write(records, vals):
            result = write(records, vals)
            if vals.get("state") == "done":
                records.flush_recordset()
                raise ValueError("refused to be done")
            return result

        @contextlib.contextmanager
        def impatient(job):
            with in_temporary_env(job):
                job.env.cr.execute("SET LOCAL lock_timeout = '3s'")
                yield

        self.patch(type(self.env["queue.job"]), "write", broken_write)
        self.patch(Job, "in_temporary_env", impatient)
        self.acquire_and_run(uuid)
        values = self.failures(uuid)
        self.assertEqual(
            (values["state"], values["exc_message"]), ("failed", "refused to be done")
        )

    def test_b09_worker_that_dies_each_time(self):
        uuid = self.delay("testing_method", max_retries=5)
        deaths = 0
        while self.columns(uuid, "state")["state"] == "enqueued":
            self.die_while_running(uuid)
            deaths += 1
            self.make_old()
            self.assertEqual(self.sweep_dead(), [uuid])
            if self.columns(uuid, "state")["state"] == "pending":
                self.move(uuid, "enqueued")
            self.assertLess(deaths, 10)
        values = self.failures(uuid)
        self.assertEqual((deaths, values["state"]), (5, "failed"))
        self.assertEqual(values["exc_name"], "JobFoundDead")
        self.assertTrue(values["exc_message"])

    def test_b09_failure_of_a_dead_job_is_announced_once(self):
        uuid = self.delay("with_fail_hook", "name", max_retries=1)
        self.die_while_running(uuid)
        self.make_old()
        self.assertEqual(self.sweep_dead(), [uuid])
        for _time in range(2):
            with self.new_env() as env:
                announce_dead(env, uuid)
        with self.new_env() as env:
            job = env["queue.job"].search([("uuid", "=", uuid)])
            subtype = env.ref("queue_job.mt_job_failed")
            self.assertEqual(
                len(job.message_ids.filtered(lambda m: m.subtype_id == subtype)), 1
            )
        self.assertIn("JobFoundDead", self.name_of_record())

    def test_b09_failure_that_cannot_be_announced_is_given_up(self):
        """B4: the template of a follower raises, and it was tried for ever."""
        uuid = self.delay("with_fail_hook", "name", max_retries=1)
        self.die_while_running(uuid)
        self.make_old()
        self.sweep_dead()
        post = mock.Mock(side_effect=ValueError("the template failed"))
        with (
            mock.patch.object(
                self.registry["queue.job"], "_message_post_on_failure", post
            ),
            self.assertLogs(CONTROLLER_LOGGER, "ERROR") as logs,
        ):
            for _time in range(2):
                with self.new_env() as env:
                    announce_dead(env, uuid)
        post.assert_called_once()
        self.assertIn(f"job {uuid}: failure not announced, giving up", logs.output[0])
        self.assertEqual(self.columns(uuid, "to_report"), {"to_report": False})
        self.assertIn("JobFoundDead", self.name_of_record())

    def test_b09_failure_is_announced_later_after_an_error_of_the_database(self):
        uuid = self.delay("with_fail_hook", "name", max_retries=1)
        self.die_while_running(uuid)
        self.make_old()
        self.sweep_dead()
        post = mock.Mock(side_effect=OperationalError("conflict"))
        with (
            mock.patch.object(
                self.registry["queue.job"], "_message_post_on_failure", post
            ),
            self.assertRaises(OperationalError),
            self.new_env() as env,
        ):
            announce_dead(env, uuid)
        self.assertEqual(self.columns(uuid, "to_report"), {"to_report": True})

    def test_b09_hook_of_a_dead_job_that_raises_is_told_too(self):
        """The row that says so is not to wait for the one that announces."""
        uuid = self.delay("with_fail_hook", "name", max_retries=1)
        self.die_while_running(uuid)
        self.make_old()
        self.sweep_dead()
        hook = mock.Mock(side_effect=ValueError("the hook failed"))
        with mock.patch.object(Job, "on_fail", hook), self.new_env() as env:
            env.cr.execute("SET lock_timeout = '10s'")
            announce_dead(env, uuid)
        self.assertIn("the hook failed", self.columns(uuid, "exc_info")["exc_info"])

    def test_b10_second_caller_of_a_key_gets_the_job_of_the_first(self):
        """Both asked before either had committed; test_keys.py has the rest."""

        def call():
            with self.new_env() as env:
                self.take_snapshot(env)
                asked.set()
                return (
                    self.record_in(env)
                    .with_delay(identity_key="b10")
                    .testing_method()
                    .uuid
                )

        asked = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            with self.new_env() as env:
                job = (
                    self.record_in(env).with_delay(identity_key="b10").testing_method()
                )
                second = pool.submit(call)
                asked.wait()
            self.assertEqual(second.result(), job.uuid)
        with self.new_env() as env:
            self.assertEqual(
                env["queue.job"].search_count([("identity_key", "=", "b10")]), 1
            )

    def test_b11_rollback_inside_the_job_releases_nothing_early(self):
        uuid = self.delay("rollback_inside", "rolled back")
        self.make_old()
        swept = []
        rollback_inside = type(self.env["test.queue.job"]).rollback_inside

        def rollback_then_sweep(records, name):
            rollback_inside(records, name)
            swept.extend(self.sweep_dead())

        with mock.patch.object(
            type(self.env["test.queue.job"]), "rollback_inside", rollback_then_sweep
        ):
            self.acquire_and_run(uuid)
        self.assertEqual(swept, [])
        values = self.failures(uuid)
        self.assertIn(values["state"], ("failed", "done"))
        self.assertNotIn("Savepoint", values["exc_name"] or "")

    def test_b12_cancel_that_arrives_while_the_job_runs_stays(self):
        uuid = self.delay("testing_method")

        def cancel_elsewhere(records):
            records.write({"name": "of the job"})
            with self.new_env() as env:
                env["queue.job"].search([("uuid", "=", uuid)]).write(
                    {"state": "cancelled"}
                )

        with mock.patch.object(
            type(self.env["test.queue.job"]), "testing_method", cancel_elsewhere
        ):
            self.acquire_and_run(uuid)
        state = self.columns(uuid, "state")["state"]
        self.assertIn(state, ("cancelled", "done"))
        self.assertEqual(
            self.name_of_record(), "one" if state == "cancelled" else "of the job"
        )

    def test_b12_other_writes_while_the_job_runs_lose_nothing(self):
        uuid = self.delay("testing_method")
        priorities = iter((3,))

        def write_elsewhere(records):
            records.write({"name": "of the job"})
            for priority in priorities:
                with self.new_env() as env:
                    job = env["queue.job"].search([("uuid", "=", uuid)])
                    job.write({"priority": priority})

        with mock.patch.object(
            type(self.env["test.queue.job"]), "testing_method", write_elsewhere
        ):
            self.acquire_and_run(uuid)
        self.assertEqual(self.columns(uuid, "state"), {"state": "done"})
        self.assertEqual(self.name_of_record(), "of the job")

    def test_b12_cancel_that_arrives_while_the_job_fails_stays(self):
        for method, args, error in (
            ("raise_error", ("value",), ValueError("too late")),
            ("raise_retryable", (), RetryableJobError("too late")),
        ):
            with self.subTest(method):
                uuid = self.delay(method, *args)

                def cancel_elsewhere(records, *_args, uuid=uuid, error=error):
                    with self.new_env() as env:
                        env["queue.job"].search([("uuid", "=", uuid)]).write(
                            {"state": "cancelled"}
                        )
                    raise error

                with mock.patch.object(
                    type(self.env["test.queue.job"]), method, cancel_elsewhere
                ):
                    self.acquire_and_run(uuid)
                self.assertEqual(
                    self.columns(uuid, "state", "exc_name", "eta"),
                    {"state": "cancelled", "exc_name": False, "eta": False},
                )

    def test_run_number_keeps_a_late_worker_from_failing_the_next_run(self):
        uuid = self.delay("raise_error", "value")
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            late = RunJobController._acquire_job(env, uuid)
            # Claimed again elsewhere, as if its liveness row had been free.
            self.rewrite(uuid, run_number=late.run_number + 1)
            with contextlib.suppress(ValueError):
                RunJobController._runjob(env, late)
            cr.rollback()
        self.assertEqual(self.columns(uuid, "state"), {"state": "started"})

    def test_run_number_keeps_a_late_worker_from_writing(self):
        """A worker thought dead comes back after the job ran elsewhere."""
        uuid = self.delay("write_name", "late")
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            late = RunJobController._acquire_job(env, uuid)
            # Claimed and done elsewhere, as if its liveness row had been free.
            self.rewrite(uuid, run_number=late.run_number + 1, state="done")
            with contextlib.suppress(Exception):
                RunJobController._runjob(env, late)
            cr.rollback()
        self.assertEqual(self.columns(uuid, "state"), {"state": "done"})
        self.assertEqual(self.name_of_record(), "one")
