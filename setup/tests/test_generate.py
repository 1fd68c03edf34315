import subprocess
import sys
import unittest
from pathlib import Path

from _lib.databases import fresh_name
from _lib.suite import Suite

SETUP = Path(__file__).resolve().parents[1]
JOBS = 2000


class TestGenerated(unittest.TestCase):
    """A database that was filled with jobs, and the server that shows them."""

    def setUp(self):
        super().setUp()
        self.suite = Suite.without_options()
        self.database = fresh_name("generated")
        self.addCleanup(self.suite.discard, self.database)

    def call(self, command, *options):
        done = subprocess.run(
            [sys.executable, SETUP / command, "--database", self.database, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def waiting_and_ended(self):
        """Return how many wait or run, and how many are done, cancelled, failed."""
        return self.suite.server.query(
            "SELECT count(*) FILTER (WHERE state NOT IN ('done', 'cancelled', 'failed')),"
            " count(*) FILTER (WHERE state = 'done'),"
            " count(*) FILTER (WHERE state = 'cancelled'),"
            " count(*) FILTER (WHERE state = 'failed')"
            " FROM queue_job WHERE date_created < %s",
            (self.generated_at,),
            database=self.database,
        )[0]

    def test_jobs_are_still_there_when_they_are_looked_at(self):
        """The methods that they name do not exist: a runner would make all of them fail."""
        self.call("generate.py", "--count", str(JOBS))
        ((self.generated_at,),) = self.suite.server.query(
            "SELECT now() AT TIME ZONE 'UTC'"
        )
        before = self.waiting_and_ended()
        self.assertEqual(sum(before), JOBS)
        self.assertTrue(all(before), before)
        shown = self.call("run.py", "--once")
        self.assertIn("jobs done by worker processes", shown)
        self.assertEqual(self.waiting_and_ended(), before)
