# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The pages over HTTP, as the loop of the runner serves them."""

import http.client
import os
import socket
import threading
import time
from unittest.mock import patch

from odoo.tests import BaseCase

from ..jobrunner import endpoint
from ..jobrunner import runner as runner_module
from ..jobrunner.endpoint import Endpoint
from .test_jobrunner_life import LifeCase

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


class TestEndpoint(BaseCase):
    def setUp(self):
        super().setUp()
        self.asked = []
        self.text = "page\n"
        self.endpoint = Endpoint("127.0.0.1", 0, self.get)
        self.addCleanup(self.endpoint.close)

    def get(self, path, accept):
        self.asked.append((path, accept))
        return 200, "text/plain", self.text

    def client(self):
        client = socket.create_connection(("127.0.0.1", self.endpoint.port), timeout=10)
        self.addCleanup(client.close)
        return client

    def serve_until(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            self.endpoint.serve()

    def read_answer(self, client):
        client.setblocking(False)
        parts = []

        def is_over():
            try:
                part = client.recv(65536)
            except BlockingIOError:
                return False
            parts.append(part)
            return not part

        self.serve_until(is_over)
        return b"".join(parts).decode()

    def test_page(self):
        client = self.client()
        client.sendall(b"GET /metrics?x=1 HTTP/1.1\r\nAccept: text/A\r\n\r\n")
        answer = self.read_answer(client)
        self.assertTrue(answer.startswith("HTTP/1.1 200 OK\r\n"), answer)
        self.assertTrue(answer.endswith("\r\n\r\npage\n"), answer)
        self.assertEqual(
            [(p, a.strip()) for p, a in self.asked], [("/metrics", "text/a")]
        )

    def test_large_page_in_parts(self):
        """A client that reads slowly delays nothing: the rest is written later."""
        self.text = "x" * 20_000_000
        client = self.client()
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.serve_until(lambda: self.asked)
        self.assertEqual(
            len(self.read_answer(client).partition("\r\n\r\n")[2]), 20_000_000
        )

    def test_other_methods_are_refused(self):
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\n\r\n")
        self.assertIn(" 405 ", self.read_answer(client))
        self.assertEqual(self.asked, [])

    def test_page_that_fails_ends_nothing_else(self):
        """The sessions of all databases are in the same loop."""
        client = self.client()
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        broken = patch.object(self.endpoint, "_get", side_effect=TypeError("no date"))
        with broken, self.assertLogs(endpoint.__name__, "ERROR"):
            self.assertIn(" 500 ", self.read_answer(client))

    def test_request_without_end_is_closed(self):
        client = self.client()
        client.sendall(b"GET / HTTP")
        self.serve_until(lambda: self.endpoint._exchanges)
        with patch.object(endpoint, "PATIENCE", -1):
            self.assertEqual(self.read_answer(client), "")

    def test_garbage_is_closed(self):
        client = self.client()
        client.sendall(b"\x00" * (endpoint.LONGEST_REQUEST + 10))
        with self.assertRaises(ConnectionError):
            if not self.read_answer(client):
                raise ConnectionError

    def test_connections_are_bounded(self):
        clients = [self.client() for _number in range(endpoint.MAX_CONNECTIONS + 5)]
        clients[-1].sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.assertIn(" 200 ", self.read_answer(clients[-1]))
        self.assertLessEqual(len(self.endpoint._exchanges), endpoint.MAX_CONNECTIONS)


class TestRunnerServes(LifeCase):
    """The loop of a runner, from its start to its stop."""

    def started(self, port):
        environ = {"ODOO_QUEUE_JOB_METRICS_PORT": str(port)}
        runner = self.runner()
        patcher = patch.dict(os.environ, environ)
        patcher.start()
        self.addCleanup(patcher.stop)
        thread = threading.Thread(target=runner.run, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 20)
        self.addCleanup(runner.stop)
        return runner

    def free_port(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            return server.getsockname()[1]

    def wait_for(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def test_pages_of_a_living_runner(self):
        port = self.free_port()
        runner = self.started(port)
        self.wait_for(lambda: runner._endpoint)
        for path, expected in (("/health", b'"ok"'), ("/metrics", b"queue_job_open")):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", path)
            answer = connection.getresponse()
            self.assertEqual(answer.status, 200)
            self.assertIn(expected, answer.read())
            connection.close()
        runner.stop()
        self.wait_for(lambda: runner._endpoint is None)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=10)

    def test_address_in_use_is_tried_again(self):
        runner = self.runner()
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            environ = {"ODOO_QUEUE_JOB_METRICS_PORT": str(port)}
            with patch.dict(os.environ, environ):
                with self.assertLogs(RUNNER_LOGGER, "ERROR") as logs:
                    runner._serve_metrics()
                self.assertIn("metrics are not served", logs.output[0])
                server.close()
                runner._listen_at = 0
                runner._serve_metrics()
        self.assertEqual(runner._endpoint.port, port)
        runner._close_endpoint()

    def test_without_a_port_nothing_listens(self):
        runner = self.runner()
        runner._serve_metrics()
        self.assertIsNone(runner._endpoint)
        self.assertFalse(runner.metrics.is_served)
        self.assertEqual(runner._listen_at, float("inf"))
        self.assertGreater(runner_module.LISTEN_DELAY, 0)
