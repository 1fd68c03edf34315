import json
import subprocess
import sys
import unittest
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench.py"
JOBS = 1000
# What each job and each request may cost. A machine that is busy gives each request fewer jobs;
# with ten and more jobs in one, a job costs less than the two transactions that are the aim.
TRANSACTIONS, MESSAGES = (1.05, 7), (2.1, 10)
# Of a job alone in its request it would be one.
REQUESTS = 0.5


class TestCounts(unittest.TestCase):
    """What a drain of many short jobs costs in things that can be counted."""

    def test_drain_of_a_thousand_jobs(self):
        done = subprocess.run(
            [
                sys.executable,
                BENCH,
                "--only",
                "counts",
                "--jobs",
                str(JOBS),
                "--json",
                "-",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertIn('"figures"', done.stdout, done.stderr)
        values = {
            figure["what"].split(" per job")[0]: figure["value"]
            for figure in json.loads(done.stdout)["figures"]
        }
        requests = values["requests"]
        self.assertLess(requests, REQUESTS)
        for what, (of_job, of_request) in (
            ("PostgreSQL transactions", TRANSACTIONS),
            ("messages to PostgreSQL", MESSAGES),
        ):
            with self.subTest(what):
                self.assertLessEqual(values[what], of_job + of_request * requests)
        # Counted at all.
        self.assertGreater(values["PostgreSQL transactions"], 1)
