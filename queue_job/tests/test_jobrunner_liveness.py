# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How a dead job is recognised without taking the lock of a live one."""

import re
from pathlib import Path

from odoo.tests import BaseCase, tagged
from odoo.tools import mute_logger

from ..jobrunner.liveness import CHECK_INTERVAL, DeadJobs
from .runner_case import RunnerCase

ADDONS = Path(__file__).parents[2]
RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"
LOCK = "SELECT FROM queue_job_lock WHERE id = %s FOR NO KEY UPDATE NOWAIT"


class TestDeadJobsInMemory(BaseCase):
    def test_dead_is_free_twice_with_the_same_lock(self):
        dead = DeadJobs()
        self.assertEqual(dead.confirm({"a": "7"}, 10), set())
        self.assertEqual(dead.suspects, {"a"})
        self.assertEqual(dead.confirm({"a": "7"}, 10 + CHECK_INTERVAL / 2), set())
        self.assertEqual(dead.confirm({"a": "7"}, 10 + CHECK_INTERVAL), {"a"})
        self.assertEqual(dead.suspects, set())

    def test_another_lock_begins_again(self):
        dead = DeadJobs()
        for number in range(5):
            now = 10 + CHECK_INTERVAL * number
            self.assertEqual(dead.confirm({"a": str(number)}, now), set())

    def test_locked_in_between_begins_again(self):
        dead = DeadJobs()
        dead.confirm({"a": "7"}, 10)
        dead.confirm({}, 11)
        self.assertEqual(dead.confirm({"a": "7"}, 12), set())


@tagged("post_install", "-at_install")
class TestLiveness(RunnerCase):
    def old_job(self):
        return self.job(
            "started", date_enqueued=self.old(60), date_started=self.old(60)
        )

    def last_lock(self, uuid):
        free = self.database().free_locks([uuid])
        self.assertEqual(self.database().free_locks_of_begun([uuid]), free)
        return free.get(uuid)

    def lock_again(self, uuid, conn):
        self.sql(LOCK, self.value(uuid, "id"), conn=conn)

    def test_check_takes_no_lock(self):
        uuid = self.old_job()
        worker = self.lock_row(uuid)
        worker.rollback()
        runner = self.connect()
        runner.autocommit = False
        for name in ("free_locks", "free_locks_of_begun"):
            with self.subTest(name):
                db = self.database()
                original, db.conn = db.conn, runner
                try:
                    with mute_logger(RUNNER_LOGGER):
                        self.assertIn(uuid, getattr(db, name)([uuid]))
                finally:
                    db.conn = original
                # The transaction of the check is still open.
                self.lock_again(uuid, worker)
                worker.rollback()

    def test_job_that_locks_anew_all_the_time_is_not_dead(self):
        """A step releases the lock for a moment; each check may fall there."""
        uuid = self.old_job()
        worker = self.lock_row(uuid)
        dead, locks = DeadJobs(), set()
        for number in range(5):
            self.assertIsNone(self.last_lock(uuid))
            worker.commit()
            last_lock = self.last_lock(uuid)
            locks.add(last_lock)
            now = 10 + CHECK_INTERVAL * number
            self.assertEqual(dead.confirm({uuid: last_lock}, now), set())
            self.lock_again(uuid, worker)
        self.assertEqual(len(locks), 5)

    def test_claim_makes_another_last_lock(self):
        """The transaction that locked the row last may be that of a claim before."""
        uuid = self.old_job()
        self.lock_row(uuid).rollback()
        before = self.last_lock(uuid)
        self.update(uuid, run_number=2)
        self.assertNotEqual(self.last_lock(uuid), before)

    def test_job_without_a_row_is_free(self):
        uuid = self.old_job()
        self.assertIsNotNone(self.last_lock(uuid))

    @mute_logger(RUNNER_LOGGER)
    def test_row_with_several_lockers_is_not_swept_while_its_worker_lives(self):
        """Its xmax is then no transaction, so that the checks find it free."""
        uuid = self.old_job()
        worker, other = self.lock_row(uuid), self.connect()
        other.autocommit = False
        statement = "SELECT FROM queue_job_lock WHERE id = %s FOR KEY SHARE"
        self.sql(statement, self.value(uuid, "id"), conn=other)
        self.assertIsNotNone(self.last_lock(uuid))
        session = self.session()
        for now in (1001, 1002, 1003):
            session.sweep(now)
        self.assertEqual(self.value(uuid), "started")
        self.assertEqual(self.database().recover([uuid]), [])
        worker.rollback()
        for now in (1004, 1005):
            session.sweep(now)
        self.assertEqual(self.value(uuid), "pending")

    @mute_logger(RUNNER_LOGGER)
    def test_open_request_of_a_row_with_several_lockers_is_kept(self):
        uuid = self.job()
        session = self.session()
        self.dispatch(session)
        self.update(uuid, state="started", date_started=self.old(60))
        self.lock_row(uuid)
        other = self.connect()
        other.autocommit = False
        statement = "SELECT FROM queue_job_lock WHERE id = %s FOR KEY SHARE"
        self.sql(statement, self.value(uuid, "id"), conn=other)
        for now in (1100, 1200):
            session.tick(now)
        self.assertEqual(set(session.in_flight), {uuid})

    def test_nothing_else_locks_or_references_the_rows(self):
        references = self.sql(
            "SELECT conname FROM pg_constraint WHERE confrelid = 'queue_job_lock'::regclass"
        )
        self.assertEqual(references, [])
        lockers = set()
        for path in ADDONS.glob("queue_job*/sql/*.sql"):
            for text in re.split(r"(?m)^-- (?=name|part)", path.read_text()):
                code = re.sub(r"(?m)^--.*$", "", text)
                if re.search(r"queue_job_lock\b(?!_)", code) and re.search(
                    r"\bFOR (NO KEY )?(UPDATE|SHARE)|FOR KEY SHARE"
                    r"|(UPDATE|DELETE FROM) queue_job_lock",
                    code,
                ):
                    lockers.add(re.match(r"\w+: (\w+)", text)[1])
        # The claim inserts the row, and locks the row of the job.
        self.assertEqual(lockers, {"dead_jobs", "lock_row_of_run", "claim_functions"})
        python = [
            path.name
            for path in ADDONS.glob("queue_job*/**/*.py")
            if "tests" not in path.parts and "queue_job_lock" in path.read_text()
        ]
        self.assertEqual(python, ["__init__.py"])
