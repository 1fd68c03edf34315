# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A transaction that is refused more keys than it may hold locks."""

import time

from odoo.tests import tagged

from odoo.addons.queue_job import protocol
from odoo.addons.queue_job.delay import group
from odoo.addons.queue_job.jobrunner.database import Database
from odoo.addons.queue_job.sql import statements as sql

from .common import CommittedJobCase

KEY_LOCKS = int(sql.parts["key_locks"])
ADVISORY_LOCKS = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
"""


@tagged("post_install", "-at_install")
class TestManyRefusedKeys(CommittedJobCase):
    def delay_keyed(self, env, keys):
        """Delay a group of jobs with keys; return their uuids."""
        record = self.record_in(env)
        delayables = [
            record.delayable(identity_key=key).testing_method() for key in keys
        ]
        group(*delayables).delay()
        return [one._generated_job.uuid for one in delayables]

    def stored(self, keys):
        with self.new_env() as env:
            return self.delay_keyed(env, keys)

    def claimed(self, uuids):
        """Claim jobs as the runner and workers do; return which of them could be."""
        for uuid in uuids:
            self.move(uuid, "enqueued")
        claimed = []
        for uuid in uuids:
            with self.new_env() as worker:
                if self.claim(worker, uuid) == "claimed":
                    claimed.append(uuid)
                else:
                    worker.cr.rollback()
        return claimed

    def locks(self, env):
        env.cr.execute(ADVISORY_LOCKS)
        return env.cr.fetchone()[0]

    def test_only_twins_wait_for_a_caller_that_was_refused_thousands_of_keys(self):
        """(A3) 3,000 refused keys shared 1,024 locks with all other jobs.

        None of 200 jobs of other keys ran while the transaction of their caller was open.
        """
        keys = [f"twin {number}" for number in range(3000)]
        others = self.stored([f"other {number}" for number in range(200)])
        twins = self.stored(keys)
        with self.new_env() as caller:
            self.assertEqual(self.delay_keyed(caller, keys), twins)
            self.assertLessEqual(self.locks(caller), KEY_LOCKS)
            self.assertEqual(self.claimed(others), others)
            self.assertFalse(self.claimed(twins[:5] + twins[-5:]))
        self.assertEqual(self.claimed(twins[-5:]), twins[-5:])

    def test_runner_skips_all_twins_of_an_open_caller(self):
        keys = [f"twin {number}" for number in range(2 * KEY_LOCKS)]
        twins = self.stored(keys)
        (other,) = self.stored(["other"])
        database = Database(self.registry.db_name)
        self.addCleanup(database.close)
        with self.new_env() as env:
            rows = env["queue.job"].search([("uuid", "in", [*twins, other])])
            ids = rows.ids
        with self.new_env() as caller:
            self.delay_keyed(caller, keys)
            self.assertEqual(database.mark_enqueued(ids, time.time()), {other})
        self.assertEqual(database.mark_enqueued(ids, time.time()), set(twins))

    def test_session_that_tries_held_keys_takes_no_locks(self):
        """Cron workers pass over thousands of jobs in one transaction."""
        keys = [f"twin {number}" for number in range(3 * KEY_LOCKS)]
        self.stored(keys)
        with self.new_env() as caller:
            self.delay_keyed(caller, keys)
            with self.new_env() as worker:
                worker.cr.execute(
                    "SELECT bool_or(queue_job_key_is_free(k)) FROM unnest(%s) AS k",
                    [keys],
                )
                self.assertEqual(worker.cr.fetchone(), (False,))
                self.assertFalse(self.locks(worker))

    def test_one_by_one(self):
        """Callers that delay in a loop are refused one key at a time."""
        keys = [f"twin {number}" for number in range(KEY_LOCKS + 3)]
        twins = self.stored(keys)
        with self.new_env() as caller:
            for key, twin in zip(keys, twins, strict=True):
                self.assertEqual(self.delay_keyed(caller, [key, key]), [twin] * 2)
            self.assertFalse(self.claimed(twins[-3:]))
            caller.cr.rollback()
        self.assertEqual(self.claimed(twins[-3:]), twins[-3:])

    def test_twins_newer_than_the_snapshot(self):
        keys = [f"twin {number}" for number in range(3 * KEY_LOCKS)]
        (other,) = self.stored(["other"])
        with self.new_env() as caller:
            self.take_snapshot(caller)
            twins = self.stored(keys)
            self.assertEqual(self.delay_keyed(caller, keys), twins)
            self.assertFalse(self.claimed([twins[0], twins[-1]]))
            self.assertEqual(self.claimed([other]), [other])
        self.assertEqual(self.claimed([twins[0], twins[-1]]), [twins[0], twins[-1]])

    def test_twins_without_a_reservation(self):
        """They were stored before keys were reserved."""
        keys = [f"twin {number}" for number in range(2 * KEY_LOCKS)]
        twins = self.stored(keys)
        with self.new_env() as env:
            env.cr.execute("DELETE FROM queue_job_key")
        with self.new_env() as caller:
            self.assertEqual(self.delay_keyed(caller, keys), twins)
            self.assertFalse(self.claimed([twins[0], twins[-1]]))
        self.assertEqual(self.claimed([twins[0], twins[-1]]), [twins[0], twins[-1]])

    def test_claim_with_an_older_snapshot_sees_the_caller(self):
        """A worker that claims the next job of a bundle has the snapshot of the job before."""
        keys = [f"twin {number}" for number in range(KEY_LOCKS + 1)]
        twins = self.stored(keys)
        self.move(twins[-1], "enqueued")
        with self.new_env() as worker:
            self.take_snapshot(worker)
            with self.new_env() as caller:
                self.assertEqual(self.delay_keyed(caller, keys), twins)
                self.assertEqual(self.claim(worker, twins[-1]), "changed")
                worker.cr.rollback()
                self.assertEqual(self.claim(worker, twins[-1]), protocol.HELD)

    def test_two_callers_hold_a_twin_until_both_have_ended(self):
        keys = [f"twin {number}" for number in range(KEY_LOCKS + 1)]
        twin = self.stored(keys)[-1]
        with self.new_env() as first:
            self.delay_keyed(first, keys)
            with self.new_env() as second:
                self.delay_keyed(second, keys)
            self.assertFalse(self.claimed([twin]))
        self.assertEqual(self.claimed([twin]), [twin])

    def test_twin_that_started_makes_room_for_another(self):
        keys = [f"twin {number}" for number in range(KEY_LOCKS + 1)]
        twins = self.stored(keys)
        with self.new_env() as caller:
            self.take_snapshot(caller)
            self.assertEqual(self.claimed(twins[-1:]), twins[-1:])
            self.assertNotEqual(self.delay_keyed(caller, keys)[-1], twins[-1])

    def test_locks_of_a_savepoint_are_given_back(self):
        keys = [f"twin {number}" for number in range(KEY_LOCKS)]
        twins = self.stored(keys)
        with self.new_env() as caller:
            savepoint = caller.cr.savepoint(flush=False)
            self.delay_keyed(caller, keys)
            savepoint.rollback()
            self.assertFalse(self.locks(caller))
            self.assertEqual(self.delay_keyed(caller, keys), twins)
            self.assertEqual(self.locks(caller), KEY_LOCKS)
            savepoint.close()
