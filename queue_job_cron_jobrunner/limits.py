# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The limits of a cron worker, and what is done before one of them ends it.

Odoo ends a worker process whose unit of work takes longer than
``limit_time_real_cron``, or more CPU than ``limit_time_cpu``; the main process of
a threaded server starts anew. Its clocks start between two units, even
before the worker sleeps. Between two runs of jobs this does what Odoo does between
two units: look at memory and age, and start the clocks again. So the limits hold
for one job, as their descriptions say, and a worker that should end takes no more.

A job that comes near a limit is recorded as failed before the worker is killed,
by a thread of its own: else its death had no known cause, and it would be
tried again and again.
"""

import logging
import os
import threading
import time
from contextlib import contextmanager, nullcontext

from odoo.service.server import Worker, WorkerCron
from odoo.tools import config

if os.name == "posix":
    # Windows has neither that nor prefork workers, which it is asked for.
    import resource

_logger = logging.getLogger(__name__)

# Seconds between recording a failure and the limit: a share of the limit, within bounds.
MARGIN_SHARE = 0.1
SMALLEST_MARGIN = 1
LARGEST_MARGIN = 5
# Seconds at most between two looks at the CPU time: several threads may use it up
# faster than time goes by.
LONGEST_PAUSE = 5


def _margin(limit):
    return min(LARGEST_MARGIN, max(SMALLEST_MARGIN, limit * MARGIN_SHARE))


def _worker_of_this_thread():
    """Return the prefork worker whose work thread this is, or None."""
    target = getattr(threading.current_thread(), "_target", None)
    worker = getattr(target, "__self__", None)
    return worker if isinstance(worker, Worker) else None


class WorkerClock:
    """How much time is left to what this thread does now."""

    def __init__(self):
        self._worker = _worker_of_this_thread()
        self._thread = threading.current_thread()
        self._is_cron = isinstance(self._worker, WorkerCron) or (
            getattr(self._thread, "type", None) == "cron"
        )
        self._is_limited = bool(
            self._worker or getattr(self._thread, "start_time", None)
        )
        self.started = time.monotonic()

    def restart(self):
        """Begin a unit of work; return whether this worker may begin another one."""
        self.started = time.monotonic()
        if self._worker is not None:
            self._worker.check_limits()
            self._worker.multi.pipe_ping(self._worker.watchdog_pipe)
            return self._worker.alive
        if self._is_limited:
            self._thread.start_time = time.time()
        return True

    def real_limit(self):
        """Return ``(seconds, option)`` of the limit of real time, None when there is none."""
        if not self._is_limited:
            return None
        option = "limit_time_real"
        # 0 is no limit in a prefork server, and limit_time_real in a threaded one.
        has_own = config["limit_time_real_cron"] > 0
        if self._is_cron and (
            has_own or (self._worker and config["limit_time_real_cron"] == 0)
        ):
            option = "limit_time_real_cron"
        return (config[option], option) if config[option] else None

    def cpu_limit(self):
        """Return ``(seconds, option)`` of the limit of CPU time, None when there is none."""
        if self._worker is None or not config["limit_time_cpu"]:
            return None
        return config["limit_time_cpu"], "limit_time_cpu"

    def left(self):
        """Return ``(seconds until a failure is to be recorded, (limit, option))``, or None."""
        ends = []
        real, cpu = self.real_limit(), self.cpu_limit()
        if real:
            ends.append(
                (self.started + real[0] - _margin(real[0]) - time.monotonic(), real)
            )
        if cpu:
            soft, _hard = resource.getrlimit(resource.RLIMIT_CPU)
            if soft != resource.RLIM_INFINITY:
                ends.append((soft - _margin(cpu[0]) - time.process_time(), cpu))
        return min(ends) if ends else None


# The guard of each thread that performs jobs, while it is entered.
_of_thread = threading.local()


def watched(job):
    """Return the block in which the guard of this thread, if it has one, watches a job."""
    guard = getattr(_of_thread, "guard", None)
    return guard.watch(job) if guard else nullcontext()


class LimitGuard:
    """Reports a job that comes near a limit of its worker, the thread that enters this.

    :param tell: called in another thread, once for a job, with the job and
        ``(limit, option)``
    """

    def __init__(self, clock, tell):
        self._clock = clock
        self._tell = tell
        self._job = None
        self._told = None
        self._over = threading.Event()
        self._thread = None

    def __enter__(self):
        _of_thread.guard = self
        return self

    def __exit__(self, *_exc):
        _of_thread.guard = None
        self._over.set()

    @contextmanager
    def watch(self, job):
        """Watch over the job in this block."""
        if self._thread is None and self._clock.left():
            self._thread = threading.Thread(
                target=self._loop, name="queue_job limits", daemon=True
            )
            self._thread.start()
        self._job = job
        try:
            yield
        finally:
            self._job = None

    def look(self):
        """Tell when the limit is near; return the seconds until the next look."""
        job, left = self._job, self._clock.left()
        if left is None:
            return LONGEST_PAUSE
        seconds, limit = left
        # A limit is reported once for each claim.
        claim = job and (job.uuid, job.run_number)
        if seconds <= 0 and job and claim != self._told:
            self._told = claim
            try:
                self._tell(job, limit)
            except Exception:
                _logger.exception(
                    "that job %s is too long could not be recorded", job.uuid
                )
        return min(LONGEST_PAUSE, max(0.2, seconds))

    def _loop(self):
        while not self._over.wait(self.look()):
            pass
