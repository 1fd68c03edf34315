# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Reservations of keys whose jobs were changed past the triggers."""

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.store import keys

from .common import CommittedJobCase, JobCase

KEY_LOGGER = keys.__name__
CHANGES = {
    "deleted": "DELETE FROM queue_job WHERE uuid = %s",
    "done": "UPDATE queue_job SET state = 'done' WHERE uuid = %s",
    "started": "UPDATE queue_job SET state = 'started' WHERE uuid = %s",
    "failed": "UPDATE queue_job SET state = 'failed' WHERE uuid = %s",
    "another key": "UPDATE queue_job SET identity_key = 'other' WHERE uuid = %s",
    "no key": "UPDATE queue_job SET identity_key = NULL WHERE uuid = %s",
}


class PastTriggers:
    def change_past_triggers(self, env, statement, uuid):
        """Do what some restores and migrations do."""
        env.flush_all()
        env.cr.execute("SET LOCAL lock_timeout = '10s'")
        # What is deferred cannot wait for a change of the table.
        env.cr.execute("SET CONSTRAINTS ALL IMMEDIATE")
        env.cr.execute("ALTER TABLE queue_job DISABLE TRIGGER USER")
        env.cr.execute(statement, [uuid])
        env.cr.execute("ALTER TABLE queue_job ENABLE TRIGGER USER")
        env.invalidate_all()

    def ask(self, env, key="key"):
        record = self.record_in(env)
        return record.with_delay(identity_key=key).testing_method().uuid


@tagged("post_install", "-at_install")
class TestReservationsPastTriggers(PastTriggers, CommittedJobCase):
    def test_twin_that_does_not_wait_is_no_twin(self):
        """(A6) The twin was gone, and no job of its key was ever made again."""
        for name, statement in CHANGES.items():
            with self.subTest(name):
                with self.new_env() as env:
                    first = self.ask(env, name)
                with self.new_env() as env:
                    self.change_past_triggers(env, statement, first)
                with self.new_env() as env:
                    second = self.ask(env, name)
                self.assertNotEqual(second, first)
                with self.new_env() as env:
                    self.assertEqual(self.ask(env, name), second)
                    rows = env["queue.job"].search([("uuid", "=", second)])
                    self.assertEqual(rows.state, "pending")

    @mute_logger(KEY_LOGGER)
    def test_twin_newer_than_the_snapshot(self):
        for name, statement in CHANGES.items():
            with self.subTest(name), self.new_env() as late:
                self.take_snapshot(late)
                with self.new_env() as env:
                    first = self.ask(env, name)
                with self.new_env() as env:
                    self.change_past_triggers(env, statement, first)
                self.assertNotEqual(self.ask(late, name), first)

    def test_two_callers_of_a_dead_reservation_get_one_job(self):
        with self.new_env() as env:
            first = self.ask(env)
        with self.new_env() as env:
            self.change_past_triggers(env, CHANGES["deleted"], first)
        with self.new_env() as one:
            self.take_snapshot(one)
            with self.new_env() as another:
                second = self.ask(another)
            self.assertEqual(self.ask(one), second)

    def test_dead_reservations_are_swept(self):
        with self.new_env() as env:
            first, kept = self.ask(env), self.ask(env, "kept")
        with self.new_env() as env:
            self.change_past_triggers(env, CHANGES["deleted"], first)
        with self.new_env() as env:
            with self.assertLogs(KEY_LOGGER, "WARNING"):
                env["queue.job.key"]._gc_reservations()
            with self.assertNoLogs(KEY_LOGGER, "WARNING"):
                env["queue.job.key"]._gc_reservations()
            left = env["queue.job.key"].search([("key", "in", ["key", "kept"])])
            self.assertEqual(left.mapped("job_uuid"), [kept])


@tagged("post_install", "-at_install")
class TestOwnReservationsPastTriggers(PastTriggers, JobCase):
    def record_in(self, env):
        return self.record

    def test_row_with_a_lock_text_and_no_call_may_start(self):
        """An import left the text of a call empty: the claim failed on its reservation."""
        execute = self.env.cr.execute
        execute(
            "INSERT INTO queue_job (uuid, state, twin_key) "
            "VALUES ('odd', 'enqueued', 'text')"
        )
        execute("SELECT queue_job_key_may_start('odd')")
        self.assertTrue(self.env.cr.fetchone()[0])

    def test_twin_of_the_own_transaction(self):
        for name, statement in CHANGES.items():
            # A job that has no row may be about to be stored.
            if name == "deleted":
                continue
            with self.subTest(name):
                first = self.ask(self.env, name)
                self.assertEqual(self.ask(self.env, name), first)
                self.change_past_triggers(self.env, statement, first)
                self.assertNotEqual(self.ask(self.env, name), first)
