# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""States that are derived behind the ends of jobs: real workers, real commits."""

from psycopg2.errors import SerializationFailure

from odoo import api
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.controllers.main import RunJobController
from odoo.addons.queue_job.tests.committed_case import CommittedCase
from odoo.addons.queue_job.worker import Bundle

from ..models.queue_job_batch import derive, derive_behind
from ..sql import statements as sql

LOGGER = "odoo.addons.queue_job_batch.models.queue_job_batch"


@tagged("post_install", "-at_install")
class TestDerive(CommittedCase):
    committed_models = ("queue.job", "queue.job.batch", "res.partner")

    def setUp(self):
        super().setUp()
        with self.new_env() as env:
            partner = env["res.partner"].create({"name": "One"})
            self.partner_id = partner.id
            batch = env["queue.job.batch"].get_new_batch("Import")
            batch.on_finish(
                partner.delayable(description="the end").write({"ref": "e"})
            )
            self.batch_id = batch.id
            self.uuids = [self.join(env).uuid for _number in range(2)]

    def join(self, env, batch=None, **values):
        batch = batch or env["queue.job.batch"].browse(self.batch_id)
        partner = env["res.partner"].browse(self.partner_id)
        return partner.with_context(job_batch=batch).with_delay().write(values)

    def batch(self, env):
        return env["queue.job.batch"].browse(self.batch_id)

    def state(self):
        with self.new_env() as env:
            return self.batch(env).state

    def ends(self):
        """Return how often the callback was delayed."""
        with self.new_env() as env:
            return env["queue.job"].search_count(
                [("name", "=", "the end"), ("id", "not in", self.known_jobs)]
            )

    def ids(self):
        with self.new_env() as env:
            return env["queue.job"].search([("uuid", "in", self.uuids)]).ids

    def perform(self, uuids):
        """Perform jobs as one request does."""
        for uuid in uuids:
            self.move(uuid, "enqueued")
        with self.new_env() as env:
            return Bundle(RunJobController, env, uuids).perform()

    def test_bundle_of_a_worker_ends_a_batch(self):
        self.perform(self.uuids)
        self.assertEqual(self.state(), "finished")
        self.assertEqual(self.ends(), 1)
        with self.new_env() as env:
            checks = [
                ("method_name", "=", "check_state"),
                ("id", "not in", self.known_jobs),
            ]
            self.assertFalse(env["queue.job"].search_count(checks))

    def test_job_knows_its_batch(self):
        """And passes it on, to a job that is stored while it runs."""
        joined = []

        def write(partner, vals):
            batch = partner._current_job().batch
            if batch and not joined:
                records = partner.with_context(job_batch=batch)
                joined.append(records.with_delay().write({"ref": "more"}).uuid)
            return True

        self.patch(type(self.env["res.partner"]), "write", write)
        self.assertFalse(self.env["res.partner"]._current_job().batch)
        self.perform(self.uuids)
        self.assertEqual(self.state(), "progress")
        self.perform(joined)
        self.assertEqual((self.state(), self.ends()), ("finished", 1))

    def test_each_end_is_followed(self):
        self.perform(self.uuids[:1])
        self.assertEqual(self.state(), "progress")
        self.perform(self.uuids[1:])
        self.assertEqual(self.state(), "finished")

    def test_failure_of_a_job(self):
        with self.new_env() as env:
            job = self.join(env, no_such_field=1)
        with mute_logger(
            "odoo.addons.queue_job", "odoo.addons.queue_job.controllers.main"
        ):
            self.perform([job.uuid])
        self.assertEqual(self.state(), "pending")
        self.perform(self.uuids)
        self.assertEqual(self.state(), "finished")

    def test_cancel_by_a_person(self):
        with self.new_env() as env:
            env["queue.job"].search([("uuid", "in", self.uuids)]).button_cancelled()
        self.assertEqual(self.state(), "finished")
        self.assertEqual(self.ends(), 1)

    def test_requeue_opens_it_again(self):
        with self.new_env() as env:
            env["queue.job"].search([("uuid", "in", self.uuids)]).button_cancelled()
        with self.new_env() as env:
            env["queue.job"].search([("uuid", "=", self.uuids[0])]).requeue()
        self.assertEqual(self.state(), "pending")
        self.perform(self.uuids[:1])
        self.assertEqual(self.state(), "finished")
        self.assertEqual(self.ends(), 1)

    def test_two_sessions_have_one_winner(self):
        """The one that waits for the lock finds a row that moved, and begins again."""
        for uuid in self.uuids:
            self.move(uuid, "done")
        with self.registry.cursor() as cr:
            late = api.Environment(cr, 1, {})
            states = self.batch(late)._states_of_jobs()[self.batch_id]
            derive(self.registry, [self.batch_id])
            self.assertEqual(states, {"done"})
            with self.assertRaises(SerializationFailure), mute_logger("odoo.sql_db"):
                self.batch(late)._follow(states)
            cr.rollback()
        derive(self.registry, [self.batch_id])
        self.assertEqual(self.ends(), 1)

    def test_process_that_dies_before_the_commit_leaves_it_to_the_sweep(self):
        for uuid in self.uuids:
            self.move(uuid, "done")
        with self.registry.cursor() as cr:
            self.batch(api.Environment(cr, 1, {})).check_state()
            cr.rollback()
        self.assertEqual((self.state(), self.ends()), ("pending", 0))
        with self.new_env() as env:
            env["queue.job.batch"]._sweep()
        self.assertEqual((self.state(), self.ends()), ("finished", 1))

    def test_sweep_goes_on_behind_a_broken_batch(self):
        """A callback whose model is gone, and one that cannot be delayed."""
        with self.new_env() as env:
            for records in (
                '{"_type": "odoo_recordset", "model": "gone", "ids": [1]}',
                '{"_type": "odoo_recordset", "model": "res.partner", "ids": [1]}',
            ):
                broken = env["queue.job.batch"].get_new_batch("Broken")
                self.join(env, batch=broken)
                env.flush_all()
                env.cr.execute(
                    "UPDATE queue_job_batch SET callbacks = %s WHERE id = %s",
                    (
                        '{"finish": [{"records": %s, "method": "_no_such", "args": [], '
                        '"kwargs": {}, "options": {}}]}' % records,
                        broken.id,
                    ),
                )
            env.cr.execute(
                "UPDATE queue_job SET state = 'done' WHERE job_batch_id IS NOT NULL"
            )
        with self.new_env() as env, mute_logger(LOGGER):
            env["queue.job.batch"]._sweep()
        self.assertEqual((self.state(), self.ends()), ("finished", 1))

    def test_sweep_leaves_a_batch_without_jobs_open(self):
        with self.new_env() as env:
            empty = env["queue.job.batch"].get_new_batch("Later").id
            env["queue.job.batch"]._sweep()
        with self.new_env() as env:
            self.assertEqual(env["queue.job.batch"].browse(empty).state, "pending")

    def test_batch_does_not_finish_while_a_job_joins(self):
        for uuid in self.uuids:
            self.move(uuid, "done")
        ids = self.ids()
        with self.registry.cursor() as cr, mute_logger("odoo.sql_db"):
            job = self.join(api.Environment(cr, 1, {}))
            cr.flush()
            derive_behind(self.registry, ids)
            self.assertEqual(self.state(), "pending")
        self.assertEqual(self.state(), "pending")
        self.perform([job.uuid])
        self.assertEqual((self.state(), self.ends()), ("finished", 1))

    def test_states_are_read_by_the_index(self):
        with self.new_env() as env:
            env.cr.execute(
                """
                ALTER TABLE queue_job DISABLE TRIGGER USER;
                INSERT INTO queue_job (uuid, state, job_batch_id)
                SELECT gen_random_uuid(), 'done', %(batch)s FROM generate_series(1, 20000);
                ANALYZE queue_job
                """,
                {"batch": self.batch_id},
            )
            values = {"batches": [self.batch_id], "states": ["done", "pending"]}
            env.cr.execute("EXPLAIN " + sql.states_of_jobs, values)
            plan = "\n".join(line for (line,) in env.cr.fetchall())
            env.cr.rollback()
        self.assertIn("queue_job_job_batch_index", plan)
        self.assertNotIn("Seq Scan on queue_job", plan)
