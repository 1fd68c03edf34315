"""Odoo in prefork mode with the job runner, as ``setup/run`` serves it."""

import socket
import subprocess
import urllib.error
import urllib.request

from .errors import SetupError
from .postgres import HOST, free_port
from .process import Guarded, tail
from .waiting import wait_until

# Seconds for Odoo to answer its health check.
START_TIMEOUT = 120
# Seconds for running requests and jobs to end when the server stops.
GRACE = 15
DEFAULT_PORT = 8069


def choose_port(wanted):
    """Return the port asked for, which must be free; without a wish 8069 or a free one."""
    with socket.socket() as probe:
        # As Odoo does: a port whose last connections still linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted or DEFAULT_PORT))
            return wanted or DEFAULT_PORT
        except OSError as error:
            if wanted:
                raise SetupError(
                    "Port %d cannot be used: %s." % (wanted, error.strerror),
                    "Choose another one with --port, or leave it out.",
                ) from error
    return free_port()


class Watched:
    """A serving process, ``_process``, and its ``log``."""

    _process = log = None

    def check(self):
        """Raise SetupError when the server has ended by itself."""
        code = self._process and self._process.poll()
        if code is not None:
            raise SetupError(
                "Odoo ended with exit code %s.\n%s" % (code, tail(self.log)),
                "The whole log is in %s." % self.log,
            )

    def wait(self, condition, timeout, otherwise="Waited %d s in vain."):
        """Return the result of ``condition`` once it is true, SetupError when it never is."""

        def failure():
            return SetupError(
                "%s\n%s" % (otherwise % timeout, tail(self.log, 40)),
                "The whole log is in %s." % self.log,
            )

        return wait_until(condition, timeout, failure, check=self.check)


class OdooServer(Watched):
    """One serving Odoo; use as a context manager, which ends it with all its workers.

    :param job_workers: how many workers perform jobs and nothing else
    :param environment: more variables
    """

    def __init__(
        self,
        odoo,
        database,
        *,
        port,
        workers,
        channels,
        server_wide,
        job_workers=0,
        environment=None,
    ):
        self.port = port
        self.address = "http://%s:%d" % (HOST, port)
        self.log = odoo.cache.log("run-%s" % database)
        self._command = odoo.command(
            "-d",
            database,
            "--db-filter=^%s$" % database,
            "--load=" + ",".join(server_wide),
            "--workers=%d" % workers,
            "--max-cron-threads=1",
            "--http-interface=" + HOST,
            "--http-port=%d" % port,
            "--gevent-port=%d" % free_port(),
        )
        self._environment = odoo.environment(
            ODOO_QUEUE_JOB_CHANNELS=channels,
            ODOO_QUEUE_JOB_WORKERS=str(job_workers),
            **(environment or {}),
        )

    def __enter__(self):
        with open(self.log, "w") as log:
            self._process = Guarded(
                self._command,
                grace=GRACE,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )
        return self

    def __exit__(self, *_exc):
        self._process.stop()

    def wait_until_ready(self):
        """Return when the server answers requests."""
        self.wait(
            self._answers,
            START_TIMEOUT,
            "Odoo does not answer at %s within %%d s." % self.address,
        )

    def _answers(self):
        try:
            with urllib.request.urlopen(self.address + "/web/health", timeout=10):
                return True
        except (urllib.error.URLError, OSError):
            return False
