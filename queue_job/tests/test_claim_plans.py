# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json

from odoo.tests import tagged

from .runner_case import RunnerCase
from .test_jobrunner_plans import FILL

# What jobs that passed through leave in the indexes, as long as somebody holds an old
# snapshot: here, this transaction.
STEPS = """
UPDATE queue_job SET state = 'enqueued' WHERE uuid LIKE 'plan-%' AND id % 7 = 0 AND state = 'done';
UPDATE queue_job SET state = 'started' WHERE uuid LIKE 'plan-%' AND state = 'enqueued';
UPDATE queue_job SET state = 'done' WHERE uuid LIKE 'plan-%' AND state = 'started'
"""
# Pages that a step may touch. A row has a page and one or two of each index; walking over
# what passed through takes hundreds.
PAGES = 150


@tagged("post_install", "-at_install")
class TestClaimPlans(RunnerCase):
    """What the steps of a worker touch with 100,000 jobs in the table.

    Their plans are inside functions, so pages are counted.
    """

    def setUp(self):
        super().setUp()
        conn = self.connect()
        conn.autocommit = False
        self.cr = conn.cursor()
        self.addCleanup(conn.rollback)
        self.cr.execute("ALTER TABLE queue_job DISABLE TRIGGER USER")
        self.cr.execute(FILL)
        # As usual, no job is under way when the statistics are made.
        self.cr.execute(
            "DELETE FROM queue_job WHERE uuid LIKE 'plan-%' AND state = 'started'"
        )
        self.cr.execute("ANALYZE queue_job")
        self.cr.execute(STEPS)
        # Each number is there once for each state.
        self.cr.execute(
            "UPDATE queue_job SET state = 'enqueued'"
            " WHERE uuid IN ('plan-1', 'plan-2') AND state = 'failed'"
        )

    def pages(self, statement, *values):
        """Return how many pages a statement touches that was executed before."""
        self.cr.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT {statement}", values
        )
        plan = self.cr.fetchone()[0]
        [plan] = json.loads(plan) if isinstance(plan, str) else plan
        return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]

    def claimed(self, uuid):
        self.cr.execute(
            "SELECT id FROM queue_job WHERE uuid = %s AND run_number = 1", (uuid,)
        )
        return self.cr.fetchone()[0]

    def test_steps_find_their_job_by_key(self):
        claim = "queue_job_claim_first(ARRAY[%s]::varchar[], 'enqueued', now()::timestamp, 1, NULL)"
        lock = "queue_job_lock_own_run(%s, 1)"
        done = "queue_job_write_done(%s, now()::timestamp, 0.1, 1, NULL)"
        # The first call plans, and reads what the planner wants to know.
        self.cr.execute(f"SELECT {claim}", ("plan-1",))
        [verdict, _version, _uuid] = self.cr.fetchone()[0]
        self.assertEqual(verdict, "claimed")
        first = self.claimed("plan-1")
        self.cr.execute(f"SELECT {lock}, {done}", (first, first))

        found = {"claim": self.pages(claim, "plan-2")}
        second = self.claimed("plan-2")
        found["lock"] = self.pages(lock, second)
        found["write done"] = self.pages(done, second)
        for step, pages in found.items():
            with self.subTest(step):
                self.assertLess(pages, PAGES, found)
