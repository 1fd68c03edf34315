# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json

from odoo.tests import tagged

from ..sql import statements as sql
from .runner_case import RunnerCase

# Jobs of each kind; 100,000 in all.
FILL = """
INSERT INTO queue_job
    (uuid, state, priority, channel, date_created, date_enqueued, eta, dependencies)
SELECT 'plan-' || n, state, n % 3, 'root.plan' || n % 5, now() AT TIME ZONE 'UTC',
    CASE WHEN state IN ('enqueued', 'started') THEN now() AT TIME ZONE 'UTC' END,
    CASE WHEN n % 4 = 0 THEN now() AT TIME ZONE 'UTC' + n * interval '1 second' END, '{}'
FROM (VALUES ('pending', 40000), ('done', 39900), ('failed', 10000),
             ('wait_dependencies', 10000), ('started', 100)) AS kind(state, number),
    generate_series(1, number) n
"""


@tagged("post_install", "-at_install")
class TestPlans(RunnerCase):
    """The plans of the runner's hot statements with 100,000 jobs in the table.

    All happens in a transaction that is rolled back, with the settings of the runner.
    """

    def setUp(self):
        super().setUp()
        conn = self.connect()
        conn.autocommit = False
        self.cr = conn.cursor()
        self.cr.execute(sql.session_settings)
        self.cr.execute(sql.prepare)
        self.cr.execute("ALTER TABLE queue_job DISABLE TRIGGER USER")
        self.cr.execute(FILL)
        self.cr.execute("ANALYZE queue_job")
        self.addCleanup(conn.rollback)

    def nodes(self, statement, values=None):
        """Return the plan of a statement as a list of its nodes."""
        self.cr.execute(f"EXPLAIN (FORMAT JSON) {statement}", values)
        plan = self.cr.fetchone()[0]
        waiting = [(json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]]
        found = []
        while waiting:
            node = waiting.pop()
            found.append(node)
            waiting += node.get("Plans", [])
        return found

    def check(self, statement, values, index):
        nodes = self.nodes(statement, values)
        scans = [node for node in nodes if node.get("Relation Name") == "queue_job"]
        names = {node.get("Index Name") for node in nodes} - {None}
        self.assertFalse(
            [node for node in scans if node["Node Type"] == "Seq Scan"], nodes
        )
        self.assertLessEqual(names, {index, "queue_job_pkey"}, nodes)
        return nodes

    def test_windows_are_read_in_the_order_of_an_index(self):
        names = [f"root.plan{number}" for number in range(5)]
        self.cr.execute("SELECT now() AT TIME ZONE 'UTC'")
        (now,) = self.cr.fetchone()
        for statement, index, after in (
            (sql.candidates, "queue_job_candidates_index", None),
            (sql.candidates_after, "queue_job_candidates_index", (1, now, 5)),
            (sql.timed_candidates, "queue_job_eta_index", None),
            (sql.timed_candidates_after, "queue_job_eta_index", (now, 5)),
            (sql.failed_jobs, "queue_job_failed_index", None),
        ):
            with self.subTest(statement):
                values = {"names": names, "limit": 500, "after": after}
                nodes = self.check(statement, values, index)
                self.assertNotIn("Sort", [node["Node Type"] for node in nodes])

    def test_channels_are_found_step_by_step(self):
        for statement, indexes in (
            (
                sql.waiting_channels,
                {"queue_job_candidates_index", "queue_job_eta_index"},
            ),
            (sql.failed_channels, {"queue_job_failed_index"}),
        ):
            nodes = self.nodes(statement)
            scans = [node for node in nodes if "Index Name" in node]
            self.assertEqual({node["Index Name"] for node in scans}, indexes)
            self.assertNotIn("Seq Scan", [node["Node Type"] for node in nodes])
            self.assertIn("Recursive Union", [node["Node Type"] for node in nodes])

    def test_rows_are_found_by_their_keys(self):
        values = {"ids": list(range(50)), "date": None, "now": 5.0}
        self.check(sql.mark, values, "queue_job_pkey")
        uuids = [f"plan-{number}" for number in range(50)]
        self.check(sql.read_jobs, {"uuids": uuids}, "queue_job__uuid_index")
        self.check(sql.put_back, {"uuids": uuids}, "queue_job__uuid_index")
        among = {"uuids": uuids, "at_once": True}
        for statement, values in (
            (sql.requeue_dead_among, among),
            (sql.requeue_dead_among, {**among, "at_once": False}),
            (sql.free_locks, among),
            (sql.free_locks_of_begun, {"uuids": uuids}),
        ):
            nodes = self.nodes(statement, values)
            indexes = {node.get("Index Name") for node in nodes} - {None}
            self.assertFalse(
                {name for name in indexes if "running" in name or "state" in name}
            )

    def test_sweeps_look_at_what_they_are_about(self):
        self.check(sql.running_jobs, None, "queue_job_running_index")
        nodes = self.nodes(sql.requeue_dead)
        scans = [n for n in nodes if n.get("Relation Name") == "queue_job"]
        self.assertNotIn("Seq Scan", [node["Node Type"] for node in scans])
        self.check(sql.unreported, {"behind": []}, "queue_job_to_report_index")
        looked_at = [
            node
            for node in self.nodes(sql.old_waiting, {"after": 0, "age": "1 minute"})
            if node.get("Index Name") == "queue_job_waiting_index"
        ]
        self.assertTrue(looked_at)
