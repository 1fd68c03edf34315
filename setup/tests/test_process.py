import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from _lib import process
from _lib.errors import SetupError
from _lib.locks import FileLock

SETUP = Path(__file__).resolve().parents[1]
# Starts a child in another session, which ignores polite signals, and tells its id.
STUBBORN = """
import signal, subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-c",
     "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True);"
     "time.sleep(60)"],
    start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""
CALLER = """
import sys, time
sys.path.insert(0, {setup!r})
from _lib.process import Guarded
Guarded([sys.executable, "-c", {code!r}], grace=0.2)
time.sleep(60)
"""


def lives(pid):
    """Tell whether a process exists and is no zombie."""
    try:
        stat = Path("/proc/%d/stat" % pid).read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_for_end(pid):
    """Return whether a process ends within ten seconds."""
    deadline = time.monotonic() + 10
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not lives(pid)


class TestGuarded(unittest.TestCase):
    def test_exit_code_is_the_commands(self):
        with process.Guarded([sys.executable, "-c", "raise SystemExit(7)"]) as command:
            self.assertEqual(command.wait(10), 7)

    def test_stop_ends_descendants_in_other_sessions(self):
        command = process.Guarded(
            [sys.executable, "-c", STUBBORN], grace=0.2, stdout=subprocess.PIPE
        )
        pid = int(command.popen.stdout.readline())
        command.stop()
        command.popen.stdout.close()
        self.assertFalse(lives(pid))

    def test_nothing_outlives_a_killed_caller(self):
        code = CALLER.format(setup=str(SETUP), code=STUBBORN)
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE
        ) as caller:
            pid = int(caller.stdout.readline())
            os.kill(caller.pid, signal.SIGKILL)
            caller.wait(10)
            self.assertTrue(wait_for_end(pid))

    def test_failure_shows_the_end_of_the_log(self):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            with self.assertRaisesRegex(SetupError, "(?s)code 3.*last words"):
                process.run_logged(["sh", "-c", "echo last words; exit 3"], log, "It")


class TestFileLock(unittest.TestCase):
    def test_shared_and_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            first, second, third = (FileLock(Path(folder) / "x") for _ in range(3))
            self.assertTrue(first.acquire(shared=True))
            self.assertTrue(second.acquire(shared=True, wait=False))
            self.assertFalse(third.acquire(wait=False))
            first.release()
            second.release()
            self.assertTrue(third.acquire(wait=False))
            third.release()
