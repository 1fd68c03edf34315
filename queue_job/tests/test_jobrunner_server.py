# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
from unittest.mock import MagicMock, patch

from odoo.service import server as odoo_server
from odoo.tests import BaseCase, get_db_name, tagged
from odoo.tools import config

from .. import jobrunner
from ..jobrunner import __main__ as standalone
from ..jobrunner import server

JOBRUNNER_LOGGER = "odoo.addons.queue_job.jobrunner"
ENABLED = {"ODOO_QUEUE_JOB_CHANNELS": "root:4"}
DISABLED = {"ODOO_QUEUE_JOB_CHANNELS": "root:0"}


class TestWrongChannels(BaseCase):
    """A wrong channel configuration ends a server before it starts anything (D6).

    The prefork server had forked its workers already: it ended, and left a process behind
    that held the gevent port, so that the next start failed too.
    """

    WRONG = (
        ("root:4,export:two", "invalid capacity two"),
        ("root:4,:1", "missing channel name"),
        ("root:4,a:1:throttle=1=2", "incorrect config item"),
        # Read only when the entry is applied to a channel.
        ("root:4,a:1:throttle=often", "Invalid value for throttle"),
        ("root:4,a:2:sequential", "A sequential channel must have a capacity of 1"),
    )

    def setUp(self):
        super().setUp()
        patcher = patch.dict(config.options, {"stop_after_init": False})
        patcher.start()
        self.addCleanup(patcher.stop)

    def test_no_server_is_made(self):
        for server_class in (odoo_server.PreforkServer, odoo_server.ThreadedServer):
            for channels, text in self.WRONG:
                with (
                    self.subTest(channels, server=server_class.__name__),
                    patch.dict("os.environ", {"ODOO_QUEUE_JOB_CHANNELS": channels}),
                    self.assertRaisesRegex(ValueError, text),
                ):
                    server_class(None)

    def test_server_without_runner_does_not_mind(self):
        for environ, options in (
            ({"ODOO_QUEUE_JOB_CHANNELS": "root:0,export:two"}, {}),
            ({"ODOO_QUEUE_JOB_CHANNELS": "export:two"}, {"stop_after_init": True}),
        ):
            with patch.dict("os.environ", environ), patch.dict(config.options, options):
                odoo_server.ThreadedServer(None)


class TestThreadedServer(BaseCase):
    def setUp(self):
        super().setUp()
        self.thread = MagicMock()
        for patcher in (
            patch.object(server, "QueueJobRunnerThread", return_value=self.thread),
            patch.object(server, "runner_thread", None),
            patch.dict(
                config.options, {"stop_after_init": False, "test_enable": False}
            ),
            patch.dict("os.environ", ENABLED),
            patch("odoo.service.server.set_limit_memory_hard"),
            patch("odoo.service.server.signal.signal"),
            patch.object(odoo_server.ThreadedServer, "http_spawn"),
        ):
            patcher.start()
            self.addCleanup(patcher.stop)
        self.server = odoo_server.ThreadedServer(None)

    def test_start_that_an_addon_replaced_is_called(self):
        """C7: replacing ``jobrunner._start_runner_thread`` had no effect."""
        with patch.object(jobrunner, "_start_runner_thread") as start:
            self.server.start()
        start.assert_called_once_with("threaded server")
        self.thread.start.assert_not_called()

    def test_thread_is_started_and_stopped_with_the_server(self):
        with self.assertLogs(JOBRUNNER_LOGGER, 20) as logs:
            self.server.start()
        self.assertEqual(
            logs.output[0].partition(":")[2],
            f"{JOBRUNNER_LOGGER}:starting jobrunner thread (in threaded server)",
        )
        self.thread.start.assert_called_once()
        self.assertIs(jobrunner.runner_thread, self.thread)
        order = []
        self.thread.stop.side_effect = lambda: order.append("stop")
        self.thread.join.side_effect = lambda: order.append("join")
        with (
            patch.object(
                odoo_server.CommonServer,
                "stop",
                side_effect=lambda: order.append("server"),
                create=True,
            ),
            patch("odoo.service.server.sql_db.close_all"),
            patch("logging.shutdown"),
        ):
            self.server.stop()
        self.assertEqual(order, ["stop", "server", "join"])
        self.assertIsNone(jobrunner.runner_thread)

    def test_not_started(self):
        for options, environ, stop in (
            ({"stop_after_init": True}, ENABLED, False),
            ({}, ENABLED, True),
            ({}, DISABLED, False),
        ):
            with patch.dict(config.options, options), patch.dict("os.environ", environ):
                self.server.start(stop=stop)
        self.thread.start.assert_not_called()

    def test_disabled_runner_says_why(self):
        with (
            patch.dict("os.environ", DISABLED),
            self.assertLogs(JOBRUNNER_LOGGER, 20) as logs,
        ):
            self.server.start()
        self.assertIn(
            "jobrunner thread (in threaded server) NOT started, "
            "because the root channel's capacity is set to 0",
            logs.output[0],
        )


class TestPreforkServer(BaseCase):
    def setUp(self):
        super().setUp()
        patcher = patch.dict("os.environ", ENABLED)
        patcher.start()
        self.addCleanup(patcher.stop)
        self.server = odoo_server.PreforkServer(None)
        self.server.population = 0
        self.server.worker_spawn = MagicMock(side_effect=self.spawn)
        self.spawned = []

    def spawn(self, worker_class, registry):
        self.spawned.append(worker_class)
        registry[len(self.spawned)] = MagicMock()

    def process_spawn(self):
        with patch.dict(config.options, {"http_enable": False, "max_cron_threads": 0}):
            self.server.process_spawn()

    def test_one_worker_is_spawned_and_respawned(self):
        self.assertEqual(self.server.jobrunner, {})
        self.process_spawn()
        self.process_spawn()
        self.assertEqual(self.spawned, [server.WorkerJobRunner])
        self.server.worker_pop(1)
        self.assertEqual(self.server.jobrunner, {})
        self.process_spawn()
        self.assertEqual(len(self.spawned), 2)

    def test_disabled(self):
        with patch.dict("os.environ", DISABLED):
            self.process_spawn()
        self.assertEqual(self.spawned, [])

    def test_server_made_before_the_addon_was_loaded(self):
        del self.server.jobrunner
        self.process_spawn()
        self.server.worker_pop(1)
        self.assertEqual(self.spawned, [])


class TestWorker(BaseCase):
    def setUp(self):
        super().setUp()
        multi = MagicMock()
        multi.pipe_new.side_effect = os.pipe
        self.worker = server.WorkerJobRunner(multi)
        self.worker.pid = os.getpid()
        self.addCleanup(self.worker.close)

    def test_no_watchdog(self):
        self.assertIsNone(self.worker.watchdog_timeout)

    def test_signal_stops_the_runner(self):
        self.worker.signal_handler(signal.SIGINT, None)
        self.assertFalse(self.worker.alive)
        self.assertTrue(self.worker.runner._stop)

    def test_cpu_limit_makes_a_new_runner(self):
        first = self.worker.runner
        self.worker.signal_time_expired_handler(signal.SIGXCPU, None)
        self.assertTrue(first._stop)
        self.assertTrue(self.worker.alive)
        with (
            patch.object(server, "START_DELAY", 0),
            patch.object(server.QueueJobRunner, "run", autospec=True) as run,
        ):
            self.worker.process_work()
        self.assertIsNot(self.worker.runner, first)
        run.assert_called_once_with(self.worker.runner)

    def test_stop_ends_the_start_delay(self):
        self.worker.runner.stop()
        with (
            patch.object(server, "START_DELAY", 3600),
            patch.object(server.QueueJobRunner, "run"),
        ):
            self.worker.process_work()

    def test_main_process_keeps_nothing_of_a_worker_that_ended(self):
        """It made the runner, and starts another one as often as one dies."""
        gc.disable()
        self.addCleanup(gc.enable)
        multi = MagicMock()
        multi.pipe_new.side_effect = os.pipe
        worker = server.WorkerJobRunner(multi)
        descriptors = worker.runner._stop_pipe
        worker.close()
        del worker
        for descriptor in descriptors:
            self.assertRaises(OSError, os.fstat, descriptor)

    def test_worker_whose_server_was_killed_stops(self):
        """Else it keeps the election, and nobody sees that the node is dead."""
        self.worker.ppid = -1
        with patch("resource.setrlimit"):
            self.worker._check_on_round(self.worker.runner)
        self.assertFalse(self.worker.alive)
        self.assertTrue(self.worker.runner._stop)

    def test_cpu_limit_is_for_a_piece_of_work(self):
        self.worker.ppid = os.getppid()
        with patch("resource.setrlimit") as setrlimit:
            self.worker._check_on_round(self.worker.runner)
            self.worker._check_on_round(self.worker.runner)
        setrlimit.assert_called_once()
        self.assertTrue(self.worker.alive)


# As the module switch of Python does where the addons are packages.
STANDALONE = """
import runpy, sys
from odoo.modules.module import initialize_sys_path
from odoo.tools import config
config['addons_path'] = sys.argv.pop(1).split(',')
initialize_sys_path()
runpy.run_module('odoo.addons.queue_job.jobrunner', run_name='__main__')
"""


@tagged("post_install", "-at_install")
class TestStandaloneProcess(BaseCase):
    def write_configuration(self):
        options = {
            name: config[name]
            for name in ("db_host", "db_port", "db_user", "db_password")
            if config[name]
        }
        addons_path = ",".join(config["addons_path"])
        options.update(db_name=get_db_name(), addons_path=addons_path)
        lines = [f"{name} = {value}\n" for name, value in options.items()]
        with tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False) as file:
            file.write("[options]\n" + "".join(lines))
            file.write("[queue_job]\nchannels = root:3,from_file:2\nport = 1\n")
        self.addCleanup(os.unlink, file.name)
        return file.name

    def test_serves_what_the_file_says_until_it_is_terminated(self):
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", STANDALONE, ",".join(config["addons_path"])),
                *("-c", self.write_configuration()),
                "--log-handler=odoo.addons.queue_job.jobrunner:DEBUG",
            ],
            stderr=subprocess.PIPE,
            text=True,
            env={
                **{
                    name: os.environ[name] for name in os.environ if "QUEUE" not in name
                },
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
        )
        timer = threading.Timer(60, process.kill)
        timer.start()
        self.addCleanup(timer.cancel)
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "select() timeout" in line:
                process.terminate()
        self.assertEqual(process.wait(), 0, lines)
        said = iter(lines)
        for text in (
            "Configured channel: root(C:3,Q:0,R:0,F:0)",
            "Configured channel: root.from_file(C:2,Q:0,R:0,F:0)",
            "runner: starting",
            "initializing database connections",
            f"queue job runner ready for db {get_db_name()}",
            "database connections ready",
            "graceful stop requested",
            "runner: stopped",
        ):
            self.assertTrue(any(text in line for line in said), (text, lines))


class TestStandalone(BaseCase):
    def test_runs_whatever_the_capacity_of_root_is(self):
        with (
            patch.dict("os.environ", DISABLED),
            patch.object(sys, "argv", ["jobrunner"]),
            patch.object(config, "parse_config"),
            patch("signal.signal"),
            patch.object(standalone.QueueJobRunner, "run", autospec=True) as run,
        ):
            standalone.main()
        run.assert_called_once()

    def test_command_line_counts(self):
        with (
            patch.object(sys, "argv", ["jobrunner", "-c", "file.conf"]),
            patch.object(config, "parse_config") as parse_config,
            patch("signal.signal") as set_handler,
            patch.object(standalone, "QueueJobRunner") as runner_class,
        ):
            runner_class.from_environ_or_config.side_effect = lambda: (
                parse_config.assert_called_once() or MagicMock()
            )
            standalone.main()
        self.assertEqual(parse_config.call_args.args, (["-c", "file.conf"],))
        runner_class.from_environ_or_config.assert_called_once()
        number, handler = set_handler.call_args.args
        self.assertEqual(number, signal.SIGTERM)
        handler(number, None)
