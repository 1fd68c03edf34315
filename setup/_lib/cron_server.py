"""Odoo in prefork mode whose cron workers perform the jobs; for tests and figures."""

import contextlib
import os
import re
import signal
import subprocess
import threading

from .postgres import HOST, free_port
from .process import Guarded
from .server import Watched
from .shell import run_script
from .suite import NO_RUNNER, SERVER_WIDE

ADDON = "queue_job_cron_jobrunner"
START_TIMEOUT = 120


def cron_database(suite):
    """Give a fresh database with the addon, dropped at the end."""
    return suite.database("cron", [ADDON])


class CronServer(Watched):
    """A server whose cron workers perform the jobs of a database; use as a context manager.

    :param crons: runner crons, and cron workers unless ``workers`` says otherwise
    :param options: more arguments of Odoo
    """

    def __init__(self, odoo, database, *, crons, workers=None, options=()):
        self.odoo = odoo
        self.database = database
        self.log = odoo.cache.log(database)
        self._crons = crons
        self._workers = crons if workers is None else workers
        self._options = options
        self._waker = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exc):
        self.stop()

    # Serving ----------------------------------------------------------------

    def _command(self, *arguments, subcommand=()):
        return self.odoo.command(
            "-d",
            self.database,
            "--load=" + ",".join(SERVER_WIDE),
            *arguments,
            subcommand=subcommand,
        )

    def start(self):
        """Serve; return when all cron workers live."""
        self.log.unlink(missing_ok=True)
        with open(self.log, "w") as log:
            self._process = Guarded(
                self._command(
                    "--db-filter=^%s$" % self.database,
                    "--workers=1",
                    "--max-cron-threads=%d" % self._workers,
                    "--http-interface=" + HOST,
                    "--http-port=%d" % free_port(),
                    "--gevent-port=%d" % free_port(),
                    *self._options,
                ),
                grace=5,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.odoo.environment(**NO_RUNNER),
            )
        self.wait(lambda: len(self.cron_workers()) >= self._workers, START_TIMEOUT)

    def stop(self):
        """End the server and what wakes it."""
        self.wake_often(False)
        if self._process is not None:
            self._process.stop()
            self._process = None

    def cron_workers(self):
        """Return the process ids of the cron workers that live."""
        pids = map(
            int, re.findall(r"Worker WorkerCron \((\d+)\) alive", self.log.read_text())
        )
        return [pid for pid in pids if os.path.exists("/proc/%d" % pid)]

    def kill_cron_worker(self, pid):
        """End a worker as a crash does; fine if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def wake(self):
        """Notify the cron workers, as any traffic does."""
        self.odoo.server.query("SELECT pg_notify('cron_trigger', %s)", (self.database,))

    def wake_often(self, on=True, pause=0.3):
        """Notify the cron workers all the time, or no longer."""
        if self._waker:
            self._waker.set()
            self._waker = None
        if on:
            over = self._waker = threading.Event()

            def loop():
                while not over.wait(pause):
                    self.wake()

            threading.Thread(target=loop, daemon=True).start()

    # Data -------------------------------------------------------------------

    def query(self, statement, params=()):
        return self.odoo.server.query(statement, params, database=self.database)

    def count(self, condition):
        """Return how many jobs fulfil an SQL condition."""
        return self.query("SELECT count(*) FROM queue_job WHERE " + condition)[0][0]

    def trigger(self):
        """Make all runner crons ready and wake the workers."""
        self.query(
            "INSERT INTO ir_cron_trigger (cron_id, call_at)"
            " SELECT id, now() AT TIME ZONE 'UTC' FROM ir_cron WHERE queue_job_runner"
        )
        self.wake()

    def shell(self, script):
        """Run a script in ``odoo shell``; return what it gave to ``result(value)``."""
        prelude = (
            "env['res.config.settings'].create({'queue_job_cron_runners': %d}).execute()\n"
            "env.cr.commit()\n"
        ) % self._crons
        return run_script(
            self._command("--no-http", subcommand=["shell"]),
            prelude + script,
            str(self.log) + ".shell",
            self.odoo.environment(**NO_RUNNER),
        )
