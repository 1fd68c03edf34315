# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Jobs that are locked elsewhere cost no slot: the next free one starts in the same round."""

from datetime import datetime
from unittest.mock import patch

from odoo.tests import tagged

from ..jobrunner.database import Database
from ..jobrunner.runner import QueueJobRunner
from .runner_case import KEY_LOCK_CLASS, RunnerCase

# Ten times as many as slots.
SLOTS, HELD, FREE = 3, 30, 5


@tagged("post_install", "-at_install")
class TestHeldJobs(RunnerCase):
    def runner(self, channels=f"root:{SLOTS}"):
        """Return a runner of this database only; what it sends is in ``self.sent``."""
        runner = QueueJobRunner(
            host="127.0.0.1", port=1, channel_config_string=channels
        )
        runner.get_db_names = lambda: [self.db_name]
        self.sent = []
        runner._dispatcher.send = self.sent.append
        self.addCleanup(runner.close_databases)
        runner.initialize_databases()
        for job in list(runner._sessions[self.db_name].tree._jobs.values()):
            if job.uuid not in self.mine:
                job.channel.remove(job)
        return runner

    def sent_uuids(self):
        return [uuid for request in self.sent for uuid in request.uuids]

    def jobs(self, count, **columns):
        return [self.job(priority=number, **columns) for number in range(count)]

    def free_jobs(self, **columns):
        return [self.job(priority=1000 + n, **columns) for n in range(FREE)]

    def check_free_ones_start(self, hold, **columns):
        """Let jobs be held in one way: the free ones behind them start in one round."""
        held = self.jobs(HELD, **columns)
        free = self.free_jobs()
        runner = self.runner()
        hold(held)
        runner.run_jobs()
        self.assertEqual(self.sent_uuids(), free[:SLOTS])
        root = runner._sessions[self.db_name].tree.root
        self.assertEqual(len(root._running), SLOTS)
        self.assertEqual(len(root.shared._running), SLOTS)
        return runner

    def hold_rows(self, uuids):
        holder = self.connect()
        holder.autocommit = False
        self.sql(
            "SELECT FROM queue_job WHERE uuid = ANY(%s) FOR NO KEY UPDATE",
            uuids,
            conn=holder,
        )
        return holder

    def hold_keys(self, column):
        """Be the caller whose twins were refused: hold the key locks of the jobs."""
        holder = self.connect()
        holder.autocommit = False
        self.sql(
            "SELECT pg_advisory_xact_lock_shared(%s, queue_job_key_lock("
            + column
            + ")) FROM queue_job WHERE uuid = ANY(%s)",
            KEY_LOCK_CLASS,
            list(self.mine),
            conn=holder,
        )

    def test_a2_rows_that_another_session_has_locked(self):
        self.check_free_ones_start(self.hold_rows)

    def test_a2_keys_of_refused_callers(self):
        """root:1, twelve keyed jobs refused to an open transaction, fifty free ones:
        none of the fifty ran until that transaction ended."""
        self.check_free_ones_start(
            lambda held: self.hold_keys("identity_key"), identity_key="a2"
        )

    def test_a2_keys_of_duplicates(self):
        self.check_free_ones_start(
            lambda held: self.hold_keys("twin_key"),
            twin_key="a2",
            twin_states="",
            func_string="a2",
        )

    def test_a2_jobs_that_were_moved_since_they_were_read(self):
        def move(held):
            self.sql(
                "UPDATE queue_job SET state = 'cancelled' WHERE uuid = ANY(%s)", held
            )

        self.check_free_ones_start(move)

    def test_a2_jobs_whose_eta_was_set_since_they_were_read(self):
        def postpone(held):
            self.sql(
                "UPDATE queue_job SET eta = %s WHERE uuid = ANY(%s)",
                datetime(2100, 1, 1),
                held,
            )

        self.check_free_ones_start(postpone)

    def test_a2_jobs_that_were_deleted_since_they_were_read(self):
        def delete(held):
            self.sql("DELETE FROM queue_job WHERE uuid = ANY(%s)", held)

        self.check_free_ones_start(delete)

    def test_a2_held_job_of_a_sequential_channel_takes_no_slot_above(self):
        """Its channel waits for it; it held the only slot of root as long."""
        first, second = self.jobs(2, channel="root.s")
        (free, *_rest) = self.free_jobs()
        runner = self.runner("root:1,s:1:sequential")
        holder = self.hold_rows([first])
        runner.run_jobs()
        self.assertEqual(self.sent_uuids(), [free])
        session = runner._sessions[self.db_name]
        session.tracker.retry_blocked(float("inf"))
        runner.run_jobs()
        holder.rollback()
        self.update(free, state="done")
        session.tree.remove_job(free, self.db_name)
        session.tracker.retry_blocked(float("inf"))
        runner.run_jobs()
        self.assertEqual(self.sent_uuids(), [free, first])
        self.assertEqual(self.value(second), "pending")

    def test_a2_held_job_of_a_throttled_channel_begins_no_wait(self):
        held = self.jobs(HELD, channel="root.t")
        (free, *_rest) = self.free_jobs(channel="root.t")
        runner = self.runner("root:9,t:2:throttle=60")
        self.hold_rows(held)
        runner.run_jobs()
        self.assertEqual(self.sent_uuids(), [free])

    def test_a2_few_statements_find_the_free_jobs_behind_many_held_ones(self):
        held = self.jobs(2000)
        free = self.free_jobs()
        runner = self.runner("root:1")
        self.hold_rows(held)
        fetch = Database._fetch
        asked = []

        def noting(db, *args):
            asked.append(args)
            return fetch(db, *args)

        patient = patch("odoo.addons.queue_job.jobrunner.runner.CHOOSING_TIME", 60)
        with patient, patch.object(Database, "_fetch", noting):
            runner.run_jobs()
        self.assertEqual(self.sent_uuids(), free[:1])
        self.assertLess(len(asked), 60)

    def test_a2_choice_that_takes_long_is_continued_in_the_next_round(self):
        """Other databases and answers of workers have their turn in between."""
        held = self.jobs(HELD)
        free = self.free_jobs()
        runner = self.runner("root:1")
        self.hold_rows(held)
        with patch("odoo.addons.queue_job.jobrunner.runner.CHOOSING_TIME", 0):
            runner.run_jobs()
            self.assertEqual(self.sent, [])
            rounds = 1
            while not self.sent and rounds < HELD:
                with patch.object(runner, "_select", side_effect=AssertionError):
                    runner.wait_notification()
                runner.run_jobs()
                rounds += 1
        self.assertEqual(self.sent_uuids(), free[:1])
