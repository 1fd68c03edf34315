# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The end of the process that the runner lives in."""

import subprocess
import sys

from odoo.tests import BaseCase

import odoo.addons

# A thread takes the lock and is ended there, as all threads are at the end.
SCRIPT = """
import sys
import threading
import odoo.addons
odoo.addons.__path__[:] = sys.argv[1:]
from odoo.addons.queue_job.jobrunner.runner import QueueJobRunner
runner = QueueJobRunner(channel_config_string="root:1")
# Not freed before the interpreter ends.
runner.itself = runner
taken = threading.Event()
def answer():
    with runner._wakeup_pipe._lock:
        taken.set()
        threading.Event().wait()
threading.Thread(target=answer, daemon=True).start()
taken.wait()
del runner
"""


class TestEnd(BaseCase):
    def test_process_ends_though_an_answer_comes_at_that_moment(self):
        """A server did not stop: its runner waited for a thread that was no more.

        The thread had been ended by the interpreter while it announced an answer. Seen
        on a busy machine, where the answer to the last request came with the end.
        """
        # 120 s are far more than to import Odoo and to end takes.
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *odoo.addons.__path__],
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
