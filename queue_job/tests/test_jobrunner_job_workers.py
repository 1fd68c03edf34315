# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Job workers of the prefork server; ``setup/tests`` has them in a real one."""

import os
import socket
from unittest.mock import MagicMock, patch

from psycopg2 import OperationalError

from odoo import SUPERUSER_ID
from odoo.service import server as odoo_server
from odoo.tests import BaseCase, HttpCase, TransactionCase, tagged
from odoo.tools import config, mute_logger

from .. import configuration, protocol
from ..channels import DatabaseTree
from ..jobrunner import _channels, job_workers, server
from ..jobrunner.config import runner_settings
from ..worker import warm_up

PREFORK = {"workers": 2, "stop_after_init": False}


class JobWorkersCase(BaseCase):
    def configured(self, prefork=True, **settings):
        """Patch the settings of the environment, and Odoo's server."""
        names = ("workers", "worker_interface", "worker_port", "public_route")
        values = dict.fromkeys((*names, "host", "port", "channels"), "")
        values.update((name, str(value)) for name, value in settings.items())
        environ = {f"ODOO_QUEUE_JOB_{key.upper()}": v for key, v in values.items()}
        for patcher in (
            patch.dict("os.environ", environ),
            patch.dict(config.options, {**PREFORK, "workers": 2 if prefork else 0}),
            patch.object(job_workers, "_bound", None),
        ):
            patcher.start()
            self.addCleanup(patcher.stop)

    def started(self, **options):
        """Return a prefork server whose socket is bound."""
        multi = odoo_server.PreforkServer(None)
        options = {"http_enable": False, "max_cron_threads": 0, **options}
        with (
            patch.dict(config.options, options),
            patch("odoo.service.server.signal.signal"),
        ):
            multi.start()
        for pipe in filter(None, (multi.pipe, multi.job_ready)):
            for descriptor in pipe:
                self.addCleanup(os.close, descriptor)
        if multi.job_socket is not None:
            self.addCleanup(multi.job_socket.close)
        return multi


class TestSettings(JobWorkersCase):
    def test_unused_changes_nothing(self):
        self.configured()
        self.assertEqual(configuration.job_workers(), 0)
        self.assertTrue(configuration.is_route_public())
        self.assertEqual(_channels(), "root:1")
        self.assertIsNone(self.started().job_socket)
        self.assertEqual(runner_settings()["port"], config["http_port"] or 8069)

    def test_root_has_a_slot_for_each(self):
        self.configured(workers=3)
        self.assertEqual(_channels(), "root:3")
        tree = DatabaseTree(None, {}, (), configuration.default_root_capacity())
        self.assertEqual(tree.root.capacity, 3)

    def test_threaded_server_has_none_and_says_so(self):
        self.configured(prefork=False, workers=3)
        self.assertEqual(configuration.job_workers(), 0)
        self.assertTrue(configuration.is_route_public())
        with (
            patch.object(server, "_start_runner_thread"),
            patch.object(server, "runner_thread", None),
            patch("odoo.service.server.set_limit_memory_hard"),
            patch("odoo.service.server.signal.signal"),
            patch.object(odoo_server.ThreadedServer, "http_spawn"),
            patch.object(odoo_server.ThreadedServer, "cron_spawn"),
            patch("odoo.addons.queue_job.jobrunner._start_runner_thread"),
            self.assertLogs("odoo.addons.queue_job.jobrunner", "WARNING") as logs,
        ):
            odoo_server.ThreadedServer(None).start()
        self.assertIn("job workers: ignored by the threaded server", logs.output[0])

    def test_wrong_settings_end_the_server_before_it_starts(self):
        for settings, text in (
            ({"workers": "two"}, "Invalid number of job workers: two"),
            ({"workers": "-1"}, "Invalid number of job workers: -1"),
            ({"workers": 1, "worker_port": "x"}, "Invalid port of the job workers: x"),
        ):
            with self.subTest(settings):
                self.configured(**settings)
                with self.assertRaisesRegex(ValueError, text):
                    odoo_server.PreforkServer(None)


class TestSocket(JobWorkersCase):
    def test_runner_sends_to_it(self):
        self.configured(workers=1)
        multi = self.started()
        host, port = multi.job_socket.getsockname()
        settings = runner_settings()
        self.assertEqual((settings["host"], settings["port"]), (host, port))
        self.assertEqual(host, "127.0.0.1")

    def test_stated_address_wins(self):
        """Of a balancer before the job workers of several nodes."""
        self.configured(workers=1, host="balancer.internal", port="8070")
        self.started()
        settings = runner_settings()
        self.assertEqual(
            (settings["host"], settings["port"]), ("balancer.internal", "8070")
        )

    def test_every_interface_is_none_to_connect_to(self):
        self.configured(workers=1, worker_interface="0.0.0.0", worker_port="8070")
        self.assertEqual(job_workers.address_of_job_workers(), ("127.0.0.1", 8070))

    def test_next_server_inherits_it(self):
        self.configured(workers=1)
        first = self.started()
        descriptor = os.dup(first.job_socket.fileno())
        with patch.dict("os.environ", {job_workers.SOCKET_VARIABLE: str(descriptor)}):
            second = self.started()
            self.assertNotIn(job_workers.SOCKET_VARIABLE, os.environ)
        self.assertEqual(second.job_socket.fileno(), descriptor)
        self.assertEqual(
            second.job_socket.getsockname(), first.job_socket.getsockname()
        )
        self.assertFalse(second.job_socket.get_inheritable())

    def test_inherited_socket_of_another_port_is_closed(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.configured(workers=1, worker_port=port)
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            descriptor = os.dup(other.fileno())
        with patch.dict("os.environ", {job_workers.SOCKET_VARIABLE: str(descriptor)}):
            multi = self.started()
        self.assertEqual(multi.job_socket.getsockname()[1], port)
        self.assertNotEqual(multi.job_socket.fileno(), -1)

    def test_reload_hands_it_on_without_http_too(self):
        self.configured(workers=1)
        multi = self.started()
        fork = MagicMock(side_effect=InterruptedError)
        with (
            patch.dict("os.environ"),
            patch("odoo.service.server.os.fork", fork),
            self.assertRaises(InterruptedError),
        ):
            try:
                multi.fork_and_reload()
            finally:
                descriptor = os.environ[job_workers.SOCKET_VARIABLE]
        self.assertEqual(int(descriptor), multi.job_socket.fileno())
        self.assertTrue(multi.job_socket.get_inheritable())
        # Odoo asks it for its number.
        self.assertIs(multi.socket, multi.job_socket)

    def test_processes_that_do_not_accept_close_it(self):
        """A connection to it would wait until they end."""
        self.configured(workers=1)
        multi = self.started()
        multi.pipe_new = os.pipe
        worker = odoo_server.Worker(multi)
        self.addCleanup(worker.close)
        with (
            patch("odoo.service.server.signal"),
            patch("odoo.service.server.random.seed"),
            patch.object(worker, "setproctitle"),
        ):
            worker.start()
        self.assertEqual(multi.job_socket.fileno(), -1)


class TestWorkers(JobWorkersCase):
    def spawned(self, multi):
        with (
            patch.dict(config.options, {"http_enable": False, "max_cron_threads": 0}),
            # Of the process that runs this test.
            patch.object(odoo_server, "Registry"),
            patch("odoo.service.server.sql_db.close_all"),
        ):
            multi.process_spawn()
        return [call.args[0] for call in multi.worker_spawn.call_args_list]

    def test_as_many_as_configured_and_again_when_one_ends(self):
        self.configured(workers=2, channels="root:0")
        multi = self.started()

        def spawn(worker_class, registry):
            registry[len(multi.worker_spawn.call_args_list)] = MagicMock()

        multi.worker_spawn = MagicMock(side_effect=spawn)
        self.assertEqual(self.spawned(multi), [job_workers.JobWorker] * 2)
        self.assertEqual(len(self.spawned(multi)), 2)
        multi.worker_pop(1)
        self.assertEqual(len(self.spawned(multi)), 3)

    def test_server_outlives_a_restart_of_postgresql(self):
        """An error in this step would end the main process."""
        self.configured(workers=1, channels="root:0")
        multi = self.started()
        multi.worker_spawn = MagicMock()
        with (
            patch.object(
                job_workers, "_follow_registries", side_effect=OperationalError("gone")
            ),
            self.assertLogs("odoo.addons.queue_job.jobrunner", "WARNING") as logs,
        ):
            self.assertEqual(self.spawned(multi), [])
        self.assertIn("PostgreSQL is not there: gone", logs.output[0])
        self.assertEqual(self.spawned(multi), [job_workers.JobWorker])

    def test_answer_only_addresses_of_jobs(self):
        asked = []

        def application(environ, _start_response):
            asked.append(environ)
            return [b"jobs"]

        statuses = []
        answer = job_workers.only_jobs(application)
        for path in ("/web/login", "/queue_jobs", "", "/"):
            answer(
                {"PATH_INFO": path}, lambda status, _headers: statuses.append(status)
            )
        self.assertEqual(statuses, ["404 Not Found"] * 4)
        self.assertEqual(answer({"PATH_INFO": "/queue_job/runjob"}, None), [b"jobs"])
        self.assertTrue(asked[0][protocol.JOB_WORKER])

    def test_warm_up_that_fails_stops_no_worker(self):
        def application(_environ, _start_response):
            raise OSError("no database")

        with self.assertLogs("odoo.addons.queue_job.jobrunner", "DEBUG") as logs:
            job_workers.warm_up(application, "missing")
        self.assertIn("no database", logs.output[0])


class TestWarmUp(TransactionCase):
    def test_claims_and_leaves_nothing(self):
        job = self.env["queue.job"].with_delay()._test_job().db_record()
        self.env.flush_all()
        with patch.object(self.env.cr, "rollback") as rollback:
            warm_up(self.env(user=SUPERUSER_ID))
        rollback.assert_called_once()
        job.invalidate_recordset()
        self.assertEqual(job.state, "pending")


@tagged("post_install", "-at_install")
class TestRoutes(HttpCase):
    def status(self, path):
        with mute_logger("odoo.http"):
            return self.url_open(path).status_code

    def test_public_only_where_it_is_wanted(self):
        """A header cannot pretend to be a job worker."""
        paths = (protocol.RUNJOB_PATH, protocol.REPORT_DEAD_PATH)
        for public, status in (("", 404), ("True", 200)):
            with (
                patch.dict(config.options, {"workers": 2}),
                patch.dict(
                    "os.environ",
                    ODOO_QUEUE_JOB_WORKERS="1",
                    ODOO_QUEUE_JOB_PUBLIC_ROUTE=public,
                ),
            ):
                for path in paths:
                    with self.subTest(path, public=public):
                        self.assertEqual(self.status(path + "?job_uuid="), status)

    def test_nobody_warms_up_from_outside(self):
        self.assertEqual(self.status(protocol.WARM_UP_PATH), 404)
