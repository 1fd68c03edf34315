# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a run reports is what the rows say, whatever goes wrong around a job."""

import contextlib
from unittest import mock

import psycopg2

from odoo.exceptions import ConcurrencyError
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job import protocol
from odoo.addons.queue_job.controllers.main import RunJobController
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.sql import statements as sql
from odoo.addons.queue_job.worker import Bundle, Lease, outcome

from .common import CONTROLLER_LOGGER, Unheard
from .test_runs import RunCase


def fail_at_commit(records, value):
    records.env.cr.execute(
        "CREATE TEMP TABLE twice (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED) "
        "ON COMMIT DROP; INSERT INTO twice VALUES (1), (1)"
    )


def end_connection(records, *args):
    records.env.cr.execute("SELECT pg_terminate_backend(pg_backend_pid())")


class ReportCase(RunCase):
    def setUp(self):
        super().setUp()
        self.enterContext(mute_logger(CONTROLLER_LOGGER, "odoo.sql_db"))

    def object_to(self, state, uuids, error="not this one", hook=False):
        """Let an override of ``write`` refuse a move of some jobs."""
        job_class = type(self.env["queue.job"])
        write = job_class.write

        def fail():
            raise ValueError(error)

        def refuse(records, vals):
            result = write(records, vals)
            if vals.get("state") == state and set(records.mapped("uuid")) & set(uuids):
                if hook:
                    records.env.cr.postcommit.add(lambda: None)
                    records.env.cr.precommit.add(fail)
                else:
                    fail()
            return result

        self.patch(job_class, "write", refuse)

    def failure(self, uuid):
        return self.columns(uuid, "state", "retry", "exc_name", "exc_message")


@tagged("post_install", "-at_install")
class TestReports(ReportCase):
    def test_error_of_what_follows_a_job_is_told(self):
        uuids = self.delay_many(("testing_method",), ("return_value", 1))
        error = ValueError("cannot be released")
        with (
            mock.patch.object(
                RunJobController, "_enqueue_dependent_jobs", side_effect=error
            ),
            self.assertLogs(CONTROLLER_LOGGER, "ERROR") as log,
        ):
            report = self.perform(uuids)
        self.assertEqual(self.states(uuids), ["done", "done"])
        self.assertEqual(self.outcomes(report), dict.fromkeys(uuids, protocol.DONE))
        self.assertIn("cannot be released", "".join(log.output))

    def test_error_before_the_commit_is_no_error_after_it(self):
        def fail():
            raise ValueError("not to be")

        uuid = self.delay("return_value", 1)
        with mock.patch.object(
            Bundle,
            "claim_next",
            lambda bundle: bundle.env.cr.precommit.add(fail),
        ):
            report = self.perform([uuid])
        self.assertEqual(self.outcomes(report), {uuid: protocol.FAILED})
        self.assertEqual(self.failure(uuid)["exc_message"], "not to be")

    def test_changes_of_a_done_job_are_told_whatever_follows(self):
        told = []
        uuids = self.delay_many(("return_value", 1), ("testing_method",))
        signal_changes = self.registry.signal_changes

        def noting():
            told.extend(self.registry.cache_invalidated)
            signal_changes()

        with (
            mock.patch.object(
                RunJobController, "_enqueue_dependent_jobs", side_effect=ValueError
            ),
            mock.patch.object(
                self.model_class,
                "return_value",
                lambda records, value: self.registry.clear_cache(),
            ),
            mock.patch.object(self.registry, "signal_changes", noting),
        ):
            self.perform(uuids)
        self.assertTrue(told)

    def test_b12_wait_that_is_none_takes_the_pattern(self):
        """The job failed at its first try."""
        uuid = self.delay("raise_retryable", "busy", "soon")
        with self.assertLogs("odoo.addons.queue_job.job", "WARNING") as log:
            report = self.perform([uuid])
        self.assertIn("soon", log.output[0])
        self.assertEqual(self.outcomes(report), {uuid: protocol.POSTPONED})
        self.assertEqual(
            self.columns(uuid, "state", "retry", "result"),
            {"state": "pending", "retry": 1, "result": "busy"},
        )

    def test_job_whose_return_to_pending_is_refused_fails(self):
        uuid = self.delay("raise_retryable")
        self.object_to("pending", [uuid])
        report = self.perform([uuid])
        self.assertEqual(self.outcomes(report), {uuid: protocol.FAILED})
        self.assertEqual(
            self.failure(uuid),
            {
                "state": "failed",
                "retry": 1,
                "exc_name": "ValueError",
                "exc_message": "not this one",
            },
        )

    def test_job_of_which_nothing_can_be_recorded_is_reported_as_such(self):
        for method in ("raise_error", "raise_retryable"):
            with self.subTest(method):
                uuid = self.delay(method, *(["value"] if "error" in method else []))
                error = psycopg2.OperationalError("the database restarts")
                with (
                    mock.patch.object(Job, "store", side_effect=error),
                    mock.patch.object(
                        outcome, "_record_failure_plainly", side_effect=error
                    ),
                    self.assertLogs(CONTROLLER_LOGGER, "ERROR") as log,
                ):
                    report = self.perform([uuid])
                self.assertEqual(self.outcomes(report), {uuid: protocol.REFUSED})
                self.assertEqual(self.states([uuid]), ["started"])
                self.assertIn("could not record the outcome", "".join(log.output))

    def test_job_that_somebody_moved_is_not_reported_as_done(self):
        """It was done until its commit was refused, and moved before that was recorded."""
        [uuid] = self.delay_many(("return_value", 1))
        with (
            mock.patch.object(self.model_class, "return_value", fail_at_commit),
            mock.patch.object(Lease, "is_current", return_value=False),
        ):
            report = self.perform([uuid])
        self.assertEqual(self.outcomes(report), {uuid: protocol.REFUSED})

    def test_held_job_is_put_back_though_the_job_before_it_is_undone(self):
        uuids = [
            self.delay("return_value", 1),
            self.delay("testing_method", identity_key="held"),
        ]
        with (
            self.registry.cursor() as holder,
            mock.patch.object(self.model_class, "return_value", fail_at_commit),
        ):
            holder.execute(
                "SELECT pg_advisory_xact_lock_shared(%s, queue_job_key_lock('held'))",
                (int(sql.parts["key_lock_class"]),),
            )
            report = self.perform(uuids)
        self.assertEqual(
            self.outcomes(report), {uuids[0]: protocol.FAILED, uuids[1]: protocol.HELD}
        )
        self.assertEqual(self.states(uuids), ["failed", "pending"])


@tagged("post_install", "-at_install")
class TestObjections(ReportCase):
    """Who objects to the start of a job lets that job fail, and no other.

    Else it would be claimed again for ever, and never fail: B2 in another dress.
    """

    def setUp(self):
        super().setUp()
        self.uuids = self.delay_many(*(("return_value", number) for number in range(3)))

    def perform_three(self):
        report = self.perform(self.uuids)
        self.assertEqual(report.left, [])
        return self.states(self.uuids)

    def test_override(self):
        self.object_to("started", self.uuids[1:2])
        self.assertEqual(self.perform_three(), ["done", "pending", "done"])
        values = self.columns(self.uuids[1], "result", "retry", "run_number")
        self.assertIn(
            "cannot be started: ValueError: not this one", values.pop("result")
        )
        self.assertEqual(values, {"retry": 1, "run_number": 1})

    def test_override_of_the_first_job(self):
        self.object_to("started", self.uuids[:1])
        self.assertEqual(self.perform_three(), ["pending", "done", "done"])

    def test_hook_before_the_commit(self):
        self.object_to("started", self.uuids[1:2], hook=True)
        self.assertEqual(self.perform_three(), ["done", "pending", "done"])

    def test_what_was_written_by_who_objects_is_undone(self):
        job_class = type(self.env["queue.job"])
        write = job_class.write

        def write_then_refuse(records, vals):
            result = write(records, vals)
            if vals.get("state") == "started" and self.uuids[1] in records.mapped(
                "uuid"
            ):
                self.record_in(records.env).name = "half of it"
                records.env.flush_all()
                raise ValueError
            return result

        self.patch(job_class, "write", write_then_refuse)
        self.perform_three()
        self.assertEqual(self.name_of_record(), "one")

    def test_limit(self):
        uuid = self.delay("return_value", 1, max_retries=2)
        self.object_to("started", [uuid])
        self.perform([uuid])
        self.move(uuid, "enqueued")
        self.perform([uuid])
        values = self.failure(uuid)
        self.assertIn("not this one", values["exc_message"])
        self.assertEqual((values["state"], values["retry"]), ("failed", 2))

    def test_store_values_hook(self):
        def values(records, job):
            if job.uuid == self.uuids[1] and job.state == "started":
                raise ValueError("no customer")
            return {}

        self.patch(self.model_class, "_job_store_values", values)
        self.assertEqual(self.perform_three(), ["done", "pending", "done"])

    def test_store_values_hook_that_always_objects(self):
        def values(records, job):
            if job.uuid == self.uuids[1]:
                raise ValueError("no customer")
            return {}

        self.patch(self.model_class, "_job_store_values", values)
        self.assertEqual(self.perform_three(), ["done", "failed", "done"])
        self.assertEqual(
            self.columns(self.uuids[1], "exc_message"), {"exc_message": "no customer"}
        )

    def test_acquired_alone(self):
        self.object_to("started", self.uuids[:1])
        self.acquire_and_run(self.uuids[0])
        self.assertEqual(self.states(self.uuids[:1]), ["pending"])


@tagged("post_install", "-at_install")
class TestObjectionsUnheard(Unheard, TestObjections):
    """Only those who object listen."""

    allow_inherited_tests_method = True


@tagged("post_install", "-at_install")
class TestLostConnections(ReportCase):
    """A connection that PostgreSQL ends is not the fault of the job; the try is counted."""

    def test_of_a_job(self):
        uuids = self.delay_many(("return_value", 1), ("testing_method",))
        with (
            mock.patch.object(self.model_class, "return_value", end_connection),
            contextlib.suppress(psycopg2.InterfaceError),  # nothing to commit any more
        ):
            self.perform(uuids)
        self.assertEqual(self.states(uuids), ["pending", "enqueued"])
        self.assertEqual(self.columns(uuids[0], "retry"), {"retry": 1})

    def test_of_the_last_try(self):
        uuid = self.delay("return_value", 1, max_retries=1)
        with (
            mock.patch.object(self.model_class, "return_value", end_connection),
            contextlib.suppress(psycopg2.InterfaceError),
        ):
            self.perform([uuid])
        self.assertEqual(self.states([uuid]), ["failed"])

    def test_of_a_job_that_may_commit(self):
        """That is a connection of its own: the one of its worker lives."""
        uuids = self.delay_many(("commit_inside_allowed", "new"), ("testing_method",))
        with mock.patch.object(
            self.model_class, "commit_inside_allowed", end_connection
        ):
            self.perform(uuids)
        self.assertEqual(self.states(uuids), ["pending", "done"])
        self.assertEqual(self.columns(uuids[0], "retry"), {"retry": 1})


@tagged("post_install", "-at_install")
class TestConflictsOfTheFramework(ReportCase):
    def test_what_odoo_tries_again_is_tried_again(self):
        """Odoo has an error of its own for conflicts that PostgreSQL does not see."""
        tries = iter((ConcurrencyError("somebody was faster"), None))

        def method(records, value):
            if error := next(tries):
                records.name = "undone"
                raise error

        uuid = self.delay("return_value", 1)
        with (
            mock.patch.object(self.model_class, "return_value", method),
            mock.patch("odoo.addons.queue_job.worker.attempt.CONFLICT_PAUSE", 0),
        ):
            self.perform([uuid])
        self.assertEqual(
            self.columns(uuid, "state", "retry"), {"state": "done", "retry": 1}
        )
        self.assertEqual(self.name_of_record(), "one")


@tagged("post_install", "-at_install")
class TestOddRows(ReportCase):
    """Whatever the row of a job holds, the other jobs of its run are performed."""

    tag = (
        '{"_type": "odoo_recordset", "model": "test.queue.job", "ids": [%s], "uid": %s}'
    )
    odd = {
        "records": ("5", '"x"', "[]", "{}", '"[1"', tag % ('"a"', 1), tag % (1, 99999)),
        "args": ("5", '{"a": 1}', '"not json"', '"\\"text\\""'),
        "kwargs": ("5", "[1]", '"["', '{"no argument": 1}'),
        "dependencies": ("", "nonsense", "[1]", "null", "5", '{"depends_on": 5}'),
        "model_name": ("", "no.such.model"),
        "method_name": ("", "no_such_method", "_name", "env"),
        "channel_method_name": ("", "nonsense"),
        "channel": ("", "no.such.channel"),
        "graph_uuid": ("no such graph",),
        "identity_key": ("", "x" * 5000),
        "result": ("",),
        "priority": (-1,),
        "retry": (-5, 2147483646),
        "max_retries": (-1,),
    }
    columns_that_may_be_empty = (
        *("name", "func_string", "user_id", "company_id", "job_function_id"),
        *("date_created", "date_enqueued", "run_number", "worker_pid"),
    )

    def cases(self):
        for column, values in self.odd.items():
            for value in (*values, None):
                yield column, value
        for column in self.columns_that_may_be_empty:
            yield column, None

    def test_each_column(self):
        for column, value in self.cases():
            with self.subTest(column=column, value=value):
                odd, other = self.delay_many(("return_value", 1), ("return_value", 2))
                with self.registry.cursor() as cr:
                    cr.execute(
                        f"UPDATE queue_job SET {column} = %s WHERE uuid = %s",
                        (value, odd),
                    )
                report = self.perform([odd, other])
                self.assertEqual(self.states([other]), ["done"])
                self.assertIn(
                    (self.outcomes(report)[odd], *self.states([odd])),
                    [
                        (protocol.DONE, "done"),
                        (protocol.FAILED, "failed"),
                        (protocol.POSTPONED, "pending"),
                    ],
                )
