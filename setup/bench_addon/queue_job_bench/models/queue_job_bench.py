# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import os
import signal
import time

from odoo import fields, models

# Kept until the process ends.
_leaked = []


class QueueJobBench(models.Model):
    """One row for each time that a numbered job was performed."""

    _name = "queue.job.bench"
    _description = "Queue Job Benchmark"
    _log_access = False

    # No constraint: a job that counted twice shall be seen, not refused.
    number = fields.Integer(readonly=True)

    def noop(self):
        """Do nothing: what is measured is the queue."""

    def sleep(self, seconds):
        """Hold a slot."""
        time.sleep(seconds)

    def query(self, seconds):
        """Wait for a statement."""
        self.env.cr.execute("SELECT pg_sleep(%s)", (seconds,))

    def compute(self, seconds):
        """Use processor time."""
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    def insert(self, number):
        """Insert a numbered row, as work that must count once."""
        self.create({"number": number})

    def die(self, number):
        """Kill the worker in the middle of the work, as the system does without memory."""
        self.create({"number": number})
        self.env.flush_all()
        os.kill(os.getpid(), signal.SIGKILL)

    def insert_and_grow(self, number, megabytes):
        """Insert a numbered row, and keep memory as a worker that leaks does."""
        self.create({"number": number})
        _leaked.append(bytearray(megabytes << 20))

    def insert_slowly(self, number, seconds):
        """Insert a numbered row and stay in the middle of the work for a while."""
        self.create({"number": number})
        self.env.flush_all()
        time.sleep(seconds)

    def insert_in_steps(self, numbers, seconds):
        """Insert numbered rows and commit each; stay in the middle of it for a while."""
        for part in self._current_job().batches(numbers, size=1):
            self.create([{"number": number} for number in part])
            self.env.flush_all()
            time.sleep(seconds)
