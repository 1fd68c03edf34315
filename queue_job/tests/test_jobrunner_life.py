# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The life of a runner: how it is made, what ends it, what it says.

Its databases are stand-ins; what it does with real ones is in test_jobrunner_runner.py.
"""

import gc
import logging
import os
import threading
import time
from unittest.mock import ANY, MagicMock, patch

from odoo.tests import BaseCase
from odoo.tools import config

from ..jobrunner import runner as runner_module
from ..jobrunner import server
from ..jobrunner.connection import MasterElectionLost
from ..jobrunner.runner import QueueJobRunner

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"
PATIENCE = 20  # seconds


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


class LifeCase(BaseCase):
    def runner(self, **options):
        runner = QueueJobRunner(**{"channel_config_string": "root:4", **options})
        runner.get_db_names = list
        return runner

    def lines(self, logs):
        """Return ``LEVEL text`` of each line."""
        return [f"{record.levelname} {record.getMessage()}" for record in logs.records]


class TestMaking(LifeCase):
    def test_defaults(self):
        runner = QueueJobRunner()
        self.assertEqual(
            (runner.scheme, runner.host, runner.port, runner.user, runner.password),
            ("http", "localhost", 8069, None, None),
        )
        self.assertEqual((runner.db_by_name, runner._stop), ({}, False))
        self.assertEqual(len(runner._stop_pipe), 2)

    def test_arguments_by_position(self):
        runner = QueueJobRunner("https", "h", "443", "u", "p", "root:3,a:2")
        self.assertEqual(
            (runner.scheme, runner.host, runner.port, runner.user, runner.password),
            ("https", "h", "443", "u", "p"),
        )
        channel = runner.channel_manager.get_channel_by_name("a")
        self.assertEqual(str(channel), "root.a(C:2,Q:0,R:0,F:0)")

    def test_environment(self):
        environ = {
            "ODOO_QUEUE_JOB_CHANNELS": "root:7",
            "ODOO_QUEUE_JOB_SCHEME": "https",
            "ODOO_QUEUE_JOB_HOST": "odoo.example.com",
            "ODOO_QUEUE_JOB_PORT": "443",
            "ODOO_QUEUE_JOB_HTTP_AUTH_USER": "me",
            "ODOO_QUEUE_JOB_HTTP_AUTH_PASSWORD": "secret",
        }
        with patch.dict("os.environ", environ):
            runner = QueueJobRunner.from_environ_or_config()
        self.assertEqual(
            (runner.scheme, runner.host, str(runner.port), runner.user),
            ("https", "odoo.example.com", "443", "me"),
        )
        self.assertEqual(runner.password, "secret")
        root = runner.channel_manager.get_channel_by_name("root")
        self.assertEqual(root.capacity, 7)

    def test_channels_that_cannot_be_read_are_an_error(self):
        with self.assertRaisesRegex(ValueError, "^Invalid channel config root:x: "):
            self.runner(channel_config_string="root:x")


class TestRun(LifeCase):
    def test_lines_of_a_good_start(self):
        runner = self.runner()
        runner.on_round = lambda each: each.stop()
        with self.assertLogs(RUNNER_LOGGER, "DEBUG") as logs:
            runner.run()
        self.assertEqual(
            self.lines(logs),
            [
                "INFO starting",
                "DEBUG initializing database connections",
                "INFO database connections ready",
                "INFO graceful stop requested",
                "INFO stopped",
            ],
        )

    def run_after(self, error):
        """Run with ``error`` at first, then to the end; return what was logged and slept."""
        runner = self.runner()
        slept = []
        outcomes = [error, None]

        def initialize():
            outcome = outcomes.pop(0)
            if outcome:
                raise outcome
            runner.stop()

        runner.initialize_databases = initialize
        runner.sleep = slept.append
        with (
            patch.object(runner, "close_databases") as close,
            self.assertLogs(RUNNER_LOGGER, "DEBUG") as logs,
        ):
            runner.run()
        # After each error, and at the end.
        self.assertEqual(close.call_count, len(slept) + 1)
        return self.lines(logs), slept

    def test_interruptions_stop(self):
        for interruption in (KeyboardInterrupt, InterruptedError):
            with self.subTest(interruption):
                lines, slept = self.run_after(interruption)
                self.assertEqual(slept, [])
                self.assertEqual(
                    lines[-2:], ["INFO graceful stop requested", "INFO stopped"]
                )

    def test_error_is_told_and_tried_again(self):
        lines, slept = self.run_after(ValueError("no databases today"))
        self.assertEqual(slept, [runner_module.ERROR_RECOVERY_DELAY])
        self.assertEqual(len([line for line in lines if line.startswith("ERROR")]), 1)

    def test_lost_election_is_told_to_who_looks_and_tried_again(self):
        error = MasterElectionLost("could not acquire master runner lock on x")
        lines, slept = self.run_after(error)
        self.assertEqual(slept, [runner_module.ERROR_RECOVERY_DELAY])
        (told,) = [line for line in lines if "master runner lock on x" in line]
        self.assertTrue(told.startswith("DEBUG"), told)
        self.assertFalse([line for line in lines if line.startswith("ERROR")])

    def test_nothing_is_opened_that_was_not_looked_for(self):
        """Suites put a stand-in for the initialization, and mean: no database."""
        runner = self.runner()
        runner.get_db_names = lambda: ["real"]
        runner.initialize_databases = lambda: None
        runner.on_round = lambda each: each.stop()
        with (
            patch.object(runner_module, "Database") as database,
            self.assertLogs(RUNNER_LOGGER, logging.INFO),
        ):
            runner.run()
        database.assert_not_called()

    def test_databases_are_opened_in_sorted_order(self):
        runner = self.runner()
        runner.get_db_names = lambda: ["c", "a", "b"]
        opened = []

        def database(name):
            opened.append(name)
            return MagicMock(has_queue_job=False, is_dormant=False)

        with patch.object(runner_module, "Database", side_effect=database):
            runner.initialize_databases()
        self.assertEqual(opened, ["a", "b", "c"])


class TestWaiting(LifeCase):
    def test_a_minute_at_most(self):
        runner = self.runner()
        with (
            patch.object(runner, "_select") as select,
            self.assertLogs(RUNNER_LOGGER, "DEBUG") as logs,
        ):
            runner.wait_notification()
        self.assertEqual(self.lines(logs), ["DEBUG select() timeout: 60.00 sec"])
        select.assert_called_once_with(ANY, 60)

    def test_what_is_due_is_not_waited_for(self):
        runner = self.runner()
        runner._discover_at = 0
        with patch.object(runner, "_select") as select:
            runner.wait_notification()
        select.assert_called_once_with(ANY, 0)

    def test_stop_that_came_before(self):
        runner = self.runner()
        with self.assertLogs(RUNNER_LOGGER, logging.INFO):
            runner.stop()
        with patch.object(runner, "_select") as select:
            runner.wait_notification()
        select.assert_not_called()


class TestThread(LifeCase):
    def stop_soon(self, thread, began):
        thread.start()
        self.assertTrue(began.wait(PATIENCE))
        thread.stop()
        thread.join(PATIENCE)
        self.assertFalse(thread.is_alive())

    def test_stop_ends_the_delay_at_the_start(self):
        began = threading.Event()
        with (
            patch.object(server, "START_DELAY", 3600),
            self.assertLogs(RUNNER_LOGGER, logging.INFO),
        ):
            thread = server.QueueJobRunnerThread()
            self.assertTrue(thread.daemon)
            sleep = thread.runner.sleep
            thread.runner.sleep = lambda seconds: began.set() or sleep(seconds)
            self.stop_soon(thread, began)

    def test_stop_ends_the_delay_after_an_error(self):
        began = threading.Event()
        with (
            patch.object(server, "START_DELAY", 0),
            patch.object(runner_module, "ERROR_RECOVERY_DELAY", 3600),
            self.assertLogs(RUNNER_LOGGER, logging.INFO),
        ):
            thread = server.QueueJobRunnerThread()
            sleep = thread.runner.sleep
            thread.runner.initialize_databases = MagicMock(side_effect=ValueError)
            thread.runner.sleep = lambda seconds: (
                seconds and began.set() or sleep(seconds)
            )
            self.stop_soon(thread, began)


class TestLife(BaseCase):
    def test_doors(self):
        for name in (
            *("QueueJobRunner", "Database", "MasterElectionLost", "SELECT_TIMEOUT"),
            *("ERROR_RECOVERY_DELAY", "PG_ADVISORY_LOCK_ID", "_channels", "_odoo_now"),
            *("_connection_info_for", "_async_http_get"),
        ):
            self.assertTrue(hasattr(runner_module, name), name)
        self.assertEqual(runner_module.SELECT_TIMEOUT, 60)
        self.assertEqual(runner_module.ERROR_RECOVERY_DELAY, 5)
        self.assertEqual(runner_module._odoo_now().microsecond, 0)

    def test_descriptors_are_closed_with_the_runner(self):
        """Without the help of the garbage collector."""
        gc.disable()
        self.addCleanup(gc.enable)
        runner = QueueJobRunner.from_environ_or_config()
        reader, writer = runner._stop_pipe
        self.assertTrue(is_open(reader) and is_open(writer))
        del runner
        self.assertFalse(is_open(reader) or is_open(writer))

    def test_descriptors_that_somebody_closed_already(self):
        runner = QueueJobRunner.from_environ_or_config()
        for descriptor in runner._stop_pipe:
            os.close(descriptor)
        with patch("sys.unraisablehook") as hook:
            del runner
        hook.assert_not_called()

    def test_stop_ends_a_sleep(self):
        runner = QueueJobRunner.from_environ_or_config()
        sleeper = threading.Thread(target=runner.sleep, args=(60,))
        sleeper.start()
        with self.assertLogs(RUNNER_LOGGER, 20) as logs:
            runner.stop()
        sleeper.join(10)
        self.assertFalse(sleeper.is_alive())
        self.assertIn("graceful stop requested", logs.output[0])

    def test_answers_do_not_end_a_sleep(self):
        runner = QueueJobRunner.from_environ_or_config()
        runner._wakeup_pipe.wake()
        began = time.monotonic()
        runner.sleep(0.05)
        self.assertGreaterEqual(time.monotonic() - began, 0.05)

    def test_stop_ends_the_recovery_delay(self):
        runner = QueueJobRunner.from_environ_or_config()
        failed = threading.Event()

        def fail():
            failed.set()
            raise ValueError("no databases today")

        runner.initialize_databases = fail
        with self.assertLogs(RUNNER_LOGGER, 20) as logs:
            thread = threading.Thread(target=runner.run)
            thread.start()
            self.assertTrue(failed.wait(10))
            runner.stop()
            thread.join(10)
        self.assertFalse(thread.is_alive())
        text = "\n".join(logs.output)
        for line in (
            "starting",
            "no databases today",
            "graceful stop requested",
            "stopped",
        ):
            self.assertIn(line, text)

    def test_database_names(self):
        runner = QueueJobRunner.from_environ_or_config()
        for value, names in ((["a", "b"], ["a", "b"]), ("a, b", ["a", "b"])):
            with patch.dict(config.options, {"db_name": value}):
                self.assertEqual(runner.get_db_names(), names)
        with (
            patch.dict(config.options, {"db_name": []}),
            patch("odoo.service.db.list_dbs", return_value=["x"]) as list_dbs,
        ):
            self.assertEqual(runner.get_db_names(), ["x"])
        list_dbs.assert_called_once_with(True)

    def test_a10_only_databases_that_the_server_serves(self):
        """The runner was elected for every database of the cluster, whatever ``dbfilter``
        said: it requeued the jobs of other deployments and starved their runners."""
        names = ["ours", "ours_too", "theirs", "localhost", "a"]
        for host, dbfilter, db_name, served in (
            ("localhost", "^ours", [], ["ours", "ours_too"]),
            ("localhost", "^ours$", [], ["ours"]),
            ("localhost", "^ours", ["theirs", "ours"], ["ours"]),
            ("localhost", "^%d$", [], ["localhost"]),
            ("www.a.example.com", "^%d$", [], ["a"]),
            ("ours.example.com", "^%d", [], ["ours", "ours_too"]),
            ("localhost", "", [], names),
        ):
            runner = QueueJobRunner(host=host)
            with (
                self.subTest(host=host, dbfilter=dbfilter, db_name=db_name),
                patch.dict(config.options, {"dbfilter": dbfilter, "db_name": db_name}),
                patch("odoo.service.db.list_dbs", return_value=names),
            ):
                self.assertEqual(runner.get_db_names(), served)

    def test_a10_filter_that_lets_no_database_pass_is_logged_once(self):
        runner = QueueJobRunner(host="127.0.0.1")
        with (
            patch.dict(config.options, {"dbfilter": "^%d$", "db_name": []}),
            patch("odoo.service.db.list_dbs", return_value=["a", "b"]),
            self.assertLogs(RUNNER_LOGGER, "WARNING") as logs,
        ):
            runner.get_db_names()
            runner.get_db_names()
        (line,) = logs.output
        self.assertIn("dbfilter '^%d$'", line)
        self.assertIn("127.0.0.1", line)
