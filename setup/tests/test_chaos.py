import subprocess
import sys
import unittest
from pathlib import Path

CHAOS = Path(__file__).resolve().parents[1] / "chaos.py"


class TestChaos(unittest.TestCase):
    def test_every_job_counts_once(self):
        """The short form; ``setup/chaos`` is the long one."""
        done = subprocess.run(
            # The machine may be busy: how fast it settles is what the long form judges.
            [sys.executable, CHAOS, "--jobs", "200", "--kills", "10", "--show"]
            + ["--settle", "90"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
