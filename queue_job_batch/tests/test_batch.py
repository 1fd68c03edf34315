# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Batches as callers know them."""

from odoo.exceptions import AccessError, UserError
from odoo.service.model import get_public_method
from odoo.tests import new_test_user, tagged

from odoo.addons.queue_job.delay import chain
from odoo.addons.queue_job.job import Job

from .common import BatchCase

GROUP = "queue_job_batch.group_queue_job_batch_user,base.group_user"


@tagged("post_install", "-at_install")
class TestBatch(BatchCase):
    def test_life_of_a_batch(self):
        """Two jobs, each with the check of the batch that its end delays."""
        self.env.cr.execute("DELETE FROM queue_job")
        batch = self.batches.get_new_batch("Import")
        self.assertEqual(batch.user_id, self.env.user)
        self.assertEqual(batch.company_id, self.env.company)
        one, two = self.delay(batch), self.delay(batch)
        self.assertEqual(set(batch.job_ids.mapped("uuid")), {one.uuid, two.uuid})
        self.assertEqual(batch.job_count, 2)
        batch.set_read()
        self.assertFalse(batch.is_read)
        self.assertEqual((batch.state, batch.completeness), ("pending", 0))
        self.end(one)
        self.check()
        self.assertEqual((batch.state, batch.completeness), ("progress", 0.5))
        self.assertFalse(self.checks())
        self.end(two)
        self.check()
        self.assertEqual((batch.state, batch.completeness), ("finished", 1.0))
        self.assertEqual(batch.finished_job_count, 2)
        self.assertFalse(batch.is_read)
        batch.set_read()
        self.assertTrue(batch.is_read)
        self.assertTrue(batch.date_finished)

    def test_check_is_delayed_once_and_joins_no_batch(self):
        batch = self.batches.get_new_batch("Import")
        one, two = self.delay(batch), self.delay(batch)
        job = Job.load(self.env(context={"job_batch": batch}), one.uuid)
        job.set_done()
        job.store()
        self.end(two)
        (check,) = self.checks()
        self.assertFalse(check.job_batch_id)
        self.assertEqual(check.channel, "root.queue.job.batch")
        self.assertEqual(
            check.job_function_id,
            self.env.ref("queue_job_batch.job_function_queue_job_check_state"),
        )

    def test_end_that_is_stored_by_the_maker_of_the_job(self):
        job = self.delay(self.batches.get_new_batch("Import"))
        job.set_done()
        job.store()
        self.assertEqual(len(self.checks()), 1)

    def test_job_without_batch_delays_no_check(self):
        self.end(self.partner.with_delay().write({"ref": "x"}))
        self.assertFalse(self.checks())

    def test_state_follows_from_the_states_of_the_jobs(self):
        for states, expected in (
            (set(), "finished"),
            ({"done", "cancelled", "failed"}, "finished"),
            ({"failed"}, "finished"),
            ({"done", "pending"}, "progress"),
            ({"started"}, "progress"),
            ({"enqueued", "started"}, "progress"),
            ({"enqueued", "pending"}, "enqueued"),
            ({"failed", "wait_dependencies"}, "pending"),
            ({"pending"}, "pending"),
        ):
            with self.subTest(states):
                self.assertEqual(self.batches._get_state(states), expected)

    def test_counts(self):
        batch = self.batches.get_new_batch("Import")
        self.assertEqual((batch.completeness, batch.failed_percentage), (0, 0))
        jobs = [self.delay(batch, str(number)) for number in range(4)]
        self.end(jobs[0])
        self.end(jobs[1], "failed")
        self.end(jobs[2], "cancelled")
        batch.check_state()
        self.assertEqual(batch.finished_job_count, 1)
        self.assertEqual(batch.failed_job_count, 1)
        self.assertEqual((batch.completeness, batch.failed_percentage), (0.25, 0.25))

    def test_graph_joins_as_a_whole(self):
        batch = self.batches.get_new_batch("Import")
        records = self.partner.with_context(job_batch=batch)
        chain(*(records.delayable().write({"ref": str(n)}) for n in range(3))).delay()
        self.assertEqual(batch.job_count, 3)

    def test_joining_costs_no_query(self):
        batch = self.batches.get_new_batch("Import")

        def cost(records):
            records.with_delay().write({"ref": "warm"})
            self.env.flush_all()
            before = self.env.cr.sql_log_count
            records.with_delay().write({"ref": "x"})
            self.env.flush_all()
            return self.env.cr.sql_log_count - before

        self.assertEqual(
            cost(self.partner), cost(self.partner.with_context(job_batch=batch))
        )

    def test_finished_batch_takes_no_job(self):
        batch = self.batches.get_new_batch("Import")
        batch.check_state()
        with self.assertRaisesRegex(UserError, "no job can join"):
            self.delay(batch)

    def test_state_of_earlier_series(self):
        batch = self.batches.get_new_batch("Import")
        self.env.flush_all()
        self.env.cr.execute("UPDATE queue_job_batch SET state = 'draft'")
        self.batches.init()
        batch.invalidate_recordset()
        self.assertEqual(batch.state, "pending")


@tagged("post_install", "-at_install")
class TestCallbacks(BatchCase):
    def callback(self, value, **options):
        return self.partner.delayable(**options).write({"comment": value})

    def called(self):
        """Return the values that callbacks were delayed with."""
        jobs = self.env["queue.job"].search(
            [("method_name", "=", "write"), ("job_batch_id", "=", False)], order="id"
        )
        return [job.args[0]["comment"] for job in jobs if "comment" in job.args[0]]

    def batch(self):
        batch = self.batches.get_new_batch("Import")
        return (
            batch.on_success(self.callback("success"))
            .on_failure(self.callback("failure"))
            .on_finish(self.callback("finish", priority=3, description="The end"))
        )

    def test_success(self):
        batch = self.batch()
        job = self.delay(batch)
        batch.check_state()
        self.assertEqual(self.called(), [])
        self.end(job)
        batch.check_state()
        batch.check_state()
        self.assertEqual(sorted(self.called()), ["finish", "success"])

    def test_first_failure(self):
        batch = self.batch()
        jobs = [self.delay(batch, str(number)) for number in range(3)]
        self.end(jobs[0], "failed")
        batch.check_state()
        self.assertEqual(self.called(), ["failure"])
        self.end(jobs[1], "failed")
        batch.check_state()
        self.assertEqual(self.called(), ["failure"])
        self.end(jobs[2])
        batch.check_state()
        self.assertEqual(self.called(), ["failure", "finish"])

    def test_empty_batch(self):
        self.batch().check_state()
        self.assertEqual(sorted(self.called()), ["finish", "success"])

    def test_options_of_a_callback_stay(self):
        self.batch().check_state()
        job = self.env["queue.job"].search([("name", "=", "The end")])
        self.assertEqual(job.priority, 3)
        self.assertFalse(job.job_batch_id)

    def test_retry_opens_a_batch_and_calls_nothing_twice(self):
        batch = self.batch()
        job = self.delay(batch)
        self.end(job, "failed")
        batch.check_state()
        self.assertEqual(batch.state, "finished")
        job.db_record().requeue()
        batch.check_state()
        self.assertEqual(batch.state, "pending")
        self.assertIn("Opened again", str(batch.message_ids[:2].mapped("body")))
        self.end(job)
        batch.check_state()
        self.assertEqual(batch.state, "finished")
        self.assertEqual(self.called(), ["failure", "finish", "success"])

    def test_graph_is_refused(self):
        with self.assertRaisesRegex(TypeError, "single call"):
            self.batches.get_new_batch("x").on_finish(chain(self.callback("x")))


@tagged("post_install", "-at_install")
class TestRights(BatchCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.user = new_test_user(cls.env, "importer", GROUP)
        cls.other = new_test_user(cls.env, "other", GROUP)
        cls.stranger = new_test_user(cls.env, "stranger", "base.group_user")
        cls.batch = cls.batches.with_user(cls.user).get_new_batch("Import")

    def test_batch_is_that_of_the_caller(self):
        self.assertEqual(self.batch.env.user, self.user)
        self.assertFalse(self.batch.env.su)
        self.assertEqual(self.batch.user_id, self.user)

    def test_anybody_makes_one(self):
        batch = self.batches.with_user(self.stranger).get_new_batch("x")
        self.assertEqual(batch.sudo().user_id, self.stranger)

    def test_users_see_their_own(self):
        self.assertTrue(self.batch.has_access("write"))
        self.assertFalse(self.batch.with_user(self.other).has_access("read"))
        with self.assertRaises(AccessError):
            self.batch.with_user(self.stranger).read(["name"])

    def test_jobs_of_own_batches(self):
        job = self.delay(self.batch.sudo()).db_record().sudo(False)
        self.assertTrue(job.with_user(self.user).has_access("read"))
        self.assertFalse(job.with_user(self.user).has_access("write"))
        self.assertFalse(job.with_user(self.other).has_access("read"))
        alone = self.partner.with_delay().write({}).db_record().sudo(False)
        self.assertFalse(alone.with_user(self.user).has_access("read"))

    def test_owner_cannot_write_what_follows_from_jobs(self):
        for values in ({"state": "finished"}, {"user_id": self.other.id}):
            with self.assertRaises(AccessError):
                self.batch.write(values)

    def test_nobody_reads_or_writes_callbacks(self):
        """They are calls that run as anybody."""
        for batch in (
            self.batch,
            self.batch.with_user(self.env.ref("base.user_admin")),
        ):
            with self.assertRaises(AccessError):
                batch.write({"callbacks": {}})
            with self.assertRaises(AccessError):
                batch.read(["callbacks"])

    def test_no_client_gives_callbacks(self):
        """A call in a batch runs with the rights of the user that it names."""
        harm = (
            '{"finish": [{"method": "write", "args": [{"name": "taken"}], "kwargs": {}, '
            '"options": {}, "records": {"_type": "odoo_recordset", "model": "res.users", '
            '"ids": [2], "uid": 1, "su": true}}]}'
        )
        for name in ("get_new_batch", "check_state"):
            with self.subTest(name), self.assertRaises(AccessError):
                get_public_method(self.batches, name)
        with self.assertRaises(ValueError):
            self.batches.with_user(self.stranger).get_new_batch("x", callbacks=harm)
        manager = new_test_user(
            self.env, "boss", "base.group_user,queue_job.group_queue_job_manager"
        )
        for user in (self.user, manager):
            batches = self.batches.with_user(user).with_context(default_callbacks=harm)
            with self.subTest(user.login):
                self.assertFalse(batches.get_new_batch("x").sudo().callbacks)
        values = {"name": "x", "user_id": manager.id}
        self.assertFalse(batches.create(values).sudo().callbacks)
        with self.assertRaises(AccessError):
            batches.create({**values, "callbacks": harm})

    def test_owner_marks_as_read(self):
        self.batch.check_state()
        self.batch.set_read()
        self.assertTrue(self.batch.is_read)

    def test_manager_has_the_group(self):
        manager = new_test_user(self.env, "boss", "queue_job.group_queue_job_manager")
        self.assertTrue(manager.has_group(GROUP.split(",")[0]))
        self.assertTrue(self.batch.with_user(manager).has_access("unlink"))
