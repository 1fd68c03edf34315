"""``setup/run``: a running Odoo with real jobs done by its workers."""

import os
import signal
import time
from pathlib import Path

from . import progress
from .bootstrap import REPO
from .cache import digest
from .errors import SetupError
from .locks import FileLock
from .process import last_words, tail
from .server import OdooServer, choose_port
from .suite import SERVER_WIDE, Suite, choose_addons, find_addons

DEMO_FOLDER = REPO / "setup" / "demo_addon"
DEMO_ADDON = "queue_job_demo"
ENQUEUE = Path(__file__).with_name("enqueue.py")
# Path of the page that the printed address opens.
OVERVIEW = "/odoo/job-queue"
# Seconds for all jobs of the demonstration: they take a second or two.
JOBS_TIMEOUT = 120
# Seconds between two looks at the jobs.
POLL = 0.3
UNFINISHED = ("wait_dependencies", "pending", "enqueued", "started")


def main(options, cache):
    """Serve until Ctrl-C, or with ``--once`` until the jobs are done; return the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    options.addons_path.append(DEMO_FOLDER)
    mine = FileLock(cache.root / ("run-%s.lock" % options.database))
    if not mine.acquire(wait=False):
        raise SetupError(
            "Another setup/run serves the database %s." % options.database,
            "Stop it, or choose another one with --database.",
        )
    suite = Suite.provision(cache, options)
    available = find_addons([REPO, *suite.odoo.addons_paths[1:]])
    addons = choose_addons(available, [*options.addons.split(","), DEMO_ADDON])
    server_wide = [*SERVER_WIDE, "queue_job"]
    if options.fresh:
        suite.databases.drop(options.database)
    Installation(suite, options.database, addons).ensure()
    with OdooServer(
        suite.odoo,
        options.database,
        port=choose_port(options.port),
        workers=options.workers,
        job_workers=options.job_workers,
        channels=options.channels,
        server_wide=server_wide,
    ) as server:
        with progress.step(
            "Starting Odoo with %d workers and %d job workers"
            % (options.workers, options.job_workers)
        ):
            server.wait_until_ready()
        Demonstration(suite, options.database, server).run()
        if not options.once:
            _serve(server, options.database)
    return 0


def _interrupt(*_args):
    raise KeyboardInterrupt


def _serve(server, database):
    progress.say(
        "\nOdoo serves %s%s\n"
        "  database %s, login admin, password admin\n"
        "  log      %s\n"
        "Ctrl-C stops it." % (server.address, OVERVIEW, database, server.log)
    )
    try:
        with progress.rest():
            while True:
                server.check()
                time.sleep(0.5)
    except KeyboardInterrupt:
        progress.say("\nStopping.")


class Installation:
    """The database of ``setup/run``: made once, updated when the addons' files changed."""

    def __init__(self, suite, database, addons):
        self.suite = suite
        self.database = database
        self.addons = addons
        self._mark = suite.cache.root / ("run-%s.installed" % database)

    def ensure(self):
        """Return with all addons installed as their files are now.

        A new database gets its name when it is complete; one that exists is updated in
        place, and is the caller's: never dropped.
        """
        databases = self.suite.databases
        code = self._code()
        if not databases.exists(self.database):
            partial = self.database + "_partial"
            databases.drop(partial)
            databases.clone(self.suite.template, partial)
            self._install(partial, "-i")
            databases.rename(partial, self.database)
        elif set(self.addons) - databases.installed(self.database, self.addons):
            self._install(self.database, "-i")
        elif not self._mark.exists() or self._mark.read_text() != code:
            self._install(self.database, "-u")
        self._mark.write_text(code)

    def _code(self):
        """Return what changes when a file of the addons does."""
        files = [
            path
            for folder in (REPO, *self.suite.odoo.addons_paths)
            for addon in self.addons
            for path in sorted((Path(folder) / addon).rglob("*"))
            if path.is_file() and path.suffix != ".pyc"
        ]
        states = [(path, path.stat()) for path in files]
        return digest(*((p, s.st_mtime_ns, s.st_size) for p, s in states))

    def _install(self, database, option):
        log = self.suite.cache.log("install-%s" % database)
        log.unlink(missing_ok=True)
        with progress.step(
            "Installing %s" % ", ".join(self.addons), lambda: last_words(log)
        ):
            self.suite.load(
                database,
                self.addons,
                option,
                log=log,
                hint="Try --fresh, which drops the database. The log is %s." % log,
            )
        missing = set(self.addons) - self.suite.databases.installed(
            database, self.addons
        )
        if missing:
            raise SetupError(
                "Not installed: %s.\n%s" % (", ".join(sorted(missing)), tail(log)),
                "The whole log is in %s." % log,
            )


class Demonstration:
    """A few jobs on partners: delayed by one process, done by others, judged in the database."""

    def __init__(self, suite, database, server):
        self.suite = suite
        self.database = database
        self.server = server

    def run(self):
        """Delay the jobs, wait until they are done, and prove who did them."""
        with progress.step("Delaying jobs on partners"):
            pid, jobs = self._enqueue()
        with progress.step("Waiting for %d jobs" % len(jobs)):
            rows = self._wait(jobs)
        self._judge(rows, jobs, {pid, os.getpid()})

    def _enqueue(self):
        """Delay the jobs in an ``odoo shell``; return its process id and {uuid: description}."""
        stored = self.suite.shell(self.database, ENQUEUE.read_text())
        return stored["pid"], stored["jobs"]

    def _wait(self, jobs):
        """Return the rows of the jobs when none is unfinished."""
        deadline = time.monotonic() + JOBS_TIMEOUT
        shown = None
        while True:
            self.server.check()
            rows = self._rows(jobs)
            open_jobs = [row for row in rows if row["state"] in UNFINISHED]
            counts = (len(rows) - len(open_jobs), len(rows))
            if counts != shown:
                progress.say("    %d of %d jobs are through" % counts)
                shown = counts
            if rows and not open_jobs:
                return rows
            if time.monotonic() > deadline:
                raise SetupError(
                    "Jobs are not done after %d s: %s.\n%s"
                    % (
                        JOBS_TIMEOUT,
                        ", ".join("%(uuid)s %(state)s" % row for row in open_jobs),
                        tail(self.server.log),
                    ),
                    "The whole log is in %s." % self.server.log,
                )
            time.sleep(POLL)

    def _rows(self, jobs):
        columns = ("uuid", "state", "retry", "worker_pid", "exc_info", "date_done")
        found = self.suite.server.query(
            "SELECT %s FROM queue_job WHERE uuid = ANY(%%s) ORDER BY id"
            % ", ".join(columns),
            (list(jobs),),
            database=self.database,
        )
        return [dict(zip(columns, row, strict=True)) for row in found]

    def _judge(self, rows, jobs, others):
        """Show the jobs; raise SetupError unless they ran as promised.

        :param others: processes that must not have performed a job.
        """
        for row in rows:
            print(
                "%-9s try %s  process %-8s %s"
                % (row["state"], row["retry"], row["worker_pid"], jobs[row["uuid"]])
            )
        problems = [
            "%s is %s: %s" % (jobs[row["uuid"]], row["state"], row["exc_info"])
            for row in rows
            if row["state"] != "done"
        ]
        if len(rows) != len(jobs):
            problems.append("%d of %d jobs are stored" % (len(rows), len(jobs)))
        workers = {row["worker_pid"] for row in rows}
        if not all(workers) or workers & others:
            problems.append("a job was not performed by a worker of Odoo")
        steps = [r for r in rows if jobs[r["uuid"]].startswith("Step ")]
        steps.sort(key=lambda row: jobs[row["uuid"]])
        ends = [row["date_done"] for row in steps]
        if not problems and ends != sorted(ends):
            problems.append("the steps of the chain were done out of order")
        if not any((row["retry"] or 0) > 1 for row in rows):
            problems.append("no job was retried")
        if problems:
            raise SetupError(
                "The jobs did not run as they should:\n  " + "\n  ".join(problems),
                "Odoo's log is in %s." % self.server.log,
            )
        print(
            "%d jobs done by worker processes %s; delayed by process %s."
            % (
                len(rows),
                ", ".join(map(str, sorted(workers))),
                ", ".join(map(str, sorted(others - {os.getpid()}))),
            ),
            flush=True,
        )
