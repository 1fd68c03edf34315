# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Jobs that commit in steps: the work and the place to go on are one commit."""

import threading
import time
from unittest import mock

from psycopg2.errors import SerializationFailure

from odoo.sql_db import Cursor
from odoo.tests import BaseCase, tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.exception import LostRunError, RetryableJobError
from odoo.addons.queue_job.worker import suspension
from odoo.addons.queue_job.worker.side import side_connection

from .common import CONTROLLER_LOGGER
from .test_runs import RunCase

ERRORS = mute_logger(CONTROLLER_LOGGER)
LIMITS = ("limit_time_real", "limit_time_cpu", "limit_memory_soft")


class StepsCase(RunCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(side_connection().close)

    def work(self, method, uuid=None, name="work_in_steps", **properties):
        """Let a worker perform a job of this method; return its uuid."""
        uuid = uuid or self.delay(name, **properties)
        if self.columns(uuid, "state")["state"] == "pending":
            self.move(uuid, "enqueued")
        with mock.patch.object(self.model_class, name, method):
            self.perform([uuid])
        return uuid

    def outcome(self, uuid):
        row = self.columns(uuid, "state", "retry", "exc_message")
        return row["state"], row["retry"]

    def value(self, query, *values):
        with self.registry.cursor() as cr:
            cr.execute(query, values)
            row = cr.fetchone()
            return row and row[0]

    def wait_for(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def rows_of(self, table, uuid):
        return self.value(
            f"SELECT count(*) FROM {table} t JOIN queue_job q ON q.id = t.id WHERE uuid = %s",
            uuid,
        )


@tagged("post_install", "-at_install")
class TestSteps(StepsCase):
    def test_step_is_committed_when_the_job_fails_behind_it(self):
        def method(record):
            record.name = "kept"
            record.env.cr.commit()
            record.name = "lost"
            record.flush_recordset()
            raise ValueError("wrong")

        with ERRORS:
            uuid = self.work(method)
        self.assertEqual(self.outcome(uuid), ("failed", 1))
        self.assertEqual(self.name_of_record(), "kept")

    def test_done_after_steps(self):
        def method(record):
            for number in range(3):
                record.name = f"part {number}"
                record.env.cr.commit()
            return "result"

        uuid = self.work(method)
        self.assertEqual(self.outcome(uuid), ("done", 1))
        self.assertEqual(self.name_of_record(), "part 2")
        self.assertEqual(self.rows_of("queue_job_checkpoint", uuid), 0)

    def test_rollback_goes_back_to_the_last_step(self):
        def method(record):
            record.name = "kept"
            record.env.cr.commit()
            record.name = "lost"
            record.flush_recordset()
            record.env.cr.rollback()
            assert record.name == "kept"

        self.assertEqual(self.outcome(self.work(method)), ("done", 1))
        self.assertEqual(self.name_of_record(), "kept")

    def test_step_that_fails_leaves_no_checkpoint_to_the_next(self):
        """Items that were undone would be skipped by the next attempt."""

        def method(record):
            job = record._current_job()
            job.step(done=1, checkpoint={"page": 1})
            try:
                with record.env.cr.savepoint():
                    job.step(done=2, checkpoint={"page": 2})
            except RuntimeError:
                record.env.cr.rollback()
            job.step(message="went on")
            assert job.checkpoint == {"page": 1}, job.checkpoint

        self.assertEqual(self.outcome(self.work(method)), ("done", 1))

    def test_next_attempt_goes_on_from_the_checkpoint(self):
        seen = []

        def method(record):
            job = record._current_job()
            seen.append(job.checkpoint)
            if job.checkpoint is None:
                job.step(done=1, total=3, checkpoint={"page": 1})
                raise RetryableJobError("later", seconds=1)

        uuid = self.work(method)
        self.assertEqual(self.outcome(uuid), ("pending", 1))
        self.work(method, uuid)
        self.assertEqual(seen, [None, {"page": 1}])
        self.assertEqual(self.outcome(uuid), ("done", 2))

    def test_lost_lease_is_found_before_the_commit(self):
        uuid = self.delay("work_in_steps")

        def method(record):
            record.name = "committed"
            record.env.cr.commit()
            record.name = "of a job that was moved"
            self.move(uuid, "pending")
            try:
                record.env.cr.commit()
            except LostRunError:
                # A job that goes on all the same.
                record.name = "again"

        with mute_logger(CONTROLLER_LOGGER):
            self.work(method, uuid)
        self.assertEqual(self.outcome(uuid)[0], "pending")
        self.assertEqual(self.name_of_record(), "committed")

    def test_edit_of_the_row_begins_again_from_the_last_step(self):
        uuid = self.delay("work_in_steps")
        seen = []

        def method(record):
            job = record._current_job()
            seen.append(job.checkpoint)
            if len(seen) == 1:
                job.step(checkpoint=1)
                self.value(
                    "UPDATE queue_job SET priority = 3 WHERE uuid = %s RETURNING 1",
                    uuid,
                )
            job.step(checkpoint=2)

        self.work(method, uuid)
        self.assertEqual(seen, [None, 1])
        self.assertEqual(self.outcome(uuid), ("done", 1))

    def test_commit_inside_a_savepoint_is_refused(self):
        def method(record):
            with record.env.cr.savepoint():
                pass
            record.env.cr.commit()
            with record.env.cr.savepoint():
                record.env.cr.commit()

        with ERRORS:
            uuid = self.work(method)
        self.assertIn(
            "inside an open savepoint", self.columns(uuid, "exc_message")["exc_message"]
        )

    def test_attempts_count_since_the_last_step(self):
        def gets_on(record):
            job = record._current_job()
            job.step(checkpoint=(job.checkpoint or 0) + 1)
            raise RetryableJobError("later")

        def gets_stuck(record):
            raise RetryableJobError("later")

        uuid = self.work(gets_on, max_retries=2)
        for _time in range(3):
            self.work(gets_on, uuid)
        self.assertEqual(self.outcome(uuid), ("pending", 1))
        with ERRORS:
            self.work(gets_stuck, uuid)
        self.assertEqual(self.outcome(uuid), ("failed", 2))

    def test_attempts_of_a_thousand_claims_count_all_the_same(self):
        def method(record):
            record._current_job().step(checkpoint=1)
            raise RetryableJobError("later")

        uuid = self.work(method, max_retries=2)
        self.value("UPDATE queue_job_checkpoint SET claims = 1000 RETURNING 1")
        with ERRORS:
            self.work(method, uuid)
        self.assertEqual(self.outcome(uuid), ("failed", 2))

    def test_dead_after_a_step_counts_as_the_first_attempt(self):
        class Died(BaseException):
            pass

        def method(record):
            record._current_job().step(checkpoint=1)
            raise Died

        uuid = self.delay("work_in_steps", max_retries=2)
        for _time in range(3):
            with (
                mock.patch.object(self.model_class, "work_in_steps", method),
                mock.patch("odoo.addons.queue_job.worker.attempt.Kind", None),
                mute_logger(CONTROLLER_LOGGER),
            ):
                self.perform([uuid])
            self.assertEqual(self.outcome(uuid)[0], "started")
            self.make_old()
            self.assertEqual(self.sweep_dead(), [uuid])
            self.assertEqual(self.outcome(uuid), ("pending", 1))
            self.move(uuid, "enqueued")
        self.die_while_running(uuid)
        self.make_old()
        self.sweep_dead()
        self.assertEqual(self.outcome(uuid), ("failed", 2))

    def test_hooks_run_at_each_step_and_their_work_is_seen(self):
        seen = []

        def method(record):
            @record.env.cr.postcommit.add
            def hook():
                with self.new_env() as env:
                    self.record_in(env).name = "by the hook"

            @record.env.cr.postcommit.add
            def broken():
                raise ValueError("hook")

            record.env.cr.commit()
            seen.append(record.name)
            record.name = "by the job"

        with self.assertLogs(CONTROLLER_LOGGER, "ERROR") as log:
            uuid = self.work(method)
        self.assertEqual(seen, ["by the hook"])
        self.assertEqual(self.name_of_record(), "by the job")
        self.assertEqual(self.outcome(uuid), ("done", 1))
        self.assertEqual(len(log.output), 1)

    def test_suspended_job_is_pending_again_and_counts_no_attempt(self):
        def method(record):
            try:
                record.name = "kept"
                record._current_job().step(checkpoint=1)
            except Exception:
                record.name = "went on"

        with mock.patch.object(
            suspension.Suspension, "reason", return_value="the server stops"
        ):
            uuid = self.work(method)
        self.assertEqual(self.outcome(uuid), ("pending", 0))
        self.assertEqual(self.name_of_record(), "kept")
        self.assertFalse(self.columns(uuid, "eta")["eta"])
        self.work(lambda record: None, uuid)
        self.assertEqual(self.outcome(uuid), ("done", 1))

    def test_progress_of_scheduled_actions_is_a_step(self):
        shown = []

        def method(record):
            crons = record.env["ir.cron"]
            self.assertEqual(crons._commit_progress(remaining=5), float("inf"))
            record.name = "kept"
            crons._commit_progress(2, remaining=3)
            shown.append(self.value("SELECT done FROM queue_job_checkpoint"))
            shown.append(self.value("SELECT total FROM queue_job_checkpoint"))

        for name in ("work_in_steps", "work_freely"):
            uuid = self.work(method, name=name)
            self.assertEqual(self.outcome(uuid), ("done", 1))
            self.assertEqual(self.name_of_record(), "kept")
            self.wait_for(
                lambda uuid=uuid: not self.rows_of("queue_job_checkpoint", uuid)
            )
        self.assertEqual(shown, [2, 5, 2, 5])

    def test_one_transaction_and_one_message_per_step(self):
        counted = []

        def method(record):
            job = record._current_job()
            job.step(done=1)
            with mock.patch.object(
                Cursor, "execute", autospec=True, side_effect=Cursor.execute
            ) as execute:
                for number in range(10):
                    job.step(done=number)
            counted.append(len(execute.mock_calls))

        self.work(method)
        self.assertEqual(counted, [10])

    def test_conflict_after_a_step_begins_again_from_the_checkpoint(self):
        seen = []

        def method(record):
            job = record._current_job()
            seen.append(job.checkpoint)
            job.step(checkpoint=len(seen))
            if len(seen) < 6:
                raise SerializationFailure("conflict")

        with (
            mock.patch.object(SerializationFailure, "pgcode", "40001", create=True),
            mute_logger("odoo.sql_db"),
        ):
            uuid = self.work(method)
        self.assertEqual(seen, [None, 1, 2, 3, 4, 5])
        self.assertEqual(self.outcome(uuid), ("done", 1))


@tagged("post_install", "-at_install")
class TestCurrentJob(StepsCase):
    def test_batches_go_on_behind_the_last_step(self):
        items, worked = list(range(10)), []

        def method(record):
            for part in record._current_job().batches(items, size=3):
                if part[0] == 6 and len(worked) == 6:
                    worked.append("failed")
                    raise RetryableJobError("later")
                worked.extend(part)

        uuid = self.work(method)
        self.assertEqual(
            self.value(
                "SELECT (checkpoint::json)->'items'->>0 FROM queue_job_checkpoint"
            ),
            "6",
        )
        self.work(method, uuid)
        self.assertEqual(worked, [*range(6), "failed", *range(6, 10)])
        self.assertEqual(self.outcome(uuid)[0], "done")

    def test_batches_of_other_items_fail_with_a_sentence(self):
        def method(record, items):
            for part in record._current_job().batches(items, size=2):
                if part[0] == 3:
                    raise RetryableJobError("later")

        uuid = self.work(lambda record: method(record, [1, 2, 3]))
        with ERRORS:
            self.work(lambda record: method(record, [1, 5, 3]), uuid)
        message = self.columns(uuid, "exc_message")["exc_message"]
        self.assertIn("The first 2 items of 'items' are not those", message)

    def test_batches_of_records(self):
        with self.new_env() as env:
            records = env["test.queue.job"].create([{"name": str(n)} for n in range(5)])
            ids = records.ids

        def method(record):
            for part in record._current_job().batches(record.browse(ids), size=2):
                part.name = "worked on"

        self.assertEqual(self.outcome(self.work(method))[0], "done")
        with self.new_env() as env:
            names = env["test.queue.job"].browse(ids).mapped("name")
        self.assertEqual(set(names), {"worked on"})

    def test_checkpoints_that_are_refused(self):
        refused = []

        def method(record):
            job = record._current_job()
            for value in (object(), {"a": float("nan")}, "x" * 70000, "\x00", "\udc80"):
                try:
                    job.step(checkpoint=value)
                except (TypeError, ValueError) as error:
                    refused.append(str(error).partition(":")[0])
            job.step(checkpoint=["\\u0000", "ü" * 1000])
            assert job.checkpoint == ["\\u0000", "ü" * 1000]

        self.assertEqual(self.outcome(self.work(method))[0], "done")
        self.assertEqual(len(refused), 5)
        self.assertIn("65536 bytes", refused[2])

    def test_progress_is_seen_while_the_transaction_is_open(self):
        seen = []

        def method(record):
            job = record._current_job()
            job.step(done=1, total=100)
            job.progress(37, message="thirty-seven")
            self.wait_for(lambda: self.shown(uuid)["percent"] == 37)
            seen.append(self.shown(uuid))
            # The step is newer than what was said before it.
            job.step(done=40)
            seen.append(self.shown(uuid))

        uuid = self.delay("work_in_steps")
        self.work(method, uuid)
        self.assertEqual(
            [(shown["percent"], shown["message"]) for shown in seen],
            [(37, "thirty-seven"), (40, "thirty-seven")],
        )
        self.wait_for(lambda: not self.rows_of("queue_job_progress", uuid))
        self.assertFalse(self.shown(uuid))

    def shown(self, uuid):
        return self.columns(uuid, "progress")["progress"]

    def test_outside_of_a_job_nothing_happens(self):
        job = self.env["res.partner"]._current_job()
        self.assertFalse(job)
        self.assertIsNone(job.checkpoint)
        self.assertFalse(job.should_stop())
        with mock.patch.object(type(self.env.cr), "commit") as commit:
            job.step(done=1, checkpoint={"a": object()})
            job.progress(1)
            self.assertEqual(list(job.batches([1, 2, 3], size=2)), [[1, 2], [3]])
            self.env["res.partner"]._current_job().step()
        commit.assert_not_called()

    def test_call_without_delay_inside_a_job_is_outside(self):
        found = []

        def method(record, inner=False):
            found.append(bool(record._current_job()))
            if not inner:
                quiet = record.with_context(queue_job__no_delay=True)
                quiet.with_delay().work_in_steps(True)
                found.append(bool(record._current_job()))
                with self.new_env() as env:
                    found.append(bool(self.record_in(env)._current_job()))

        self.assertEqual(self.outcome(self.work(method))[0], "done")
        self.assertEqual(found, [True, False, True, False])

    def test_step_of_a_job_that_may_not_commit(self):
        def method(record, value):
            for _part in record._current_job().batches([1]):
                raise AssertionError("began to work")

        with ERRORS:
            uuid = self.work(method, self.delay("return_value", 1), "return_value")
        message = self.columns(uuid, "exc_message")["exc_message"]
        self.assertIn("Commit is forbidden in queue jobs", message)

    def test_requeue_goes_on_or_begins_anew(self):
        def method(record):
            record._current_job().step(checkpoint=1)
            raise ValueError("wrong")

        for from_beginning in (False, True):
            with ERRORS:
                uuid = self.work(method)
            with self.new_env() as env:
                job = env["queue.job"].search([("uuid", "=", uuid)])
                self.assertTrue(job.has_checkpoint)
                action = job.open_requeue()
                wizard = env[action["res_model"]].with_context(**action["context"])
                wizard = wizard.create({"from_beginning": from_beginning})
                self.assertEqual(wizard.kept_count, 1)
                wizard.requeue()
            self.assertEqual(self.outcome(uuid), ("pending", 0))
            rows = self.rows_of("queue_job_checkpoint", uuid)
            self.assertEqual(rows, 0 if from_beginning else 1)


@tagged("post_install", "-at_install")
class TestSuspension(BaseCase):
    def reason(self, seconds, **settings):
        settings = {**dict.fromkeys(LIMITS, 0), **settings}
        began_at = time.monotonic() - seconds
        with (
            mock.patch.object(
                threading.current_thread(), "start_time", time.time(), create=True
            ),
            mock.patch.object(threading.current_thread(), "type", None, create=True),
            mock.patch.object(suspension, "config", settings),
            mock.patch.object(suspension, "worker_of_this_thread", return_value=None),
        ):
            return suspension.Suspension(began_at).reason()

    def test_limits_of_a_worker(self):
        settings = {"limit_time_real_cron": -1}
        self.assertIsNone(self.reason(1000, **settings))
        settings["limit_time_real"] = 1000
        self.assertIsNone(self.reason(700, **settings))
        self.assertEqual(self.reason(801, **settings), "limit_time_real is near")
        settings["limit_memory_soft"] = 1
        self.assertEqual(self.reason(1, **settings), "limit_memory_soft is reached")

    def test_server_that_stops(self):
        with mock.patch.object(
            suspension.server, "server", mock.Mock(quit_signals_received=1)
        ):
            self.assertEqual(
                self.reason(1, limit_time_real_cron=-1), "the server stops"
            )


@tagged("post_install", "-at_install")
class TestCommitMode(StepsCase):
    def test_mode_and_older_field_say_the_same(self):
        functions = self.env["queue.job.function"]
        name = "<test.queue.job>.return_value"
        function = functions.create({"name": name})
        for values, mode, allowed in (
            ({"commit_mode": "steps"}, "steps", False),
            ({"allow_commit": False}, "steps", False),
            ({"allow_commit": True}, "free", True),
            ({"allow_commit": False}, "never", False),
            ({"commit_mode": "free"}, "free", True),
        ):
            function.write(values)
            with self.subTest(values):
                self.assertEqual(function.commit_mode, mode)
                self.assertEqual(function.allow_commit, allowed)
                self.assertEqual(functions.job_settings(name).commit_mode, mode)
                self.assertEqual(functions.job_config(name).allow_commit, allowed)

    def test_vacuum_takes_what_is_left(self):
        uuid = self.delay("work_in_steps", state="done")
        with self.new_env() as env:
            job = env["queue.job"].search([("uuid", "=", uuid)])
            env.cr.execute(
                "INSERT INTO queue_job_progress (id, run_number) VALUES (%s, 1), (0, 1)",
                [job.id],
            )
            env.cr.execute(
                "INSERT INTO queue_job_checkpoint (id, job_id, run_number) VALUES (%s, %s, 1)",
                [job.id, job.id],
            )
            env["queue.job.progress"]._gc_progress()
        self.assertEqual(self.rows_of("queue_job_checkpoint", uuid), 0)
        self.assertEqual(self.value("SELECT count(*) FROM queue_job_progress"), 0)
