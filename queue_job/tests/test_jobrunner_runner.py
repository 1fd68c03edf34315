# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import threading
import time
from unittest.mock import patch

import psycopg2

from odoo.tests import tagged

from ..jobrunner import connection
from ..jobrunner import runner as runner_module
from ..jobrunner.connection import MasterElectionLost
from ..jobrunner.database import Database
from ..jobrunner.dispatch import Answer
from ..jobrunner.log_throttle import LogThrottle
from ..jobrunner.runner import QueueJobRunner
from ..protocol import DONE, Report
from .runner_case import RunnerCase

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


@tagged("post_install", "-at_install")
class TestDatabases(RunnerCase):
    def runner(self, *names, channels="root:4", port=1):
        runner = QueueJobRunner(
            host="127.0.0.1", port=port, channel_config_string=channels
        )
        runner.get_db_names = lambda: list(self.names)
        self.names = names or (self.db_name,)
        self.addCleanup(runner.close_databases)
        return runner

    def look_after(self, runner):
        """Let the runner look after its databases until none is being opened."""
        runner._open_databases()
        while runner._connector.names:
            runner._select([], 10)
            runner._open_databases()

    def test_initialize(self):
        uuid = self.job()
        runner = self.runner()
        with self.assertLogs(RUNNER_LOGGER, 20) as logs:
            runner.initialize_databases()
        self.assertIn(f"queue job runner ready for db {self.db_name}", logs.output[-1])
        self.assertIsInstance(runner.db_by_name[self.db_name], Database)
        session = runner._sessions[self.db_name]
        self.assertIsNotNone(session.tree.job(uuid, self.db_name))
        runner.close_databases()
        self.assertEqual(runner.db_by_name, {})

    def test_jobs_of_closed_databases_give_their_slots_back(self):
        uuid = self.job("started", date_enqueued=self.old(1))
        self.lock_row(uuid)
        for remove_jobs, held in ((True, 0), (False, 1)):
            runner = self.runner()
            runner.initialize_databases()
            runner.close_databases(remove_jobs=remove_jobs)
            root = runner.channel_manager.get_channel_by_name("root")
            mine = [each for each in root._running if each.uuid == uuid]
            self.assertEqual((len(mine), runner.db_by_name), (held, {}))

    def test_quiet_connection_is_kept_alive(self):
        runner = self.runner()
        runner.initialize_databases()
        session = runner._sessions[self.db_name]
        for due, calls in ((0, 1), (time.time() + 60, 0)):
            session._schedule.set("beat", due)
            with patch.object(session.db, "keep_alive") as keep_alive:
                runner.requeue_dead_jobs()
            self.assertEqual(keep_alive.call_count, calls)

    def test_election_that_is_lost_leaves_the_others(self):
        runner = self.runner(self.db_name, "other")
        winner = self.database()

        def database(name):
            if name == "other":
                raise MasterElectionLost(
                    "could not acquire master runner lock on other"
                )
            return winner

        with patch.object(runner_module, "Database", side_effect=database):
            runner.initialize_databases()
        self.assertEqual(list(runner.db_by_name), [self.db_name])
        self.assertLessEqual(runner._open_at["other"], time.time() + 5)

    def test_lost_election_is_tried_again(self):
        winner = self.database()
        runner = self.runner()
        runner.initialize_databases()
        self.assertEqual(runner.db_by_name, {})
        winner.close()
        runner._open_at[self.db_name] = 0
        self.look_after(runner)
        self.assertEqual(list(runner.db_by_name), [self.db_name])

    def test_broken_database_leaves_the_others(self):
        runner = self.runner(self.db_name, "no such database")
        with self.assertLogs(RUNNER_LOGGER, "ERROR") as logs:
            runner.initialize_databases()
        self.assertIn("no such database", logs.output[0])
        self.assertEqual(list(runner.db_by_name), [self.db_name])
        with self.assertNoLogs(RUNNER_LOGGER, "ERROR"):
            runner._open("no such database")

    def test_b31_database_is_found_while_the_runner_lives(self):
        runner = self.runner()
        self.names = ()
        runner.initialize_databases()
        self.assertEqual(runner.db_by_name, {})
        self.assertLessEqual(runner._wakeup_time(), time.time() + 30)
        self.names = (self.db_name,)
        runner._discover_at = 0
        self.look_after(runner)
        self.assertEqual(list(runner.db_by_name), [self.db_name])

    def test_b31_addon_is_found_while_the_runner_lives(self):
        runner = self.runner()
        with patch.object(Database, "_has_queue_job", return_value=False):
            runner.initialize_databases()
        self.assertEqual(runner.db_by_name, {})
        self.assertLessEqual(runner._open_at[self.db_name], time.time() + 30)
        runner._open_at[self.db_name] = 0
        self.look_after(runner)
        self.assertEqual(list(runner.db_by_name), [self.db_name])

    def test_dropped_database_is_forgotten(self):
        runner = self.runner()
        runner.initialize_databases()
        self.names = ()
        runner._discover_at = 0
        runner._open_databases()
        self.assertEqual((runner.db_by_name, runner._open_at), ({}, {}))

    def test_b30_lost_connection_is_noticed_and_replaced(self):
        """The backend is gone: the session ends, a new one is elected, nothing is lost."""
        runner = self.runner()
        runner.initialize_databases()
        backend = runner.db_by_name[self.db_name].conn.get_backend_pid()
        self.sql("SELECT pg_terminate_backend(%s)", backend)
        uuid = self.job()
        with self.assertLogs(RUNNER_LOGGER, "ERROR"):
            while self.db_name in runner.db_by_name:
                runner.process_notifications()
        runner._open_at[self.db_name] = 0
        self.look_after(runner)
        self.assertIsNotNone(
            runner._sessions[self.db_name].tree.job(uuid, self.db_name)
        )

    def test_what_fails_while_a_job_is_chosen_leaves_the_others(self):
        """The window of its channel is read on then, and the connection is gone."""
        self.job()
        runner = self.runner()
        runner.initialize_databases()
        session = runner._sessions[self.db_name]
        error = psycopg2.OperationalError("gone")
        for step in ("best", "compose", "send"):
            runner._sessions = {self.db_name: session}
            runner._touched.add(self.db_name)
            with (
                self.subTest(step),
                patch.object(session, step, side_effect=error),
                patch.object(session.db, "abandon"),
                self.assertLogs(RUNNER_LOGGER, "ERROR") as logs,
            ):
                runner._throttle = LogThrottle()
                runner.run_jobs()
            self.assertEqual(runner.db_by_name, {})
            self.assertEqual(len(logs.output), 1, logs.output)
            session.load(time.time())
        session.db.close()

    def test_session_that_fails_after_a_choice_is_told_once(self):
        """It was chosen from, and ends before all is chosen: nothing of it is sent."""
        for _number in range(2):
            self.job()
        runner = self.runner()
        runner.initialize_databases()
        session = runner._sessions[self.db_name]
        best, answers = session.best, iter((True, False))

        def best_once(now):
            if next(answers):
                return best(now)
            raise psycopg2.OperationalError("gone")

        with (
            patch.object(session, "best", best_once),
            self.assertLogs(RUNNER_LOGGER, "ERROR") as logs,
        ):
            runner.run_jobs()
        self.assertEqual(len(logs.output), 1, logs.output)
        self.assertEqual(runner._dispatcher.open_count, 0)

    def test_b13_copies_of_a_database_are_served_side_by_side(self):
        """All their jobs have the same uuids."""
        uuid = self.job(date_created=None, priority=-5)
        runner = self.runner("copy a", "copy b", channels="root:99")
        send = self.startPatcher(patch.object(runner._dispatcher, "send"))
        locks = iter((1, 2))

        def database(name):
            with patch.object(connection, "PG_ADVISORY_LOCK_ID", next(locks)):
                db = Database(self.db_name)
            db.db_name = name
            return db

        with patch.object(runner_module, "Database", database):
            runner.initialize_databases()
        self.assertEqual(list(runner.db_by_name), ["copy a", "copy b"])
        for session in runner._sessions.values():
            # Each of them has a row of its own.
            self.startPatcher(
                patch.object(session.db, "mark_enqueued", return_value={uuid})
            )
        runner.run_jobs()
        requests = [call.args[0] for call in send.call_args_list]
        self.assertEqual(
            [(each.db_name, each.uuids) for each in requests],
            [("copy a", (uuid,)), ("copy b", (uuid,))],
        )
        root = runner.channel_manager.get_channel_by_name("root")
        running = len(root._running)
        answer = Answer(requests[0], "http://x", report=Report([[uuid, DONE, 0.1]]))
        with patch.object(runner._dispatcher, "answers", return_value=[answer]):
            runner.process_notifications()
        self.assertEqual(len(root._running), running - 1)
        self.assertNotIn(uuid, runner._in_flight["copy a"])
        self.assertIn(uuid, runner._in_flight["copy b"])

    def test_slot_of_an_open_request_is_free_after_two_lost_sessions(self):
        """The answer comes while nobody serves the database."""
        uuid = self.job()
        runner = self.runner(channels="root:99")
        send = self.startPatcher(patch.object(runner._dispatcher, "send"))
        runner.initialize_databases()
        runner.run_jobs()
        requests = [call.args[0] for call in send.call_args_list]
        (request,) = [request for request in requests if uuid in request.uuids]
        root = runner.channel_manager.get_channel_by_name("root")
        with self.assertLogs(RUNNER_LOGGER, "ERROR"):
            for _number in range(2):
                self.assertIn(uuid, [job.uuid for job in root._running])
                runner._session_failed(self.db_name, OSError("gone"))
                self.assertEqual(root._running, set())
                runner._open(self.db_name)
            runner._session_failed(self.db_name, OSError("gone"))
        answer = Answer(request, "http://x", report=Report([[uuid, DONE, 0.1]]))
        with patch.object(runner._dispatcher, "answers", return_value=[answer]):
            runner.process_notifications()
        self.assertEqual(root._running, set())
        self.assertNotIn(uuid, runner._in_flight[self.db_name])

    def test_what_was_told_with_an_answer_is_not_waited_for(self):
        """It came with the answer to a statement: nothing is left on the connection."""
        runner = self.runner()
        runner.initialize_databases()
        runner.requeue_dead_jobs()
        self.assertGreater(runner._wakeup_time(), time.time())
        db = runner.db_by_name[self.db_name]
        uuid = self.job()
        while not db.conn.notifies:
            db.keep_alive()
        with patch.object(runner, "_select") as wait:
            runner.wait_notification()
        wait.assert_not_called()
        runner.process_notifications()
        session = runner._sessions[self.db_name]
        self.assertIsNotNone(session.tree.job(uuid, self.db_name))

    def test_database_that_lets_nobody_in_does_not_stop_the_others(self):
        """PostgreSQL keeps everybody out while a database is copied."""
        copied = threading.Event()
        self.addCleanup(copied.set)

        def database(name):
            if name == "copied":
                copied.wait(20)
                raise psycopg2.OperationalError("timeout expired")
            return Database(name)

        runner = self.runner(self.db_name, "copied")
        with patch.object(runner_module, "Database", database):
            runner._open_at = dict.fromkeys(self.names, 0)
            while not runner.db_by_name:
                runner._open_databases()
                runner._select([], 10)
            self.assertEqual(runner._connector.names, {"copied"})
            # Nobody else tries it meanwhile.
            runner._find_databases(0)
            self.assertEqual(runner._open_at, {})
            with self.assertLogs(RUNNER_LOGGER, "ERROR"):
                copied.set()
                self.look_after(runner)
        self.assertEqual(list(runner._open_at), ["copied"])

    def test_stop_ends_the_opening_of_databases(self):
        """Each may take its time limit."""
        runner = self.runner("a", "b", "c")
        opened = []
        runner._open = lambda name: opened.append(name) or runner.stop()
        with self.assertLogs(RUNNER_LOGGER, logging.INFO):
            runner.initialize_databases()
        self.assertEqual(opened, ["a"])

    def test_stop_that_comes_within_a_round_sends_nothing_more(self):
        uuid = self.job()
        runner = self.runner()
        runner.initialize_databases()
        with self.assertLogs(RUNNER_LOGGER, logging.INFO):
            runner.stop()
        runner.round()
        self.assertEqual(self.value(uuid), "pending")

    def test_clock_that_is_set_back_stops_nothing(self):
        real = time.time
        with patch("time.time", lambda: real() + 3600):
            runner = self.runner(
                self.db_name, "later", channels="root:1,t:1:throttle=5"
            )
            with self.assertLogs(RUNNER_LOGGER, "ERROR"):
                runner.initialize_databases()
            self.assertGreater(runner._open_at["later"], real() + 3500)
            throttled = runner.channel_manager.get_channel_by_name("t")
            throttled._pause_until = time.time() + 5
        runner._stop = True
        with self.assertLogs(RUNNER_LOGGER, "WARNING") as logs:
            runner.round()
        self.assertIn("system clock jumped by -3600 s", logs.output[0])
        self.assertEqual(throttled._pause_until, 0)
        with self.assertLogs(RUNNER_LOGGER, logging.INFO):
            self.look_after(runner)
        self.assertLessEqual(runner._wakeup_time(), real() + 30)
        self.assertLessEqual(runner._open_at["later"], real() + 30)
        self.assertEqual(list(runner.db_by_name), [self.db_name])
        with self.assertNoLogs(RUNNER_LOGGER, "WARNING"):
            runner._follow_clock()

    def test_without_configuration_the_largest_record_counts(self):
        runner = self.runner(channels="")
        self.assertEqual(runner._stated, {})
        runner.initialize_databases()
        root = runner.channel_manager.get_channel_by_name("root")
        session = runner._sessions[self.db_name]
        session.tree.root.capacity = 7
        runner._share_root_capacity()
        self.assertEqual(root.capacity, 7)
