# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A whole runner, against a server that answers as a worker does."""

import threading
import time
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

from odoo.tests import tagged

from ..jobrunner.database import Database
from ..jobrunner.runner import QueueJobRunner
from ..run import DONE, Report
from .fake_odoo import BesideFakeOdoo
from .runner_case import RunnerCase


@tagged("post_install", "-at_install")
class TestLoop(BesideFakeOdoo, RunnerCase):
    def setUp(self):
        super().setUp()
        self.runner = QueueJobRunner(
            host="127.0.0.1", port=self.odoo.port, channel_config_string="root:4"
        )
        self.runner.get_db_names = lambda: [self.db_name]

    def start(self):
        thread = threading.Thread(target=self.runner.run)
        ready = threading.Event()
        self.runner.on_round = lambda runner: ready.set()
        thread.start()
        self.addCleanup(thread.join, 20)
        self.addCleanup(self.runner.stop)
        self.assertTrue(ready.wait(20))
        return thread

    def wait_until(self, condition):
        """Wait for rounds of the runner until ``condition`` holds."""
        done = threading.Event()
        self.runner.on_round = lambda runner: condition() and done.set()
        self.runner._waker.wake()
        self.assertTrue(done.wait(20))

    def test_job_is_sent_and_its_slot_freed(self):
        self.start()
        uuid = self.job()
        self.assertTrue(self.odoo.came.acquire(timeout=20))
        self.assertIn(uuid, self.odoo.asked[-1][0])
        session = self.runner._sessions[self.db_name]
        self.wait_until(lambda: uuid not in session.carried)

    def test_stop_lets_go_of_everything(self):
        self.odoo.hold.clear()
        thread = self.start()
        uuid = self.job()
        self.assertTrue(self.odoo.came.acquire(timeout=20))
        self.runner.stop()
        thread.join(20)
        self.assertFalse(thread.is_alive())
        self.assertEqual(self.value(uuid), "pending")
        self.database()

    def test_other_runner_takes_over(self):
        self.start()
        second = QueueJobRunner(
            host="127.0.0.1", port=self.odoo.port, channel_config_string="root:4"
        )
        second.get_db_names = lambda: [self.db_name]
        self.addCleanup(second.close_databases)
        second.initialize_databases()
        self.assertEqual(second.db_by_name, {})
        first = self.runner.db_by_name[self.db_name]
        # As PostgreSQL does when the process of the runner is killed.
        self.sql("SELECT pg_terminate_backend(%s)", first.conn.get_backend_pid())
        deadline = time.monotonic() + 10
        while not second.db_by_name and time.monotonic() < deadline:
            second._open(self.db_name)
        self.assertEqual(list(second.db_by_name), [self.db_name])

    def test_drain_needs_few_requests_and_statements(self):
        """Runs pay: the count of requests is far below the count of jobs."""
        uuids = {self.job() for _ in range(200)}

        worker = self.connect()

        def respond(path):
            query = parse_qs(urlsplit(path).query)
            report = Report()
            for uuid in ",".join(query["job_uuid"] + query.get("run", [])).split(","):
                self.update(uuid, state="done", conn=worker)
                report.add(uuid, DONE, 0.001)
            return report.dumps()

        self.odoo.respond = respond
        runner = QueueJobRunner(
            host="127.0.0.1", port=self.odoo.port, channel_config_string="root:1"
        )
        runner.get_db_names = lambda: [self.db_name]
        self.runner = runner
        marked = []
        mark = Database.mark_enqueued

        def count(db, ids, now):
            marked.append(ids)
            return mark(db, ids, now)

        self.startPatcher(patch.object(Database, "mark_enqueued", count))
        self.start()

        def drained():
            return not self.sql(
                "SELECT 1 FROM queue_job WHERE state <> 'done' AND uuid = ANY(%s)",
                list(uuids),
                conn=looker,
            )

        looker = self.connect()
        self.wait_until(drained)
        self.assertLess(len(self.odoo.asked), 20)
        self.assertLess(len(marked), 20)
