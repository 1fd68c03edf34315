import json
import subprocess
import sys
import unittest
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench.py"
JOBS = 1000
# Per job. The aim of the design is two transactions; a busy machine gets shorter runs, and
# with them more requests.
TRANSACTIONS, QUERIES, REQUESTS = 2, 8, 0.25


class TestCounts(unittest.TestCase):
    """What a drain of many short jobs costs in things that can be counted."""

    def test_drain_of_a_thousand_jobs(self):
        done = subprocess.run(
            [sys.executable, BENCH, "--only", "counts", "--jobs", str(JOBS), "--json", "-"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertIn('"figures"', done.stdout, done.stderr)
        values = {
            figure["what"].split(" per job")[0]: figure["value"]
            for figure in json.loads(done.stdout)["figures"]
        }
        self.assertLessEqual(values["PostgreSQL transactions"], TRANSACTIONS)
        self.assertLessEqual(values["queries"], QUERIES)
        self.assertLessEqual(values["requests"], REQUESTS)
        # Counted at all.
        self.assertGreater(values["PostgreSQL transactions"], 1)
