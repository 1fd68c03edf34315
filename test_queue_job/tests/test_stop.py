# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Stop a job that runs: the move, the interruption of its work, and its neighbours."""

import threading
import time
from unittest import mock

import psycopg2

from odoo.exceptions import AccessError
from odoo.sql_db import Cursor
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job import protocol
from odoo.addons.queue_job.exception import JobGiveUp, JobStop
from odoo.addons.queue_job.sql import statements as sql
from odoo.addons.queue_job.store import stop

from .common import CONTROLLER_LOGGER
from .test_runs_chained import ChainedCase

PATIENCE = 20  # seconds of a loaded machine


@tagged("post_install", "-at_install")
class TestStop(ChainedCase):
    def setUp(self):
        super().setUp()
        self.began = threading.Event()
        self.enterContext(mute_logger(CONTROLLER_LOGGER, "odoo.sql_db"))

    def begin(self, method, others=0, **properties):
        """Perform a job that does ``method``, and others, in a thread; return their uuids."""

        def testing_method(records, *_args, **_kwargs):
            self.began.set()
            return method(records)

        self.startPatcher(
            mock.patch.object(self.model_class, "testing_method", testing_method)
        )
        uuids = [self.delay("testing_method", **properties), *self.delay_plain(others)]
        self.worker = threading.Thread(target=self.work, args=(uuids,))
        self.worker.start()
        self.addCleanup(self.worker.join)
        self.assertTrue(self.began.wait(PATIENCE))
        return uuids

    def work(self, uuids):
        self.report = self.perform(uuids)

    def stop(self, uuid, reason=None):
        """Press the button, and answer what it answered."""
        with self.new_env() as env:
            return env["queue.job"].search([("uuid", "=", uuid)]).button_stop(reason)

    def interrupt_until_over(self):
        """Do what the runner does each second, faster."""
        deadline = time.monotonic() + PATIENCE
        while self.worker.is_alive() and time.monotonic() < deadline:
            stop.interrupt(self.registry, sql.interrupt_stopped)
            self.worker.join(0.2)
        self.assertFalse(self.worker.is_alive())

    def attempts_of(self, uuid):
        with self.new_env() as env:
            job = env["queue.job"].search([("uuid", "=", uuid)])
            return [(each.outcome, each.exc_message) for each in job.attempt_ids]

    def check_stopped(self, uuids, name="one"):
        self.assertEqual(
            self.states(uuids), ["cancelled"] + ["done"] * (len(uuids) - 1)
        )
        self.assertEqual(self.name_of_record(), name)
        for other in uuids[1:]:
            self.assertEqual(self.columns(other, "retry")["retry"], 1)
            self.assertEqual(self.attempts_of(other), [])

    def test_long_statement_ends_at_once_and_the_next_job_is_done(self):
        def sleep(records):
            records.name = "changed"
            records.flush_recordset()
            records.env.cr.execute("SELECT pg_sleep(60)")

        uuids = self.begin(sleep, others=1)
        self.assertIs(self.stop(uuids[0], "too slow"), True)
        self.worker.join(PATIENCE)
        self.check_stopped(uuids)
        result = self.columns(uuids[0], "result")["result"]
        self.assertIn("too slow", result)
        self.assertEqual(self.attempts_of(uuids[0]), [("stopped", result)])

    def test_loop_with_statements_in_between(self):
        def loop(records):
            while True:
                records.env.cr.execute("SELECT pg_sleep(0.1)")
                time.sleep(0.05)

        uuids = self.begin(loop, others=2)
        self.stop(uuids[0])
        self.interrupt_until_over()
        self.check_stopped(uuids)

    def test_errors_that_the_job_catches_do_not_help_it(self):
        def catch(records):
            while True:
                try:
                    records.env.cr.execute("SELECT pg_sleep(60)")
                except psycopg2.Error as error:
                    raise ValueError("translated") from error

        uuids = self.begin(catch, others=1)
        self.stop(uuids[0])
        self.worker.join(PATIENCE)
        self.check_stopped(uuids)

    def test_job_that_sleeps_in_its_transaction_loses_its_backend(self):
        """A cancel does nothing to a transaction that is idle."""
        over = threading.Event()
        self.addCleanup(over.set)
        uuids = self.begin(lambda _records: over.wait(PATIENCE))
        self.stop(uuids[0])
        with self.registry.cursor() as cr:
            cr.execute(
                "UPDATE queue_job SET date_stopped = date_stopped - interval '1 minute'"
                " WHERE uuid = %s",
                (uuids[0],),
            )
        stop.interrupt(self.registry, sql.interrupt_stopped)
        deadline = time.monotonic() + PATIENCE
        while self.holders(uuids[0]) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.holders(uuids[0]), [])
        over.set()
        self.worker.join(PATIENCE)
        self.assertEqual(self.states(uuids), ["cancelled"])

    def holders(self, uuid):
        with self.new_env() as env:
            job = env["queue.job"].search([("uuid", "=", uuid)])
            env.cr.execute(sql.backends_of_job, {"job": job.id})
            return env.cr.fetchall()

    def test_job_on_a_connection_of_its_own(self):
        def sleep(records):
            records.env.cr.commit()
            records.env.cr.execute("SELECT pg_sleep(60)")

        with mock.patch.object(
            type(self.env["queue.job.function"]), "job_config", self.allowing
        ):
            uuids = self.begin(sleep)
            self.assertEqual(len(self.holders(uuids[0])), 2)
            self.stop(uuids[0])
            self.worker.join(PATIENCE)
        self.assertFalse(self.worker.is_alive())
        self.assertEqual(self.states(uuids), ["cancelled"])

    def allowing(self, _name):
        return (
            self.env["queue.job.function"]
            .job_default_config()
            ._replace(allow_commit=True)
        )

    def test_held_job_is_not_claimed_again(self):
        over = threading.Event()
        self.addCleanup(over.set)
        uuids = self.begin(lambda _records: over.wait(PATIENCE))
        self.stop(uuids[0])
        self.assertIn("still computes", self.explanation(uuids[0])["text"])
        with self.new_env() as env:
            env["queue.job"].search([("uuid", "=", uuids[0])]).requeue()
        self.move(uuids[0], "enqueued")
        report = self.perform(uuids)
        self.assertEqual(self.outcomes(report), {uuids[0]: protocol.HELD})
        self.assertEqual(self.explanation(uuids[0])["kind"], "stopping")
        self.assertEqual(self.states(uuids), ["pending"])
        over.set()
        self.worker.join(PATIENCE)
        self.assertEqual(self.states(uuids), ["pending"])
        self.assertNotEqual(self.explanation(uuids[0])["kind"], "stopping")

    def explanation(self, uuid):
        with self.new_env() as env:
            return env["queue.job"].search([("uuid", "=", uuid)]).explanation

    def test_job_that_wrote_its_own_row_is_interrupted_first(self):
        real = threading.Event()

        def write(records):
            records.env.cr.execute(
                "UPDATE queue_job SET priority = 3 WHERE state = 'started'"
            )
            real.set()
            records.env.cr.execute("SELECT pg_sleep(60)")

        uuids = self.begin(write)
        self.assertTrue(real.wait(PATIENCE))
        self.assertIs(self.stop(uuids[0]), True)
        self.worker.join(PATIENCE)
        self.assertEqual(self.states(uuids), ["cancelled"])

    def test_should_stop_is_true_soon_after_a_stop(self):
        answers = []

        def ask(records):
            current, deadline = records._current_job(), time.monotonic() + PATIENCE
            while not current.should_stop() and time.monotonic() < deadline:
                time.sleep(0.05)
            answers.append(current.should_stop())

        with mock.patch.object(stop, "interrupt"):
            uuids = self.begin(ask)
            self.stop(uuids[0])
            stopped_at = time.monotonic()
            self.worker.join(PATIENCE)
        self.assertEqual(answers, [True])
        self.assertLess(time.monotonic() - stopped_at, PATIENCE / 2)
        self.assertEqual(self.states(uuids), ["cancelled"])

    def end_from_inside(self, error):
        def testing_method(records):
            records.name = "changed"
            raise error

        with self.new_env() as env:
            first = self.record_in(env).delayable().testing_method()
            second = env["queue.job"].delayable()._test_job()
            first.on_done(second).delay()
            uuids = [each._generated_job.uuid for each in (first, second)]
        self.move(uuids[0], "enqueued")
        with mock.patch.object(self.model_class, "testing_method", testing_method):
            self.perform(uuids[:1])
        self.assertEqual(self.name_of_record(), "one")
        return uuids

    def test_job_stop_cancels_without_an_attempt(self):
        uuids = self.end_from_inside(JobStop("nothing to import"))
        self.assertEqual(self.states(uuids), ["cancelled"] * 2)
        values = self.columns(uuids[0], "retry", "result")
        self.assertEqual(values, {"retry": 0, "result": "nothing to import"})
        self.assertEqual(self.attempts_of(uuids[0]), [("stopped", "nothing to import")])

    def test_job_give_up_fails_now(self):
        uuids = self.end_from_inside(JobGiveUp("no such customer"))
        self.assertEqual(self.states(uuids), ["failed", "wait_dependencies"])
        values = self.columns(uuids[0], "exc_message", "retry")
        self.assertEqual(values, {"exc_message": "no such customer", "retry": 1})

    def test_done_wins(self):
        (uuid,) = self.delay_plain(1)
        self.perform([uuid])
        answer = self.stop(uuid)
        self.assertEqual(answer["tag"], "display_notification")
        self.assertEqual(self.states([uuid]), ["done"])
        self.assertFalse(self.columns(uuid, "date_stopped")["date_stopped"])

    def test_dependents_are_cancelled(self):
        with self.new_env() as env:
            first = env["queue.job"].delayable()._test_job()
            second = env["queue.job"].delayable()._test_job()
            first.on_done(second).delay()
            uuids = [each._generated_job.uuid for each in (first, second)]
        self.move(uuids[0], "started")
        self.stop(uuids[0])
        self.assertEqual(self.states(uuids), ["cancelled"] * 2)

    def test_managers_only(self):
        (uuid,) = self.delay_plain(1)
        self.move(uuid, "started")
        with self.new_env() as env:
            user = new_test_user(env, "stop_reader", "base.group_user")
            self.addCleanup(self.remove_user, user.id)
            job = env["queue.job"].search([("uuid", "=", uuid)])
            with self.assertRaises(AccessError):
                job.with_user(user).button_stop()

    def remove_user(self, user_id):
        with self.new_env() as env:
            env["res.users"].browse(user_id).unlink()


@tagged("post_install", "-at_install")
class TestLateSignals(ChainedCase):
    """A signal arrives when the backend works for the next job of the bundle already."""

    def setUp(self):
        super().setUp()
        self.enterContext(mute_logger(CONTROLLER_LOGGER, "odoo.sql_db"))

    def check_done_once(self, uuids):
        self.assertEqual(self.states(uuids), ["done"] * len(uuids))
        for uuid in uuids:
            self.assertEqual(self.columns(uuid, "retry")["retry"], 1)

    def test_job_that_was_not_stopped_begins_again(self):
        calls = []

        def testing_method(records):
            calls.append(1)
            if len(calls) < 3:
                records.env.cr.execute("SELECT pg_cancel_backend(pg_backend_pid())")
                records.env.cr.execute("SELECT pg_sleep(60)")

        with mock.patch.object(self.model_class, "testing_method", testing_method):
            uuid = self.delay("testing_method")
            self.perform([uuid])
        self.assertEqual(len(calls), 3)
        self.check_done_once([uuid])

    def test_it_fails_when_that_goes_on(self):
        calls = []

        def testing_method(records):
            calls.append(1)
            records.env.cr.execute("SET LOCAL statement_timeout = 10")
            records.env.cr.execute("SELECT pg_sleep(60)")

        with mock.patch.object(self.model_class, "testing_method", testing_method):
            uuid = self.delay("testing_method")
            self.perform([uuid])
        self.assertEqual((len(calls), self.states([uuid])), (4, ["failed"]))

    def test_signal_behind_the_commit_of_a_message(self):
        """The message fails, and what it committed is committed."""
        for failing in range(1, 5):
            with self.subTest(failing):
                uuids = self.delay_plain(4)
                self.perform_with_late_signal(uuids, failing)
                self.check_done_once(uuids)

    def perform_with_late_signal(self, uuids, failing):
        execute, count = Cursor.execute, iter(range(1, 100))

        def interrupted(cursor, query, *args, **options):
            text = str(getattr(query, "code", query))
            result = execute(cursor, query, *args, **options)
            if "COMMIT AND CHAIN" in text and next(count) == failing:
                # As PostgreSQL does: the transaction that began is broken.
                cursor._obj.execute("SELECT pg_cancel_backend(pg_backend_pid())")
                cursor._obj.execute("SELECT pg_sleep(60)")
            return result

        with mock.patch.object(Cursor, "execute", interrupted):
            self.perform(uuids)
