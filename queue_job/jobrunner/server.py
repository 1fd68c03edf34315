# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The runner inside Odoo's servers: a thread of the threaded one, a worker of
the prefork one.

Importing this module replaces methods of ``odoo.service.server``, and does
nothing else: servers are made after the server-wide modules are loaded, and
nothing later in their life asks an addon to take part.
"""

import logging
import os
import sys
from threading import Thread
from time import monotonic

from odoo.service import server
from odoo.tools import config

from ..channels import ROOT, Channel
from ..channels.limits import parse_database_capacities
from ..channels.settings import parse_simple_config
from ..configuration import configured_job_workers, setting
from . import job_workers
from .config import _channels, _is_runner_enabled
from .runner import QueueJobRunner

try:
    import resource
except ImportError:  # no prefork server on such systems
    resource = None

_logger = logging.getLogger(__package__)

# Seconds that a server without job workers gets to be ready for requests.
START_DELAY = 5
# Seconds that job workers get to be ready. A request that comes earlier waits for them.
READY_TIMEOUT = 60
# Seconds between two looks at the limits of the worker and at its server.
LIMITS_EVERY = 1

runner_thread = None


class QueueJobRunnerThread(Thread):
    """The runner in the threaded server."""

    def __init__(self):
        super().__init__(name="queue_job runner", daemon=True)
        self.runner = QueueJobRunner.from_environ_or_config()

    def run(self):
        # The server may still be loading registries.
        self.runner.sleep(START_DELAY)
        self.runner.run()

    def stop(self):
        self.runner.stop()


class WorkerJobRunner(server.Worker):
    """The runner as a worker process of the prefork server."""

    def __init__(self, multi):
        super().__init__(multi)
        # It waits for jobs for as long as there are none.
        self.watchdog_timeout = None
        self._recover = False
        self._next_limits = 0
        self.runner = self._new_runner()

    def _new_runner(self):
        runner = QueueJobRunner.from_environ_or_config()
        runner.on_round = self._check_on_round
        return runner

    def close(self):
        """Let go of what the main process has of this worker, which has ended.

        Worker and runner know each other: without this their descriptors stay open
        until garbage is collected.
        """
        super().close()
        self.runner.on_round = None

    def sleep(self):
        """Do not wait between two works: the runner waits by itself."""

    def signal_handler(self, sig, frame):
        _logger.debug("WorkerJobRunner (%s) received signal %s", self.pid, sig)
        super().signal_handler(sig, frame)
        self.runner.stop()

    def signal_time_expired_handler(self, n, stack):
        _logger.info(
            "Worker (%d) CPU time limit reached, stopping gracefully to recover",
            self.pid,
        )
        self._recover = True
        self.runner.stop()

    def _check_on_round(self, runner):
        """Do between rounds what other workers do between requests.

        A runner whose server was killed must not keep the election, and the
        limit of CPU time is meant for a piece of work, not for a life.
        """
        if monotonic() < self._next_limits:
            return
        self._next_limits = monotonic() + LIMITS_EVERY
        if os.getppid() != self.ppid:
            _logger.info("WorkerJobRunner (%s) parent changed", self.pid)
            self.alive = False
            runner.stop()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(usage.ru_utime + usage.ru_stime + config["limit_time_cpu"])
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))

    def process_work(self):
        if self._recover:
            _logger.info("WorkerJobRunner (%s) runner is reinitialized", self.pid)
            self.runner = self._new_runner()
            self._recover = False
        _logger.debug("WorkerJobRunner (%s) starting up", self.pid)
        if job_workers.are_here(self.multi):
            job_workers.wait_until_ready(self.multi, self.wakeup_fd_r, READY_TIMEOUT)
        else:
            self.runner.sleep(START_DELAY)
        self.runner.run()


def _start_runner_thread(server_type):
    """Start the thread of the runner, unless it is disabled."""
    global runner_thread  # noqa: PLW0603 the stop of the server must find it
    if config["stop_after_init"]:
        return
    if _is_runner_enabled():
        _logger.info("starting jobrunner thread (in %s)", server_type)
        runner_thread = QueueJobRunnerThread()
        runner_thread.start()
    else:
        _logger.info(
            "jobrunner thread (in %s) NOT started, "
            "because the root channel's capacity is set to 0",
            server_type,
        )


def _check_settings():
    """Raise ValueError when the configuration of channels or job workers is wrong.

    Called when a server object is made, before the server listens or forks: an error in a
    main process that has forked leaves the gevent process and its port behind.
    """
    if config["stop_after_init"]:
        return
    job_workers.check_settings()
    if _is_runner_enabled():
        parse_database_capacities(setting("db_max_capacity"))
        for entry in parse_simple_config(_channels()):
            Channel(ROOT, parent=None).configure(entry)


def _patch_threaded_server():
    init = server.ThreadedServer.__init__
    start, stop = server.ThreadedServer.start, server.ThreadedServer.stop

    def init_with_check(self, app):
        _check_settings()
        init(self, app)

    def start_with_runner(self, stop=False):
        start(self, stop=stop)
        if not stop:
            if configured_job_workers() and not config["stop_after_init"]:
                _logger.warning(
                    "job workers: ignored by the threaded server; set workers of Odoo too"
                )
            # By its public name, because addons replace it.
            sys.modules[__package__]._start_runner_thread("threaded server")

    def stop_with_runner(self):
        global runner_thread  # noqa: PLW0603 as above
        if runner_thread is not None:
            runner_thread.stop()
        stop(self)
        if runner_thread is not None:
            runner_thread.join()
            runner_thread = None

    server.ThreadedServer.__init__ = init_with_check
    server.ThreadedServer.start = start_with_runner
    server.ThreadedServer.stop = stop_with_runner


def _patch_prefork_server():
    init = server.PreforkServer.__init__
    process_spawn = server.PreforkServer.process_spawn
    worker_pop = server.PreforkServer.worker_pop

    def init_with_runner(self, app):
        _check_settings()
        init(self, app)
        self.jobrunner = {}

    def process_spawn_with_runner(self):
        process_spawn(self)
        # Missing: the addon was loaded after this server was made.
        if getattr(self, "jobrunner", None) == {} and _is_runner_enabled():
            self.worker_spawn(WorkerJobRunner, self.jobrunner)

    def worker_pop_with_runner(self, pid):
        worker_pop(self, pid)
        getattr(self, "jobrunner", {}).pop(pid, None)

    server.PreforkServer.__init__ = init_with_runner
    server.PreforkServer.process_spawn = process_spawn_with_runner
    server.PreforkServer.worker_pop = worker_pop_with_runner


_patch_threaded_server()
_patch_prefork_server()
job_workers.patch_prefork_server()
