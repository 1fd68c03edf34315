# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How long a caller waits for another one that has asked for the same key."""

import time
from contextlib import ExitStack
from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.http import serialize_exception
from odoo.tests import tagged

from odoo.addons.queue_job.delay import group
from odoo.addons.queue_job.exception import KeyBusyError, RetryableJobError
from odoo.addons.queue_job.store import keys

from .common import CommittedJobCase, JobCase

# Seconds; the wait of these tests, and what is much less than the lives of transactions.
WAIT, PATIENCE = 0.05, 5


@tagged("post_install", "-at_install")
class TestBusyKeys(CommittedJobCase):
    def setUp(self):
        super().setUp()
        patcher = patch.object(keys, "longest_wait", return_value=WAIT)
        patcher.start()
        self.addCleanup(patcher.stop)

    def ask(self, env, *keys):
        record = self.record_in(env)
        delayables = [
            record.delayable(identity_key=key).testing_method() for key in keys
        ]
        group(*delayables).delay()
        return [one._generated_job.uuid for one in delayables]

    def test_caller_does_not_wait_for_as_long_as_another_transaction_takes(self):
        """(A9) An import that took a minute held the HTTP workers of all who asked after it."""
        with self.new_env() as first:
            (uuid,) = self.ask(first, "key")
            with self.new_env() as second:
                with self.assertRaises(KeyBusyError) as raised:
                    self.ask(second, "key")
                self.assertIn("key key", str(raised.exception))
                # The transaction is intact, and nothing of the key is left in it.
                self.ask(second, "other")
        with self.new_env() as env:
            self.assertEqual(self.ask(env, "key"), [uuid])
        self.assertEqual(len(self.states()), 2)

    def test_wait_for_many_callers_is_bounded_as_a_whole(self):
        keys = [f"key {number}" for number in range(12)]
        with ExitStack() as stack:
            for key in keys:
                self.ask(stack.enter_context(self.new_env()), key)
            with self.new_env() as second:
                started = time.monotonic()
                with self.assertRaises(KeyBusyError):
                    self.ask(second, "free", *keys)
                self.assertLess(time.monotonic() - started, PATIENCE)
                with self.new_env() as third:
                    self.assertTrue(self.ask(third, "free"))

    def test_starting_twin_does_not_hold_a_caller_for_long(self):
        with self.new_env() as env:
            (uuid,) = self.ask(env, "key")
        self.move(uuid, "enqueued")
        with self.new_env() as worker:
            self.claim(worker, uuid)
            with self.new_env() as caller, self.assertRaises(KeyBusyError):
                self.ask(caller, "key")

    def test_cancelled_twin_whose_transaction_is_open(self):
        with self.new_env() as env:
            (uuid,) = self.ask(env, "key")
        with self.new_env() as person:
            person["queue.job"].search([("uuid", "=", uuid)]).button_cancelled()
            person.flush_all()
            with self.new_env() as caller, self.assertRaises(KeyBusyError):
                self.ask(caller, "key")

    def test_crowded_caller_does_not_wait_for_long_either(self):
        keys = [f"key {number}" for number in range(70)]
        with self.new_env() as env:
            uuids = self.ask(env, *keys)
        with self.new_env() as person:
            row = person["queue.job"].search([("uuid", "=", uuids[-1])])
            row.button_cancelled()
            person.flush_all()
            with self.new_env() as caller, self.assertRaises(KeyBusyError):
                self.ask(caller, *keys)

    def test_wait_is_not_left_to_other_statements(self):
        with self.new_env() as first:
            self.ask(first, "key")
            with self.new_env() as second:
                with self.assertRaises(KeyBusyError):
                    self.ask(second, "key")
                second.cr.execute("SHOW lock_timeout")
                self.assertEqual(second.cr.fetchone(), ("0",))


@tagged("post_install", "-at_install")
class TestBusyKeySetting(JobCase):
    def test_wait_is_a_system_parameter(self):
        self.assertEqual(keys.longest_wait(self.env), 10)
        for value, seconds in (
            ("2.5", 2.5),
            ("0", 0),
            ("-3", 0),
            ("1e9", 86400),
            ("nan", 0),
        ):
            self.env["ir.config_parameter"].set_param("queue_job.key_wait", value)
            self.assertEqual(keys.longest_wait(self.env), seconds)
        self.env["ir.config_parameter"].set_param("queue_job.key_wait", "soon")
        with self.assertLogs(keys.__name__, "WARNING"):
            self.assertEqual(keys.longest_wait(self.env), 10)

    def test_people_read_a_sentence_and_jobs_are_tried_again(self):
        with self.assertRaises(UserError) as raised:
            keys.refuse_busy(self.env, [], "k" * 1000)
        error = raised.exception
        self.assertIsInstance(error, RetryableJobError)
        self.assertLess(len(str(error)), 300)
        self.assertEqual(
            serialize_exception(error)["context"],
            {"exception_class": "odoo.exceptions.UserError"},
        )
