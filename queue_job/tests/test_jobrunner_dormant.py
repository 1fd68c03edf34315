# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Databases that are let go while idle, and what wakes them."""

import logging
import os
import threading
import time
from unittest.mock import patch

import psycopg2

from odoo import SUPERUSER_ID, api
from odoo.modules.registry import Registry
from odoo.sql_db import Cursor, db_connect
from odoo.tests import BaseCase, tagged
from odoo.tools import mute_logger

from ..delay import group
from ..jobrunner import dormant
from ..jobrunner import runner as runner_module
from ..jobrunner.agenda import NEVER
from ..jobrunner.config import connection_info_for
from ..jobrunner.connection import PG_ADVISORY_LOCK_ID
from ..jobrunner.database import Database
from ..jobrunner.dormant import DormantDatabases
from ..sql import statements as sql
from ..store import waking
from .fake_odoo import LoopBesideFakeOdoo
from .runner_case import RunnerCase, SessionCase

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"
# Seconds after which databases go dormant.
SILENCE = 0.3
# No job was delayed lately.
AGED = "UPDATE queue_job SET date_created = NULL WHERE date_created > now() - interval '1 day'"


@tagged("standard", "at_install")
class TestDormantDatabases(BaseCase):
    def setUp(self):
        super().setUp()
        self.dormant = DormantDatabases(None, None)

    def test_all_are_visited_soon_after_a_start(self):
        for name in ("b", "a", "c"):
            self.dormant.add(name)
        now, visited = 1000.0, []
        while self.dormant.next() < NEVER:
            now = max(now, self.dormant.next())
            visited.append((self.dormant.pop(now), round(now - 1000, 2)))
        self.assertEqual(visited, [("a", 0), ("b", 0.05), ("c", 0.1)])

    def test_idle_ones_are_visited_one_in_a_second(self):
        for name in ("a", "b", "c"):
            self.dormant.slept(name, None, 1000.0)
        self.assertIsNone(self.dormant.pop(1059.0))
        self.assertEqual(self.dormant.pop(1060.0), "a")
        self.assertIsNone(self.dormant.pop(1060.9))
        self.assertEqual(self.dormant.next(), 1061.0)
        self.assertEqual(self.dormant.pop(1061.0), "b")

    def test_eta_and_wake_do_not_wait_for_visits(self):
        self.dormant.slept("later", 5000.0, 1000.0)
        self.dormant.slept("visited", None, 900.0)
        self.dormant.slept("woken", None, 1000.0)
        self.assertEqual(self.dormant.pop(1000.0), "visited")
        self.dormant.slept("woken", 1000.0, 1000.0)
        self.assertEqual(self.dormant.pop(1000.0), "woken")
        self.dormant.slept("later", 5000.0, 4990.0)
        self.assertIsNone(self.dormant.pop(4997.0))
        self.assertEqual(self.dormant.pop(4998.0), "later")
        self.assertEqual((set(self.dormant.names), self.dormant.next()), (set(), NEVER))


@tagged("post_install", "-at_install")
class TestVisit(SessionCase):
    """What a visit finds; other jobs of this database are over."""

    def setUp(self):
        super().setUp()
        self.sql(AGED)
        self.assertEqual(self.visit(), (False, None))

    def visit(self):
        db = Database(self.db_name, dormant_after=300)
        if not db.is_dormant:
            db.close()
        return not db.is_dormant, db.next_eta

    def test_work_is_found(self):
        old = self.old(3600)
        for state, columns in (
            ("pending", {}),
            ("pending", {"channel": None}),
            ("pending", {"eta": self.old(-60)}),
            ("enqueued", {}),
            ("started", {}),
            ("failed", {"to_report": True}),
            ("wait_dependencies", {}),
            ("done", {"date_created": self.old(10)}),
        ):
            with self.subTest(state=state, columns=columns):
                uuid = self.job(state, **{"date_created": old, **columns})
                self.assertTrue(self.visit()[0])
                self.sql("DELETE FROM queue_job WHERE uuid = %s", uuid)
        self.assertFalse(self.visit()[0])

    def test_idle_rows_are_none(self):
        parent = self.job("failed", date_created=self.old(3600))
        self.edge(parent, self.job("wait_dependencies", date_created=self.old(3600)))
        self.job("done", date_created=self.old(3600))
        self.job("cancelled", date_created=self.old(-3600))
        self.assertEqual(self.visit(), (False, None))

    def test_next_eta_is_remembered(self):
        etas = [self.old(-seconds) for seconds in (9000, 5000, 7000)]
        for eta, channel in zip(etas, ("root", "root.a", None), strict=True):
            self.job(eta=eta, channel=channel, date_created=self.old(3600))
        is_due, eta = self.visit()
        self.assertFalse(is_due)
        self.assertAlmostEqual(eta, time.time() + 5000, delta=5)

    def test_visit_takes_no_lock(self):
        self.job()
        held = self.database()
        self.assertTrue(held.conn)
        self.sql("UPDATE queue_job SET state = 'done', date_created = NULL")
        # No MasterElectionLost.
        self.assertFalse(self.visit()[0])

    def test_database_without_the_table_has_nothing_to_do(self):
        with patch.object(self, "db_name", "postgres"):
            self.assertEqual(self.visit(), (False, None))


@tagged("post_install", "-at_install")
class TestWaking(RunnerCase):
    """Ask for the runner after a commit, in one message."""

    def setUp(self):
        super().setUp()
        self.startPatcher(patch.dict(waking._asked, clear=True))
        self.startPatcher(patch.dict(waking._failed_at, clear=True))
        self.listener = psycopg2.connect(**connection_info_for("postgres"))
        self.addCleanup(self.listener.close)
        self.listener.autocommit = True
        self.sql(sql.listen_to_wakes, conn=self.listener)
        self.sent = []
        execute = Cursor.execute

        def count(cr, query, *args, **options):
            if cr.dbname == "postgres":
                self.sent.append(query)
            return execute(cr, query, *args, **options)

        self.startPatcher(patch.object(Cursor, "execute", count))

    def commit(self, *is_new, rollback=False):
        """Commit a transaction that created jobs (True) or moved some (False)."""
        with db_connect(self.db_name).cursor() as cr:
            for each in is_new:
                waking.after_commit(cr, each)
            hooks = len(cr.postcommit)
            if rollback:
                cr.rollback()
        return hooks

    def notified(self):
        """Return the names that were notified since the last call."""
        self.sql("SELECT 1", conn=self.listener)
        notes, self.listener.notifies[:] = list(self.listener.notifies), []
        return [note.payload for note in notes if note.payload == self.db_name]

    def test_key_of_the_election_is_that_of_the_runner(self):
        self.assertTrue(sql.parts["is_election"].endswith(f"= {PG_ADVISORY_LOCK_ID}"))

    def test_runner_of_a_dormant_database_is_woken(self):
        self.commit(True)
        self.assertEqual(self.notified(), [self.db_name])

    def test_elected_runner_is_left_alone(self):
        self.database()
        self.commit(True)
        self.assertEqual((self.notified(), len(self.sent)), ([], 1))

    def delay(self, count):
        """Delay jobs as an addon does, and commit; return their uuids."""
        with Registry(self.db_name).cursor() as cr:
            model = api.Environment(cr, SUPERUSER_ID, {})["queue.job"]
            if count == 1:
                jobs = [model.with_delay()._test_job()]
            else:
                jobs = [model.delayable()._test_job() for _number in range(count)]
                group(*jobs).delay()
                jobs = [each._generated_job for each in jobs]
            uuids = [job.uuid for job in jobs]
        self.mine.update(uuids)
        return uuids

    def test_each_way_to_delay_wakes_the_runner(self):
        """One job is inserted past the ORM, several are created by it."""
        for count in (1, 2):
            with self.subTest(count=count):
                waking._asked.clear()
                self.delay(count)
                self.assertEqual(self.notified(), [self.db_name])
                self.delay(count)
                self.assertEqual(self.notified(), [])

    def test_requeue_wakes_the_runner(self):
        (uuid,) = self.delay(1)
        self.update(uuid, state="failed")
        self.notified()
        waking._asked.clear()
        with Registry(self.db_name).cursor() as cr:
            jobs = api.Environment(cr, SUPERUSER_ID, {})["queue.job"]
            jobs.search([("uuid", "=", uuid)]).requeue()
        self.assertEqual(self.notified(), [self.db_name])

    def test_process_asks_once_in_half_of_the_time(self):
        self.database()
        for _number in range(5):
            self.commit(True, False, True)
        self.assertEqual(len(self.sent), 1)
        waking._asked[self.db_name] -= 149
        self.commit(True)
        self.assertEqual(len(self.sent), 1)
        waking._asked[self.db_name] -= 2
        self.commit(True)
        self.assertEqual(len(self.sent), 2)

    def test_transaction_that_takes_long_asks_at_its_end(self):
        """The runner may have gone dormant while it was open."""
        self.commit(True)
        with db_connect(self.db_name).cursor() as cr:
            waking.after_commit(cr, is_new=True)
            waking._asked[self.db_name] -= 200
        self.assertEqual(len(self.sent), 2)
        self.assertLess(waking._asked[self.db_name], time.time() + 1)

    def test_jobs_that_are_moved_leave_no_trace_to_rely_on(self):
        for _number in range(2):
            self.commit(False)
        self.assertEqual(len(self.sent), 2)

    def test_rollback_asks_nothing(self):
        self.assertEqual(self.commit(True, rollback=True), 1)
        self.assertEqual(self.sent, [])

    def test_job_that_delays_jobs_has_no_hook(self):
        """A hook would take the jobs of a bundle off the way on which commits are chained."""
        with waking.inside_job(self.db_name):
            self.assertEqual(self.commit(True, False), 0)
        with waking.inside_job("another"):
            self.assertEqual(self.commit(False), 1)
        self.sent.clear()
        self.assertEqual((self.commit(True), len(self.sent)), (1, 1))

    def test_databases_that_never_sleep_are_not_asked_for(self):
        with patch.dict(os.environ, ODOO_QUEUE_JOB_DORMANT_AFTER="0"):
            self.assertEqual(self.commit(True), 0)

    def test_database_that_cannot_be_reached_is_logged_once(self):
        with (
            patch.object(
                waking, "db_connect", side_effect=psycopg2.OperationalError("no")
            ),
            self.assertLogs(waking.__name__, "WARNING") as logs,
        ):
            for _number in range(3):
                self.commit(True)
                waking._failed_at[self.db_name] -= 31
        self.assertEqual(len(logs.output), 1)
        self.commit(True)
        self.assertEqual(self.notified(), [self.db_name])


@tagged("post_install", "-at_install")
class TestDormancy(LoopBesideFakeOdoo, RunnerCase):
    """A whole runner and a database that it lets go after a moment of silence."""

    def setUp(self):
        super().setUp()
        self.startPatcher(patch.dict(waking._asked, clear=True))
        self.sql(AGED)

    def start(self, runner=None):
        """Start a runner that lets go of databases once it was seen to be elected."""
        thread = super().start(runner)
        self.runner.dormant.after = SILENCE
        self.runner._wakeup_pipe.wake()
        return thread

    def wait_until_dormant(self):
        self.wait_for_rounds(lambda: self.db_name in self.runner.dormant.names)

    def is_elected(self):
        statement = f"SELECT FROM pg_locks lock WHERE {sql.parts['is_election']}"
        return bool(self.sql(statement))

    def enqueue(self, **columns):
        """Store a job as a process of Odoo does, which asks for the runner."""
        uuid = self.job(**columns)
        with db_connect(self.db_name).cursor() as cr:
            waking.after_commit(cr, is_new=True)
        return uuid

    def wait_for(self, uuid, seconds=20):
        deadline = time.monotonic() + seconds
        while not any(uuid in asked[0] for asked in self.odoo.asked):
            left = deadline - time.monotonic()
            self.assertTrue(
                self.odoo.came.acquire(timeout=max(left, 0)), "not asked for"
            )

    def test_idle_database_is_let_go_and_woken_by_a_job(self):
        with self.assertLogs(RUNNER_LOGGER, logging.INFO) as logs:
            self.start()
            self.wait_until_dormant()
        self.assertIn(f"db {self.db_name}: idle, dormant", "".join(logs.output))
        self.assertEqual((self.runner.db_by_name, self.is_elected()), ({}, False))
        began = time.monotonic()
        self.wait_for(self.enqueue())
        # A second is promised, on a machine that is not loaded.
        self.assertLess(time.monotonic() - began, 10)

    def test_row_of_plain_sql_waits_for_a_visit(self):
        self.start()
        self.wait_until_dormant()
        uuid = self.job(date_created=self.old(3600))
        self.wait_for_rounds(lambda: True)
        self.assertIn(self.db_name, self.runner.dormant.names)
        self.runner.on_round = lambda runner: runner.dormant.add(self.db_name)
        self.wait_for(uuid)

    def test_job_that_comes_while_the_lock_is_let_go_is_seen(self):
        """Its process asked before, and found the runner elected."""
        visit, uuids = Database.visit, []

        def job_before(db, seconds):
            if not uuids:
                self.assertFalse(self.is_elected())
                uuids.append(self.job(date_created=self.old(3600)))
            return visit(db, seconds)

        with patch.object(Database, "visit", job_before):
            self.start()
            self.wait_for_rounds(lambda: uuids)
            self.wait_for(uuids[0])

    def test_job_that_comes_during_a_visit_is_seen(self):
        """The visit did not see it, and its process found no runner elected."""
        self.start()
        self.wait_until_dormant()
        visit, uuids, done = Database.visit, [], threading.Event()

        def job_behind(db, seconds):
            found = visit(db, seconds)
            if not uuids:
                uuids.append(self.enqueue(date_created=self.old(3600)))
                self.wait_for_rounds(lambda: self.runner._woken)
                done.set()
            return found

        def visit_once(runner):
            runner.on_round = None
            runner.dormant.add(self.db_name)

        with patch.object(Database, "visit", job_behind):
            self.runner.on_round = visit_once
            self.runner._wakeup_pipe.wake()
            self.assertTrue(done.wait(20))
            self.wait_for(uuids[0])

    def test_successor_visits_all_and_misses_no_eta(self):
        """The runner is gone while the database is dormant."""
        uuid = self.job(eta=self.old(-6), date_created=self.old(3600))
        thread = self.start()
        self.wait_until_dormant()
        self.runner.stop()
        thread.join(20)
        with (
            patch.object(dormant, "OPENED_AT_START", 0),
            patch.object(runner_module, "OPENED_AT_START", 0),
        ):
            self.runner = self.new_runner()
            self.runner.dormant.after = SILENCE
            thread = threading.Thread(target=self.runner.run)
            thread.start()
        self.addCleanup(thread.join, 20)
        self.addCleanup(self.runner.stop)
        self.wait_until_dormant()
        self.assertFalse(self.is_elected())
        self.wait_for(uuid)

    def test_without_a_listener_nothing_goes_dormant(self):
        with patch.object(
            dormant, "WakeListener", side_effect=psycopg2.OperationalError("no")
        ):
            with self.assertLogs(RUNNER_LOGGER, "WARNING") as logs:
                self.start()
                session = self.runner._sessions[self.db_name]
                self.wait_for_rounds(lambda: session.quiet_since + 0.6 < time.time())
            self.assertIn("no database goes dormant", logs.output[0])
            self.assertEqual(list(self.runner.db_by_name), [self.db_name])
        # It is tried again.
        self.runner.dormant._listen_at = 0
        self.wait_until_dormant()

    @mute_logger(RUNNER_LOGGER)
    def test_lost_listener_has_all_opened_again(self):
        self.start()
        self.wait_until_dormant()
        backend = self.runner.dormant._listener.conn.get_backend_pid()
        with patch.object(dormant, "LISTEN_AGAIN", 3600):
            self.sql("SELECT pg_terminate_backend(%s)", backend)
            self.wait_for_rounds(lambda: self.runner.db_by_name)
