# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""An error is not lost by the retry that follows it."""

import contextlib
from datetime import datetime, timedelta
from unittest import mock

from freezegun import freeze_time

from odoo.tests import TransactionCase, new_test_user, tagged
from odoo.tools import mute_logger

from ..controllers.main import RunJobController
from ..exception import JobError, RetryableJobError
from ..store import attempts as kept_attempts
from ..worker import attempt

NINE = datetime(2026, 3, 4, 9)
LOGGER = "odoo.addons.queue_job.controllers.main"


class AttemptCase(TransactionCase):
    def setUp(self):
        super().setUp()
        # Cursors that the worker opens are part of this transaction.
        self.registry_enter_test_mode()
        self.partner_class = self.env.registry["res.partner"]

    def delay(self, **properties):
        return self.env["res.partner"].with_delay(**properties).create_company()

    def run_job(self, job, error=None):
        """Let a worker take the job and run into ``error``; return the row."""
        row = job.db_record()
        row.write({"state": "enqueued", "eta": False})
        self.env.flush_all()
        with (
            mock.patch.object(self.partner_class, "create_company", side_effect=error),
            # It would undo what was recorded: here that is the same transaction.
            mock.patch.object(attempt, "rollback"),
            mute_logger(LOGGER),
            self.registry.cursor() as cr,
        ):
            env = self.env(cr=cr)
            acquired = RunJobController._acquire_job(env, job.uuid)
            with contextlib.suppress(ValueError, JobError):
                RunJobController._runjob(env, acquired)
            cr.commit()  # pylint: disable=invalid-commit # a cursor of its own
        self.env.invalidate_all()
        return row


@tagged("post_install", "-at_install")
class TestAttempt(AttemptCase):
    def test_each_error_is_kept(self):
        job = self.delay(max_retries=3)
        self.run_job(job, RetryableJobError("no answer"))
        self.run_job(job, RetryableJobError("still no answer"))
        row = self.run_job(job, ValueError("wrong answer"))
        attempts = row.attempt_ids.sorted("id")
        self.assertEqual(attempts.mapped("number"), [1, 2, 3])
        self.assertEqual(
            attempts.mapped("outcome"), ["postponed", "postponed", "failed"]
        )
        self.assertEqual(
            attempts.mapped("exc_message"),
            ["no answer", "still no answer", "wrong answer"],
        )
        self.assertIn("Traceback", attempts[0].exc_info)
        self.assertTrue(
            all(attempt.date_started <= attempt.date_ended for attempt in attempts)
        )
        self.assertEqual(
            attempts.mapped("function"), ["<res.partner>.create_company"] * 3
        )

    def test_done_after_an_error_keeps_the_error(self):
        job = self.delay()
        self.run_job(job, RetryableJobError("no answer"))
        row = self.run_job(job)
        self.assertEqual(row.state, "done")
        self.assertEqual(row.attempt_ids.mapped("exc_message"), ["no answer"])

    def test_done_at_once_keeps_nothing(self):
        row = self.run_job(self.delay())
        self.assertEqual(row.state, "done")
        self.assertFalse(row.attempt_ids)

    def test_error_of_a_postponement_is_an_attempt(self):
        """Counted or not."""
        for ignore_retry in (False, True):
            error = RetryableJobError("busy", ignore_retry=ignore_retry)
            row = self.run_job(self.delay(), error)
            self.assertEqual((row.state, row.result), ("pending", "busy"))
            self.assertEqual(row.attempt_ids.mapped("exc_message"), ["busy"])
            self.assertEqual(row.attempt_ids.number, 1)

    def test_cause_of_a_job_out_of_tries(self):
        def refused():
            try:
                raise ConnectionError("refused")
            except ConnectionError as error:
                raise RetryableJobError("try later") from error

        class QuotaError(RetryableJobError):
            pass

        for raised, cause in (
            (refused, "ConnectionError"),
            (
                RetryableJobError("x"),
                "odoo.addons.queue_job.exception.RetryableJobError",
            ),
            (QuotaError("x"), f"{__name__}.QuotaError"),
            (ValueError("x"), False),
        ):
            side_effect = raised
            if callable(raised) and not isinstance(raised, Exception):
                side_effect = lambda *_args, call=raised, **_kw: call()  # noqa: E731
            row = self.run_job(self.delay(max_retries=1), side_effect)
            self.assertEqual((row.state, row.exc_cause), ("failed", cause))

    def test_requeue_clears_the_exception_page(self):
        row = self.run_job(self.delay(max_retries=1), RetryableJobError("wrong"))
        self.assertTrue(row.exc_info and row.exc_name and row.exc_message)
        row.requeue()
        for name in ("exc_name", "exc_message", "exc_info", "exc_cause", "result"):
            self.assertFalse(row[name], name)
        row.button_cancelled()
        self.assertTrue(row.result)
        row.requeue()
        self.assertFalse(row.result)

    def test_requeue_keeps_the_attempts(self):
        row = self.run_job(self.delay(), ValueError("wrong"))
        row.requeue()
        self.assertEqual(row.attempt_ids.mapped("exc_message"), ["wrong"])

    def test_last_ones_are_kept(self):
        row = self.delay().db_record()
        with mock.patch.object(kept_attempts, "KEPT", 3):
            for number in range(6):
                kept_attempts.keep(
                    row, "postponed", number, {"exc_message": str(number)}
                )
        self.assertEqual(row.attempt_ids.mapped("exc_message"), ["5", "4", "3"])

    def test_text_that_cannot_be_stored_as_it_is(self):
        row = self.delay().db_record()
        kept_attempts.keep(
            row, "failed", 1, {"exc_message": "bad \x00 char \udc80", "exc_info": None}
        )
        self.assertIn("bad", row.attempt_ids.exc_message)

    def test_deleted_with_the_job(self):
        row = self.run_job(self.delay(), ValueError("wrong"))
        attempts = row.attempt_ids
        row.unlink()
        self.assertFalse(attempts.exists())

    def test_rights(self):
        """Attempts are read by those who may read the job, and written by nobody."""
        user = new_test_user(
            self.env, "own_jobs", "base.group_user,queue_job.group_queue_job_user"
        )
        mine = self.run_job(self.delay(), ValueError("mine"))
        mine.with_context(_job_edit_sentinel=mine.EDIT_SENTINEL).user_id = user
        other = self.run_job(self.delay(), ValueError("other"))
        attempts = self.env["queue.job.attempt"].with_user(user)
        found = attempts.search([("job_id", "in", (mine | other).ids)])
        self.assertEqual(found.mapped("exc_message"), ["mine"])
        for operation in ("write", "create", "unlink"):
            self.assertFalse(attempts.has_access(operation))
            self.assertFalse(
                self.env["queue.job.attempt"].with_user(2).has_access(operation)
            )


@tagged("post_install", "-at_install")
class TestTimeline(AttemptCase):
    def test_steps_and_durations(self):
        job = self.delay(max_retries=2)
        self.run_job(job, RetryableJobError("no answer"))
        row = self.run_job(job, ValueError("wrong"))
        kinds = [step["kind"] for step in row.timeline]
        self.assertEqual(
            kinds, ["created", "started", "postponed", "started", "failed"]
        )
        self.assertIsNone(row.timeline[-1]["seconds"])
        self.assertTrue(all(step["seconds"] >= 0 for step in row.timeline[:-1]))
        self.assertGreater(row.ran, 0)
        self.assertEqual(row.tries, "2 / 2")

    def test_duration_of_failed_jobs_reads_no_traceback(self):
        """A list of them would read thousands, each of some kilobytes."""
        row = self.run_job(self.delay(max_retries=1), ValueError("wrong"))
        self.assertGreater(row.ran, 0)
        traceback = self.env["queue.job.attempt"]._fields["exc_info"]
        self.assertFalse(traceback._get_cache(self.env))

    def test_running_job_is_in_the_try_after_those_that_ended(self):
        job = self.delay(max_retries=5)
        self.run_job(job, RetryableJobError("no answer"))
        row = job.db_record()
        self.assertEqual(row.tries, "1 / 5")
        row.with_context(_job_edit_sentinel=row.EDIT_SENTINEL).state = "started"
        self.assertEqual(row.tries, "2 / 5")

    def test_waiting_job_counts_on(self):
        row = self.delay(max_retries=0).db_record()
        self.assertEqual([step["kind"] for step in row.timeline], ["created"])
        self.assertGreater(row.waited, 0)
        self.assertGreater(row.timeline[0]["seconds"], 0)
        self.assertEqual((row.ran, row.tries), (0, "0 / ∞"))

    def row_at(self, **minutes):
        """Return a job whose dates are so many minutes after nine o'clock."""
        state = minutes.pop("state")
        row = self.delay().db_record()
        dates = {name: NINE + timedelta(minutes=at) for name, at in minutes.items()}
        editor = row.with_context(_job_edit_sentinel=row.EDIT_SENTINEL)
        editor.with_context(tracking_disable=True).write({"state": state, **dates})
        return row

    def steps(self, row):
        return [(step["kind"], step["seconds"]) for step in row.timeline]

    def test_way_of_a_job_that_is_done(self):
        row = self.row_at(
            state="done", date_created=0, date_enqueued=1, date_started=3, date_done=7
        )
        row.exec_time = 240
        self.assertEqual(
            self.steps(row),
            [("created", 60), ("enqueued", 120), ("started", 240), ("done", None)],
        )
        self.assertEqual((row.waited, row.ran), (180, 240))

    def test_way_of_a_job_that_is_cancelled(self):
        row = self.row_at(state="cancelled", date_created=0, date_cancelled=5)
        self.assertEqual(self.steps(row), [("created", 300), ("cancelled", None)])
        self.assertEqual((row.waited, row.ran), (300, 0))

    def test_waits_and_runs_until_now(self):
        with freeze_time(NINE + timedelta(minutes=30)):
            due = self.row_at(state="pending", date_created=0, eta=10)
            later = self.row_at(state="pending", date_created=0, eta=40)
            runs = self.row_at(state="started", date_created=0, date_started=25)
            self.assertEqual(self.steps(due), [("created", 600), ("pending", 1200)])
            self.assertEqual((due.waited, due.ran), (1200, 0))
            self.assertEqual(self.steps(later), [("created", 1800)])
            self.assertEqual((later.waited, later.ran), (0, 0))
            self.assertEqual((runs.waited, runs.ran), (1500, 300))
