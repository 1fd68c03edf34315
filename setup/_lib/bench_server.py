"""A prefork Odoo that is measured or killed, and the client that delays jobs."""

import json
import os
import re
import subprocess
from pathlib import Path

from .bench_measure import REQUEST, tree
from .errors import SetupError
from .postgres import free_port
from .process import Guarded, tail
from .server import OdooServer

CLIENT = Path(__file__).with_name("bench_client.py")
RUNNER = Path(__file__).with_name("bench_runner.py")
SERVER_WIDE = ("base", "rpc", "web", "queue_job")
# Seconds for the runner to be ready; it waits a few before it begins.
RUNNER_TIMEOUT = 120
STARTING = re.compile(r"(\d+) INFO .*queue_job\.jobrunner\.runner: starting")
READY = "queue job runner ready for db %s"


class BenchServer(OdooServer):
    """A serving Odoo whose cron stays off.

    :param name: of its log
    :param options: more of Odoo's
    """

    def __init__(
        self,
        odoo,
        database,
        name,
        *,
        workers=4,
        channels="root:4",
        job_workers=0,
        port=None,
        options=(),
        environment=None,
    ):
        super().__init__(
            odoo,
            database,
            port=port or free_port(),
            workers=workers,
            channels=channels,
            job_workers=job_workers,
            server_wide=SERVER_WIDE,
            environment=environment,
        )
        self.database = database
        self.log = odoo.cache.log("%s-%s" % (name, database))
        self._command += ["--max-cron-threads=0", *options]

    @property
    def pid(self):
        """The process above all of this server."""
        return self._process.pid

    def __exit__(self, *exc):
        if self._process is not None:
            super().__exit__(*exc)
            self._process = None

    @property
    def pids(self):
        return tree(self.pid)

    @property
    def runner_pid(self):
        """The process that runs the runner, None before it has begun."""
        found = STARTING.findall(self.text())
        return (
            int(found[-1]) if found and os.path.exists("/proc/%s" % found[-1]) else None
        )

    def text(self):
        return Path(self.log).read_text(errors="replace")

    def count_requests(self):
        """Return how many requests to run jobs were answered."""
        return len(REQUEST.findall(self.text()))

    def wait_until_runner_ready(self):
        """Return when the runner dispatches the database."""
        self.wait(
            lambda: READY % self.database in self.text(),
            RUNNER_TIMEOUT,
            "The runner is not ready after %d s.",
        )


class Client:
    """The process that delays jobs; each method of ``bench_client.Client`` is one here."""

    def __init__(self, odoo, database):
        self.log = odoo.cache.log("client-%s" % database)
        command = script(odoo, CLIENT, database)
        with open(self.log, "w") as log:
            self._process = Guarded(
                [*command, "--no-http", "--max-cron-threads=0"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=odoo.environment(ODOO_QUEUE_JOB_CHANNELS="root:0"),
            )

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._process.stop()
        self._process.popen.stdin.close()
        self._process.popen.stdout.close()

    def __getattr__(self, name):
        def ask(*args):
            self.send(name, *args)
            return self.receive()

        return ask

    def send(self, name, *args):
        """Begin a call whose answer ``receive`` returns."""
        stream = self._process.popen.stdin
        stream.write(json.dumps([name, *args]) + "\n")
        stream.flush()

    def receive(self):
        line = self._process.popen.stdout.readline()
        if not line:
            raise SetupError(
                "The process that delays jobs ended.\n%s" % tail(self.log),
                "The whole log is in %s." % self.log,
            )
        return json.loads(line)


def script(odoo, path, *arguments):
    """Return the command line of a script that parses Odoo's options itself."""
    python, _launcher, *options = odoo.command()
    return [python, path, *arguments, *options]
