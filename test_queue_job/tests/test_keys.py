# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One waiting job per key, with transactions that really run at the same time."""

import random
import time

from odoo.tests import tagged

from odoo.addons.queue_job import protocol
from odoo.addons.queue_job.delay import chain, group
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.jobrunner.database import Database
from odoo.addons.queue_job.tests.twin_races import TwinRaces

from .common import CommittedJobCase


@tagged("post_install", "-at_install")
class TestKeyRaces(TwinRaces, CommittedJobCase):
    def delay_twin(self, env, key="key", **properties):
        delayed = self.record_in(env).with_delay(identity_key=key, **properties)
        return delayed.testing_method()

    def ask(self, env, key="key", **properties):
        """Ask for the job of a key; return its uuid."""
        return self.delay_twin(env, key, **properties).uuid

    def waiting(self, key="key"):
        with self.new_env() as env:
            domain = [
                ("identity_key", "=", key),
                ("state", "in", ("pending", "wait_dependencies")),
            ]
            return env["queue.job"].search(domain).mapped("uuid")

    def test_sixteen_callers_get_one_job(self):
        self.callers_get_one_job(16, 200, lambda env, n: self.ask(env, f"round {n}"))

    def test_marking_by_the_runner_skips_a_held_job_at_once(self):
        with self.new_env() as env:
            twin = self.ask(env)
            row = env["queue.job"].search([("uuid", "=", twin)])
        database = Database(self.registry.db_name)
        self.addCleanup(database.close)
        with self.new_env() as caller:
            self.ask(caller)
            self.assertFalse(database.mark_enqueued([row.id], time.time()))
        self.assertEqual(database.mark_enqueued([row.id], time.time()), {twin})

    def test_twin_that_was_performed_after_the_snapshot_does_not_refuse(self):
        twin = self.delay("testing_method", identity_key="key")
        with self.new_env() as env:
            self.take_snapshot(env)
            self.acquire_and_run(twin)
            self.assertNotEqual(self.ask(env), twin)

    def test_started_job_gives_its_key_up_and_takes_it_again_on_retry(self):
        with self.new_env() as env:
            first = self.ask(env)
        self.move(first, "started")
        self.move(first, "pending")
        with self.new_env() as env:
            self.assertEqual(self.ask(env), first)

    def test_retry_does_not_wait_for_a_caller_that_holds_the_key(self):
        with self.new_env() as env:
            first = self.ask(env)
        self.move(first, "started")
        with self.new_env() as caller:
            self.ask(caller)
            self.move(first, "pending")
            self.assertEqual(self.columns(first, "state"), {"state": "pending"})
            caller.cr.rollback()

    def test_row_without_reservation_blocks(self):
        """A job of a database made before keys were reserved."""
        with self.new_env() as env:
            first = self.ask(env)
            env.cr.execute("DELETE FROM queue_job_key")
        with self.new_env() as env:
            self.assertEqual(self.ask(env), first)

    def test_deleted_job_frees_its_key(self):
        with self.new_env() as env:
            first = self.ask(env)
        with self.new_env() as env:
            env["queue.job"].search([("uuid", "=", first)]).unlink()
        with self.new_env() as env:
            self.assertNotEqual(self.ask(env), first)

    def test_emptied_table_frees_all_keys(self):
        """Row triggers do not see TRUNCATE, by which administrators empty it."""
        with self.new_env() as env:
            first = self.ask(env)
            env.flush_all()
            # Not of this transaction, as far as the key tells.
            env.cr.execute("UPDATE queue_job_key SET transaction = NULL")
            env.cr.execute("SELECT count(*) FROM queue_job_key")
            self.assertGreater(env.cr.fetchone()[0], 0)
            env.cr.execute("SET LOCAL lock_timeout = '10s'")
            env.cr.execute("TRUNCATE queue_job CASCADE")
            env.invalidate_all()
            second = self.ask(env)
            self.assertNotEqual(second, first)
            self.assertTrue(Job.load(env, second))
            env.cr.rollback()

    def test_key_may_be_long(self):
        keys = [f"{'long' * 5000}{end}" for end in "ab"]
        with self.new_env() as env:
            uuids = [self.ask(env, key) for key in keys]
        with self.new_env() as env:
            self.assertEqual([self.ask(env, key) for key in keys], uuids)
        self.assertNotEqual(*uuids)

    def test_graph_is_refused_as_a_whole_or_not_at_all(self):
        with self.new_env() as env:
            twin = self.ask(env, "a")
        with self.new_env() as env:
            record = self.record_in(env)
            keyed = record.delayable(identity_key="a").testing_method()
            free = record.delayable().testing_method()
            chain(keyed, free).delay()
            self.assertEqual(
                {keyed._generated_job.uuid, free._generated_job.uuid}, {twin}
            )
            other = record.delayable(identity_key="b").testing_method()
            again = record.delayable(identity_key="a").testing_method()
            group(again, other).delay()
            self.assertNotEqual(again._generated_job.uuid, twin)
        self.assertEqual(len(self.waiting("a")), 2)

    def delay_keyed_chain(self, env, keys):
        """Delay a chain of jobs with keys; return the uuid of each key."""
        record = self.record_in(env)
        delayables = {
            key: record.delayable(identity_key=key).testing_method() for key in keys
        }
        chain(*delayables.values()).delay()
        return {key: one._generated_job.uuid for key, one in delayables.items()}

    def test_callers_of_keyed_graphs_get_one_graph(self):
        """Each names the keys in an order of its own."""

        def ask(env, number):
            keys = [f"round {number} {name}" for name in "abcd"]
            uuids = self.delay_keyed_chain(env, random.sample(keys, len(keys)))
            return tuple(sorted(uuids.items()))

        self.callers_get_one_job(8, 25, ask, jobs=4)

    def test_twins_of_a_refused_graph_wait_for_the_caller(self):
        with self.new_env() as env:
            twins = self.delay_keyed_chain(env, "ab")
        with self.new_env() as caller:
            self.assertEqual(self.delay_keyed_chain(caller, "ab"), twins)
            for uuid in twins.values():
                self.move(uuid, "enqueued")
                with self.new_env() as worker:
                    self.assertEqual(self.claim(worker, uuid), protocol.HELD)
        for uuid in twins.values():
            self.move(uuid, "enqueued")
            with self.new_env() as worker:
                self.assertEqual(self.claim(worker, uuid), "claimed")

    def test_key_that_is_taken_from_a_job_is_free(self):
        with self.new_env() as env:
            first = self.ask(env)
        with self.new_env() as env:
            row = env["queue.job"].search([("uuid", "=", first)])
            row.identity_key = "other"
        with self.new_env() as env:
            self.assertNotEqual(self.ask(env), first)
            self.assertEqual(self.ask(env, "other"), first)
        with self.new_env() as env:
            row = env["queue.job"].search([("uuid", "=", first)])
            row.identity_key = False
        with self.new_env() as env:
            self.assertNotEqual(self.ask(env, "other"), first)

    def test_key_with_characters_no_text_column_takes(self):
        with self.new_env() as env:
            first = self.ask(env, "nul \x00, surrogate \ud800")
        with self.new_env() as env:
            self.assertEqual(self.ask(env, "nul \x00, surrogate \ud800"), first)

    def test_many_created_keys_do_not_hold_up_other_jobs(self):
        """A long transaction makes jobs of more keys than there are locks."""
        with self.new_env() as env:
            other = self.ask(env, "other")
        self.move(other, "enqueued")
        with self.new_env() as caller:
            record = self.record_in(caller)
            for _twice in range(2):
                group(
                    *(
                        record.delayable(identity_key=str(n)).testing_method()
                        for n in range(2000)
                    )
                ).delay()
            with self.new_env() as worker:
                self.assertEqual(self.claim(worker, other), "claimed")
                worker.cr.rollback()
            caller.cr.rollback()

    def test_job_that_cannot_be_stored_leaves_no_key(self):
        """The caller may catch the error and go on."""
        with self.new_env() as env:
            with self.assertRaises(TypeError):
                record = self.record_in(env)
                record.with_delay(identity_key="key").testing_method(object())
            first = self.ask(env)
        self.assertEqual(self.waiting(), [first])

    def test_twin_is_read_when_it_is_looked_at(self):
        with self.new_env() as env:
            first = self.ask(env, priority=3)
        with self.new_env() as env:
            self.ask(env)  # user, company and settings are in the cache now
            before = env.cr.sql_log_count
            twin = self.record_in(env).with_delay(identity_key="key").testing_method()
            self.assertEqual(twin.uuid, first)
            self.assertEqual(env.cr.sql_log_count - before, 1)
            self.assertEqual(twin.priority, 3)
            self.assertIs(type(twin), Job)
            self.assertTrue(twin.db_record())
