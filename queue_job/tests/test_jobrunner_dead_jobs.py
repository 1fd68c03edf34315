# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What is taken back from workers that vanished, and what waits for nothing."""

from datetime import datetime

from odoo.modules.registry import Registry
from odoo.tests import tagged
from odoo.tools import mute_logger

from .runner_case import RunnerCase

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


@tagged("post_install", "-at_install")
class TestDeadJobs(RunnerCase):
    def dead(self, state="started", **columns):
        return self.job(state, date_enqueued=self.old(11), **columns)

    def sweep(self):
        return set(self.database().requeue_dead_jobs()) & self.mine

    def test_dead_jobs_are_requeued_and_told(self):
        sent, claimed = self.dead("enqueued", retry=2), self.dead(retry=2)
        with self.assertLogs(RUNNER_LOGGER, "WARNING") as logs:
            self.assertEqual(self.sweep(), {sent, claimed})
        self.assertTrue(
            [
                line
                for line in logs.output
                if f"Re-queued dead job with uuid: {sent}" in line
            ]
        )
        self.assertEqual((self.value(sent), self.value(sent, "retry")), ("pending", 2))
        self.assertEqual(
            (self.value(claimed), self.value(claimed, "retry")), ("pending", 3)
        )

    def test_jobs_that_are_not_dead(self):
        alive = self.dead()
        self.lock_row(alive)
        self.job("started", date_enqueued=self.old(8))
        self.job("started", date_enqueued=None)
        self.job("pending", date_enqueued=self.old(11))
        self.job("done", date_enqueued=self.old(11))
        moved = self.dead()
        self.lock_row(moved, "queue_job")
        self.assertEqual(self.sweep(), set())

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_free_lock_row_means_dead(self):
        uuid = self.dead()
        self.lock_row(uuid).rollback()
        self.assertEqual(self.sweep(), {uuid})

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_b29_jobs_in_open_requests_are_not_dead(self):
        in_flight = self.job("pending")
        session = self.session()
        self.dispatch(session)
        self.update(in_flight, date_enqueued=self.old(11))
        dead = self.dead("enqueued", uuid="with ' quote and % percent")
        session.tracker.load()
        for now in (1001, 1002):
            session.sweep(now)
        self.assertEqual(self.value(in_flight), "enqueued")
        self.assertEqual(self.value(dead), "pending")

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_odd_numbers_of_tries_end_no_sweep(self):
        """The wait grows with their square, which was no interval any more."""
        uuids = {
            self.dead(retry=retry, max_retries=0)
            for retry in (-(2**31), -1, None, 2**31 - 1)
        }
        self.assertEqual(self.sweep(), uuids)
        for uuid in uuids:
            self.assertEqual(self.value(uuid), "pending")

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_b09_each_death_is_one_try(self):
        uuid = self.job("started", max_retries=5, retry=0)
        tries = 0
        while self.value(uuid) != "failed":
            tries += 1
            self.update(uuid, state="started", date_enqueued=self.old(11))
            self.assertEqual(self.sweep(), {uuid})
        self.assertEqual((tries, self.value(uuid, "retry")), (5, 5))

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_b09_failed_job_says_why_and_is_to_be_announced(self):
        uuid = self.dead(max_retries=1)
        db = self.database()
        db.requeue_dead_jobs()
        self.assertEqual(self.value(uuid), "failed")
        self.assertEqual(self.value(uuid, "exc_name"), "JobFoundDead")
        self.assertEqual(
            self.value(uuid, "exc_info"), "Job found dead after too many retries"
        )
        self.assertTrue(self.value(uuid, "exc_message"))
        self.assertIn(uuid, db.unreported())

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_death_of_a_started_job_is_kept_as_an_attempt(self):
        started = self.dead(run_number=3, worker_pid=42)
        self.dead("enqueued")
        self.sweep()
        found = self.sql(
            "SELECT job_id, number, run_number, outcome, worker_pid, exc_name"
            " FROM queue_job_attempt WHERE job_id IN"
            " (SELECT id FROM queue_job WHERE uuid = ANY(%s))",
            list(self.mine),
        )
        self.assertEqual(
            found, [(self.value(started, "id"), 1, 3, "dead", 42, "JobFoundDead")]
        )

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_limits(self):
        for state, retry, max_retries, after in (
            ("started", 4, 0, "pending"),
            ("started", 4, None, "pending"),
            ("started", None, 5, "pending"),
            ("started", 3, 5, "pending"),
            ("started", 4, 5, "failed"),
            ("enqueued", 5, 5, "pending"),
            ("enqueued", 6, 5, "failed"),
        ):
            with self.subTest(state=state, retry=retry, max_retries=max_retries):
                uuid = self.dead(state, retry=retry, max_retries=max_retries)
                self.sweep()
                self.assertEqual(self.value(uuid), after)

    def test_query_is_complete_and_runs_on_a_cursor_of_odoo(self):
        uuid = self.dead()
        query = self.database()._query_requeue_dead_jobs()
        self.assertIsInstance(query, str)
        self.assertNotIn("%", query)
        with Registry(self.db_name).cursor() as cr:
            cr.execute(query)
            self.assertIn((uuid,), cr.fetchall())
            cr.rollback()

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_sweep_of_some_jobs(self):
        dead, other, fresh = (
            self.dead(),
            self.dead(),
            self.job("started", date_enqueued=self.old(1)),
        )
        alive = self.dead()
        self.lock_row(alive)
        self.assertEqual(
            self.database().requeue_dead_among([dead, fresh, alive]), [dead]
        )
        self.assertEqual(self.value(other), "started")

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_recover_does_not_wait(self):
        """A connection broke: what is known is known now."""
        sent = self.job("enqueued", date_enqueued=self.old(0))
        claimed = self.job("started", date_enqueued=self.old(0))
        runs, other = self.job("started"), self.job("started")
        self.lock_row(runs)
        got = self.database().recover([sent, claimed, runs])
        self.assertEqual(set(got), {sent, claimed})
        self.assertEqual(self.value(sent, "retry") or 0, 0)
        self.assertEqual(self.value(claimed, "retry"), 1)
        self.assertEqual(self.value(other), "started")


@tagged("post_install", "-at_install")
class TestForgotten(RunnerCase):
    def waiting(self, **columns):
        return self.job(
            "wait_dependencies", **{"date_created": self.old(3600), **columns}
        )

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_what_waits_for_nothing_is_released(self):
        done, failed, cancelled = (
            self.job("done"),
            self.job("failed"),
            self.job("cancelled"),
        )
        free, behind_done, blocked = self.waiting(), self.waiting(), self.waiting()
        self.edge(done, behind_done)
        self.edge(cancelled, behind_done)
        self.edge(failed, blocked)
        self.edge(done, blocked)
        joined, held = self.waiting(), self.waiting()
        self.edge(done, None, -1)
        self.edge(None, joined, -1)
        self.edge(done, None, -2)
        self.edge(failed, None, -2)
        self.edge(None, held, -2)
        by_uuid = '{"depends_on": ["%s"], "reverse_depends_on": []}'
        old_free = self.waiting(dependencies=by_uuid % done)
        old_blocked = self.waiting(dependencies=by_uuid % failed)
        self.waiting(dependencies="{}", date_created=datetime.utcnow())
        released, after = set(), 0
        db = self.database()
        while True:
            uuids, after = db.release_forgotten(after)
            released |= set(uuids) & self.mine
            if not after:
                break
        self.assertEqual(released, {free, behind_done, joined, old_free})
        for uuid in (blocked, held, old_blocked):
            self.assertEqual(self.value(uuid), "wait_dependencies")

    def test_what_waits_behind_some_jobs_is_released(self):
        done, started, elsewhere = (
            self.job("done"),
            self.job("started"),
            self.job("done"),
        )
        free, blocked, other = self.waiting(), self.waiting(), self.waiting()
        self.edge(done, free)
        self.edge(done, blocked)
        self.edge(started, blocked)
        self.edge(elsewhere, other)
        self.assertEqual(self.database().release_behind([done, started]), [free])
        self.assertEqual(self.value(free), "pending")
        for uuid in (blocked, other):
            self.assertEqual(self.value(uuid), "wait_dependencies")

    def test_what_a_worker_is_releasing_is_not_waited_for_long(self):
        done, child = self.job("done"), self.waiting()
        self.edge(done, child)
        self.lock_row(child, "queue_job")
        self.assertEqual(self.database().release_behind([done]), [])
