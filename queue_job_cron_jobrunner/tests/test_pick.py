# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Claims between two sessions, on cursors of their own; what they commit is deleted."""

from unittest import mock

import psycopg2

from odoo import SUPERUSER_ID, api
from odoo.modules.registry import Registry
from odoo.tests import BaseCase, get_db_name
from odoo.tools import mute_logger

from odoo.addons.queue_job.store.rows import changed_values
from odoo.addons.queue_job.worker import Lease, claim_first, lock_first

from ..bundle import CronBundle


class TestTwoSessions(BaseCase):
    def setUp(self):
        super().setUp()
        self.registry = Registry(get_db_name())
        self.one, self.two = self.session(), self.session()

    def session(self):
        cr = self.registry.cursor()
        self.addCleanup(cr.close)
        return api.Environment(cr, SUPERUSER_ID, {})["queue.job"]

    def delay(self, count=2):
        """Commit jobs that wait; return their uuids."""
        jobs = self.session()
        uuids = [
            jobs.with_delay(priority=-1000)._test_job().uuid for _number in range(count)
        ]
        jobs.env.cr.execute("DELETE FROM ir_cron_trigger")
        jobs.env.cr.postcommit.clear()
        jobs.env.cr.commit()
        self.addCleanup(self.delete, uuids)
        return uuids

    def delete(self, uuids):
        for jobs in (self.one, self.two):
            if not jobs.env.cr._cnx.closed:
                jobs.env.cr.rollback()
        jobs = self.session()
        jobs.env.cr.execute("DELETE FROM queue_job WHERE uuid = ANY(%s)", (uuids,))
        jobs.env.cr.commit()

    def set_state(self, jobs, uuid, state):
        jobs.env.cr.execute(
            "UPDATE queue_job SET state = %s WHERE uuid = %s", (state, uuid)
        )

    def test_job_that_another_session_holds_is_passed_over(self):
        first, second = self.delay()
        self.assertEqual(lock_first(self.one.env, [first, second]), first)
        self.assertEqual(lock_first(self.two.env, [first, second]), second)

    def test_order_is_kept_where_it_is_promised(self):
        first, second = self.delay()
        lock_first(self.one.env, [first])
        for in_order, expected in ((True, None), (False, second)):
            bundle = CronBundle(self.two.env, None, [first, second], in_order=in_order)
            bundle.claim_next()
            claimed = bundle.claimed and bundle.claimed.job.uuid
            self.assertEqual(claimed, expected)

    def test_job_that_changed_after_the_snapshot_is_passed_over(self):
        """The transaction that ends a job survives a follower that was cancelled meanwhile."""
        first, second = self.delay()
        self.one.env.cr.execute("SELECT 1")
        self.set_state(self.two, first, "cancelled")
        self.two.env.cr.commit()
        self.assertEqual(lock_first(self.one.env, [first, second]), second)
        self.one.env.cr.execute("SELECT 1")

    def test_picks_wait_for_each_other(self):
        self.delay()
        self.one._begin_pick()
        self.one._pick_next()
        self.two._begin_pick()
        self.two.env.cr.execute("SET LOCAL lock_timeout = '100ms'")
        with (
            self.assertRaises(psycopg2.errors.LockNotAvailable),
            mute_logger("odoo.sql_db"),
        ):
            self.two._pick_next()

    def test_pick_sees_what_was_committed_while_it_waited(self):
        """What a REPEATABLE READ snapshot, as old as the wait, would not."""
        first, second = self.delay()
        self.two._begin_pick()
        self.two.env.cr.execute("SELECT count(*) FROM queue_job")
        self.set_state(self.one, first, "cancelled")
        self.one.env.cr.commit()
        self.assertEqual(self.two._pick_next().uuid, second)

    def test_pick_lock_is_free_when_the_session_dies(self):
        first, _second = self.delay()
        self.one._begin_pick()
        self.assertEqual(self.one._pick_next().uuid, first)
        self.one.env.cr._cnx.close()
        self.one = self.session()
        self.two._begin_pick()
        self.assertEqual(self.two._pick_next().uuid, first)

    def claim(self, uuid):
        """Claim a job as a worker does, and hold its liveness."""
        job = claim_first(self.one.env, [uuid]).job
        self.one.env.cr.commit()
        self.assertTrue(job.lock())
        return job

    def test_claim_leaves_nothing_to_write_again(self):
        """What is left of a claim would be written with each end, the long way."""
        (uuid,) = self.delay(1)
        lock_first(self.one.env, [uuid])
        job = self.claim(uuid)
        self.assertEqual(changed_values(job, job.record), {"state": "started"})

    def test_look_behind_a_job_is_not_left_to_the_end_of_the_run(self):
        """The next job may be long, and nobody would release who came meanwhile."""
        (uuid,) = self.delay(1)
        lock_first(self.one.env, [uuid])
        job = self.claim(uuid)
        lease = Lease.of(job)
        lease.links_after = set()
        CronBundle(self.one.env, None).defer_release(lease)
        self.assertFalse(lease.has_no_dependents)

    def test_failure_over_the_limit_beats_the_end_of_the_job(self):
        (uuid,) = self.delay(1)
        self.assertEqual(lock_first(self.one.env, [uuid]), uuid)
        job = self.claim(uuid)
        self.assertTrue(
            self.two._fail_over_limit(
                job.row_id, job.run_number, (9, "limit_time_real_cron")
            )
        )
        self.two.env.cr.commit()
        job.set_done()
        with self.assertRaises(psycopg2.OperationalError), mute_logger("odoo.sql_db"):
            job.store()
            self.one.env.flush_all()
        self.one.env.cr.rollback()
        row = self.two.search([("uuid", "=", uuid)])
        self.assertEqual((row.state, row.retry, row.to_report), ("failed", 1, True))
        self.assertIn("limit_time_real_cron = 9", row.exc_message)

    def test_the_limit_fails_no_other_run_of_the_job(self):
        (uuid,) = self.delay(1)
        lock_first(self.one.env, [uuid])
        job = self.claim(uuid)
        limit = (9, "limit_time_cpu")
        self.assertFalse(
            self.two._fail_over_limit(job.row_id, job.run_number + 1, limit)
        )

    def test_dead_job_is_requeued_and_a_live_one_is_not(self):
        dead, alive = self.delay()
        for uuid in (dead, alive):
            lock_first(self.one.env, [uuid])
            job = claim_first(self.one.env, [uuid]).job
        self.one.env.cr.execute(
            "UPDATE queue_job SET date_enqueued = date_enqueued - interval '1 minute' "
            "WHERE uuid = ANY(%s)",
            ([dead, alive],),
        )
        self.one.env.cr.commit()
        self.assertTrue(job.lock())
        self.two._begin_pick()
        self.assertNotIn(dead, self.two._requeue_dead_jobs())
        self.assertTrue(self.two._check_dead_in())
        later = self.two._database_time() + self.two._check_dead_in()
        with mock.patch.object(type(self.two), "_database_time", lambda _jobs: later):
            requeued = self.two._requeue_dead_jobs()
        self.assertIn(dead, requeued)
        self.assertNotIn(alive, requeued)
        self.two.env.cr.rollback()

    def test_regular_runner_is_noticed(self):
        self.assertFalse(self.one._is_regular_runner_alive())
        self.two.env.cr.execute("SELECT pg_advisory_lock(2293787760715711918)")
        self.assertTrue(self.one._is_regular_runner_alive())
        cron = self.one.env.ref("queue_job_cron_jobrunner.queue_job_cron")
        self.assertIn("does nothing", cron.queue_job_runner_note)
        self.two.env.cr.execute("SELECT pg_advisory_unlock(2293787760715711918)")
        cron.invalidate_recordset()
        self.assertFalse(cron.queue_job_runner_note)
