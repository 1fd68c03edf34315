# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A whole runner, against a server that answers as a worker does."""

import time
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

from odoo.tests import tagged
from odoo.tools import mute_logger

from ..jobrunner.database import Database
from ..protocol import DONE, Report
from .fake_odoo import LoopBesideFakeOdoo
from .runner_case import RunnerCase


@tagged("post_install", "-at_install")
class TestLoop(LoopBesideFakeOdoo, RunnerCase):
    def test_job_is_sent_and_its_slot_freed(self):
        self.start()
        uuid = self.job()
        self.assertTrue(self.odoo.came.acquire(timeout=20))
        self.assertIn(uuid, self.odoo.asked[-1][0])
        session = self.runner._sessions[self.db_name]
        self.wait_for_rounds(lambda: uuid not in session.in_flight)

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

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_other_runner_takes_over(self):
        self.start()
        second = self.new_runner()
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
        marked = []
        mark = Database.mark_enqueued

        def count(db, ids, now):
            marked.append(ids)
            return mark(db, ids, now)

        self.startPatcher(patch.object(Database, "mark_enqueued", count))
        self.start(self.new_runner("root:1"))

        def drained():
            return not self.sql(
                "SELECT 1 FROM queue_job WHERE state <> 'done' AND uuid = ANY(%s)",
                list(uuids),
                conn=looker,
            )

        looker = self.connect()
        self.wait_for_rounds(drained)
        self.assertLess(len(self.odoo.asked), 20)
        self.assertLess(len(marked), 20)
