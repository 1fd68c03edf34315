# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Of a job that fails the first cause is kept, not what followed from it."""

import contextlib
from unittest import mock

from psycopg2 import InterfaceError

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.exception import RetryableJobError

from .common import CONTROLLER_LOGGER
from .test_runs import RunCase

KILL = "SELECT pg_terminate_backend(pg_backend_pid())"
# As PostgreSQL says it, or libpq when it hears no more of it.
LOST = "terminating connection|server closed the connection"


@tagged("post_install", "-at_install")
class TestFirstCause(RunCase):
    def setUp(self):
        super().setUp()
        self.startPatcher(mock.patch("time.sleep"))
        self.enterContext(mute_logger(CONTROLLER_LOGGER, "odoo.sql_db"))

    def perform(self, uuids, **options):
        # A cursor that lost its connection cannot be committed when it is closed.
        with contextlib.suppress(InterfaceError):
            return super().perform(uuids, **options)

    def fail_at_last_try(self, method, name="return_value", **properties):
        """Perform a job at its last try; return its text and traceback."""
        uuid = self.delay(name, 1, max_retries=1, **properties)
        with mock.patch.object(self.model_class, name, method):
            self.perform([uuid])
        row = self.columns(uuid, "state", "retry", "exc_message", "exc_info")
        self.assertEqual((row["state"], row["retry"]), ("failed", 1))
        return row["exc_message"], row["exc_info"]

    def test_b05_conflict_at_the_last_try(self):
        """The traceback had no line of the job."""

        def conflict(records, value):
            self.take_snapshot(records.env)
            with self.new_env() as env:
                self.record_in(env).name = "of another session"
            records.env.cr.execute(
                "UPDATE test_queue_job SET name = %s WHERE id = %s",
                ("of the job", records.id),
            )

        message, info = self.fail_at_last_try(conflict)
        self.assertIn("could not serialize access", message)
        self.assertIn("in conflict\n", info)
        self.assertIn("Statement: UPDATE test_queue_job SET name", info)

    def test_b05_statement_is_not_the_one_that_cleaned_up(self):
        def conflict(records, value):
            with records.env.cr.savepoint():
                records.env.cr.execute("SELECT 1 / %s AS by_zero", (0,))

        _message, info = self.fail_at_last_try(conflict)
        self.assertIn("Statement: SELECT 1 / %s AS by_zero", info)

    def test_b05_lost_connection(self):
        """The text was that of the cursor, which was closed already."""
        message, info = self.fail_at_last_try(
            lambda records, value: records.env.cr.execute(KILL)
        )
        self.assertRegex(message, LOST)
        self.assertIn(f"Statement: {KILL}", info)

    def test_b05_lost_connection_of_a_job_that_may_commit(self):
        message, info = self.fail_at_last_try(
            lambda records, name: records.env.cr.execute(KILL),
            "commit_inside_allowed",
        )
        self.assertRegex(message, LOST)
        self.assertIn(f"Statement: {KILL}", info)

    def test_b05_error_of_the_job_after_it_lost_its_connection(self):
        def lose(records, value):
            try:
                records.env.cr.execute(KILL)
            except Exception as error:
                raise ValueError("no stock could be read") from error

        message, info = self.fail_at_last_try(lose)
        self.assertIn("no stock could be read", message)
        self.assertRegex(info, LOST)

    def test_b05_postponed_by_the_job_after_it_lost_its_connection(self):
        def lose(records, value):
            try:
                records.env.cr.execute(KILL)
            except Exception as error:
                raise RetryableJobError("not yet", ignore_retry=True) from error

        uuid = self.delay("return_value", 1)
        with mock.patch.object(self.model_class, "return_value", lose):
            self.perform([uuid])
        self.assertEqual(
            self.columns(uuid, "state", "retry", "result"),
            {"state": "pending", "retry": 0, "result": "not yet"},
        )

    def test_b05_attempt_keeps_the_traceback_of_a_lost_connection(self):
        uuid = self.delay("return_value", 1)
        with mock.patch.object(
            self.model_class,
            "return_value",
            lambda records, value: records.env.cr.execute(KILL),
        ):
            self.perform([uuid])
        with self.new_env() as env:
            attempt = env["queue.job"].search([("uuid", "=", uuid)]).attempt_ids
            self.assertRegex(attempt.exc_message, LOST)
            self.assertIn(f"Statement: {KILL}", attempt.exc_info)
