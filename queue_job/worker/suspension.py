# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""When a job in steps ends at its next step, to go on in another process.

The server stops, or the job comes near a limit of its worker: Odoo would kill it. A limit
counts from the begin of the request, and the next step may take as long as all before it.
"""

import os
import threading
import time

import psutil

from odoo.service import server
from odoo.tools import config

if os.name == "posix":
    # Windows has neither that nor prefork workers, which it is asked for.
    import resource

# Of a limit of time that may be used up before a job is ended.
SHARE = 0.8


def worker_of_this_thread():
    """Return the prefork worker whose work thread this is, or None."""
    target = getattr(threading.current_thread(), "_target", None)
    worker = getattr(target, "__self__", None)
    return worker if isinstance(worker, server.Worker) else None


class Suspension:
    """The limits of an attempt in this thread.

    :param began_at: when it began, on the monotonic clock
    """

    def __init__(self, began_at):
        self._worker = worker_of_this_thread()
        self._thread = threading.current_thread()
        self._began_at = began_at
        self._process = psutil.Process() if self._is_limited() else None

    def _is_limited(self):
        return bool(self._worker or getattr(self._thread, "start_time", None))

    def reason(self):
        """Return why the job should end, as a text for the log, or None."""
        if self._is_server_stopping():
            return "the server stops"
        if self._process is None:
            return None
        if self._is_over(self._real_limit(), time.monotonic() - self._began_at):
            return "limit_time_real is near"
        if self._is_cpu_used_up():
            return "limit_time_cpu is near"
        soft = config["limit_memory_soft"]
        if soft and server.memory_info(self._process) > soft:
            return "limit_memory_soft is reached"
        return None

    def _is_server_stopping(self):
        worker = self._worker
        if worker:
            return not worker.alive or worker.ppid != os.getppid()
        return bool(getattr(server.server, "quit_signals_received", 0))

    @staticmethod
    def _is_over(limit, used):
        return bool(limit) and used >= SHARE * limit

    def _real_limit(self):
        if self._worker:
            return self._worker.watchdog_timeout
        own = config["limit_time_real_cron"]
        is_cron = getattr(self._thread, "type", None) == "cron"
        return own if is_cron and own > 0 else config["limit_time_real"]

    def _is_cpu_used_up(self):
        limit = config["limit_time_cpu"]
        if not self._worker or not limit:
            return False
        soft, _hard = resource.getrlimit(resource.RLIMIT_CPU)
        if soft == resource.RLIM_INFINITY:
            return False
        return time.process_time() >= soft - (1 - SHARE) * limit
