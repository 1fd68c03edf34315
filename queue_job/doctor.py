# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The doctor: checks of what the queue needs, each with a finding and advice.

``python3 -m odoo.addons.queue_job.doctor -c odoo.conf -d NAME [--json]`` prints them, and
ends with 0, with 1 when there are warnings, with 2 when a line is wrong. The overview shows
the same lines. Nothing is changed: a check reads, or sends a request that does nothing.
"""

import argparse
import contextlib
import json
import select
import sys
import time
import uuid
from typing import NamedTuple

import psycopg2

from odoo.sql_db import db_connect
from odoo.tools import LazyTranslate, config

from . import protocol
from .channels import ROOT, ChannelRecord
from .channels.settings import AppliedSettings, stated_by
from .configuration import default_root_capacity, job_workers
from .jobrunner.config import (
    channels_setting,
    connection_info_for,
    runner_settings,
)
from .jobrunner.connection import PG_ADVISORY_LOCK_ID
from .jobrunner.dispatch import Address, Request, ask, new_http_session
from .sql import statements as sql

# By its name, which it does not have as a command. English where no reader has a language.
_lt = LazyTranslate("odoo.addons.queue_job.doctor", default_lang="en_US")

OK, WARNING, ERROR = "ok", "warning", "error"
EXIT_CODES = {OK: 0, WARNING: 1, ERROR: 2}

# Seconds to wait for a notification, and for the answer of a worker.
NOTIFY_PATIENCE, REQUEST_PATIENCE = 3, 10
# Seconds by which clocks may differ; beyond the second one etas are plainly wrong.
CLOCK_DRIFT, CLOCK_ERROR = 2, 60
# Dead rows above which autovacuum is behind, and their share of the table.
MANY_DEAD, DEAD_SHARE = 50_000, 0.5
# Share of the time limit that the longest job may take.
LIMIT_SHARE = 0.8
# Seconds after which a snapshot keeps many dead rows from being removed.
OLD_SNAPSHOT = 3600


class Line(NamedTuple):
    """One check: what was looked at, what was found, what to do."""

    key: str
    level: str
    looked_at: object
    found: object
    advice: object = ""


class Doctor:
    """Checks of one database.

    :param cr: cursor that Odoo made; the checks read with it
    """

    def __init__(self, cr):
        self.cr = cr
        self.db_name = cr.dbname

    def examine(self):
        """Return the :class:`Line` of each check; one that cannot be made is wrong."""
        return [self._line(check) for check in self.checks()]

    def checks(self):
        """Return the checks in the order in which causes are looked for."""
        if not self.runner and self._one(sql.has_cron_runner)[0]:
            # The cron runner needs neither notifications nor requests.
            return [self.check_cron, *self._checks_of_database(), self.check_limits]
        return [
            self.check_server_wide,
            self.check_election,
            self.check_listen,
            self.check_worker,
            self.check_pooler,
            *self._checks_of_database(),
            self.check_capacity,
            self.check_limits,
        ]

    def _checks_of_database(self):
        return [
            self.check_triggers,
            self.check_indexes,
            self.check_clock,
            self.check_vacuum,
            self.check_snapshot,
        ]

    def _line(self, check):
        try:
            with _savepoint(self.cr):
                return check()
        except Exception as error:  # noqa: BLE001 a check that breaks is a finding
            key = check.__name__.removeprefix("check_")
            looked_at = _lt("The check itself")
            found = _lt("%(kind)s: %(error)s", kind=type(error).__name__, error=error)
            return Line(key, ERROR, looked_at, found, _lt("Read the log of Odoo."))

    def _rows(self, statement, **values):
        self.cr.execute(statement, values or None)
        return self.cr.fetchall()

    def _one(self, statement, **values):
        rows = self._rows(statement, **values)
        return rows[0] if rows else None

    @property
    def runner(self):
        """``(name, since, address)`` of the session that is elected, None without one."""
        high, low = PG_ADVISORY_LOCK_ID >> 32, PG_ADVISORY_LOCK_ID & 0xFFFFFFFF
        return self._one(sql.elected_runner, high=high, low=low)

    # Runner -----------------------------------------------------------------

    def check_cron(self):
        return Line(
            "cron",
            OK,
            _lt("Who performs the jobs"),
            _lt("Cron workers do (queue_job_cron_jobrunner); no runner is needed"),
        )

    def check_server_wide(self):
        modules = config["server_wide_modules"]
        modules = modules.split(",") if isinstance(modules, str) else modules
        looked_at = _lt("The option server_wide_modules")
        if "queue_job" in modules:
            return Line("server_wide", OK, looked_at, _lt("It names queue_job"))
        return Line(
            "server_wide",
            ERROR,
            looked_at,
            _lt("queue_job is missing: %s", ", ".join(modules)),
            _lt(
                "Add queue_job to server_wide_modules (option --load) and restart: "
                "the runner is started with the server."
            ),
        )

    def check_election(self):
        looked_at = _lt("The lock of the elected runner")
        runner = self.runner
        if runner:
            name = (runner[0] or "").removeprefix("queue_job runner ")
            return Line("election", OK, looked_at, _lt("Held by %s", name or "?"))
        return Line(
            "election",
            ERROR,
            looked_at,
            _lt("No runner is elected for %s", self.db_name),
            _lt(
                "Start a server that loads queue_job, whose channels do not begin with "
                "root:0, and whose db_name and dbfilter let this database pass."
            ),
        )

    def check_listen(self):
        """Send a notification as a job does, and wait for it as the runner does."""
        looked_at = _lt("A notification from Odoo's connection to the runner's")
        token = str(uuid.uuid4())
        with contextlib.closing(self._runner_connection()) as conn:
            with contextlib.closing(conn.cursor()) as cr:
                cr.execute(sql.listen_to_doctor)
            began = time.monotonic()
            self._notify(token)
            while (left := began + NOTIFY_PATIENCE - time.monotonic()) > 0:
                select.select([conn], [], [], left)
                conn.poll()
                if any(note.payload == token for note in conn.notifies):
                    took = round((time.monotonic() - began) * 1000)
                    found = _lt("It arrived after %s ms", took)
                    return Line("listen", OK, looked_at, found)
        return Line(
            "listen",
            ERROR,
            looked_at,
            _lt("It did not arrive within %s seconds", NOTIFY_PATIENCE),
            _lt(
                "The runner must reach PostgreSQL itself: set jobrunner_db_host and "
                "jobrunner_db_port past the pooler."
            ),
        )

    def _runner_connection(self):
        conn = psycopg2.connect(**connection_info_for(self.db_name))
        conn.autocommit = True
        return conn

    def _notify(self, token):
        with db_connect(self.db_name).cursor() as cr:
            cr.execute(sql.notify_doctor, {"token": token})

    def check_worker(self):
        """Ask a worker to check a signature, at the address to which jobs are sent."""
        settings = runner_settings()
        settings.pop("channel_config_string")
        address = Address(**settings)
        request = Request(
            self.db_name, (str(uuid.uuid4()),), self._secret(), protocol.PING_PATH
        )
        with new_http_session(address) as http:
            answer = ask(http, address, request, timeout=REQUEST_PATIENCE)
        place = f"{address.scheme}://{address.host_name}:{address.port}"
        looked_at = _lt("A signed request to a worker at %s", place)
        if answer.report is None:
            found = _lt("%(kind)s: %(error)s", kind=answer.kind, error=answer.error)
            advice = answer.hint or _lt("Are all workers busy?")
            return Line("worker", ERROR, looked_at, found, advice)
        if [outcome for _uuid, outcome, _seconds in answer.report.outcomes] != [
            protocol.DONE
        ]:
            return Line(
                "worker",
                ERROR,
                looked_at,
                _lt("A worker answered, and refused the signature"),
                _lt(
                    "The address serves another database of this name, or a proxy "
                    "removes the header %s.",
                    protocol.SIGNATURE_HEADER,
                ),
            )
        return Line("worker", OK, looked_at, _lt("A worker answered"))

    def _secret(self):
        row = self._one(sql.secret)
        return row and row[0]

    def check_pooler(self):
        """A pooler gives its clients process numbers of its own."""
        looked_at = _lt("The runner's way to PostgreSQL")
        with contextlib.closing(self._runner_connection()) as conn:
            with contextlib.closing(conn.cursor()) as cr:
                cr.execute(sql.backend_pid)
                answered = cr.fetchone()[0]
            if answered == conn.get_backend_pid():
                return Line("pooler", OK, looked_at, _lt("No pooler in between"))
        return Line(
            "pooler",
            WARNING,
            looked_at,
            _lt("A pooler is in between"),
            _lt(
                "Set jobrunner_db_host and jobrunner_db_port to PostgreSQL itself: a pooler "
                "passes neither notifications nor the lock of the election on."
            ),
        )

    # Database ---------------------------------------------------------------

    def check_triggers(self):
        looked_at = _lt("The triggers that notify the runner")
        missing = [name for name, _function in self._rows(sql.missing_triggers)]
        if not missing:
            return Line("triggers", OK, looked_at, _lt("All are there"))
        return Line(
            "triggers",
            ERROR,
            looked_at,
            _lt("Missing or disabled: %s", ", ".join(missing)),
            _lt("Update the module (-u queue_job), or restart the runner."),
        )

    def check_indexes(self):
        looked_at = _lt("The indexes of the queue's tables")
        invalid = [name for (name,) in self._rows(sql.invalid_indexes)]
        if not invalid:
            return Line("indexes", OK, looked_at, _lt("All are valid"))
        return Line(
            "indexes",
            ERROR,
            looked_at,
            _lt("Invalid: %s", ", ".join(invalid)),
            _lt("Build them again in PostgreSQL: REINDEX INDEX CONCURRENTLY name."),
        )

    def check_clock(self):
        looked_at = _lt("The clock of PostgreSQL against that of this machine")
        before = time.time()
        (theirs,) = self._one(sql.clock_of_database)
        drift = theirs - (before + time.time()) / 2
        if abs(drift) <= CLOCK_DRIFT:
            found = _lt("They differ by less than %s seconds", CLOCK_DRIFT)
            return Line("clock", OK, looked_at, found)
        return Line(
            "clock",
            ERROR if abs(drift) > CLOCK_ERROR else WARNING,
            looked_at,
            _lt("They differ by %s seconds", round(drift)),
            _lt(
                "Synchronize both machines (NTP): jobs with a date start that much off."
            ),
        )

    def check_vacuum(self):
        looked_at = _lt("Dead rows of the table of jobs, and autovacuum")
        is_on, dead, live = self._one(sql.vacuum_of_jobs)
        if not is_on:
            return Line(
                "vacuum",
                ERROR,
                looked_at,
                _lt("Autovacuum is off; %s rows are dead", dead),
                _lt(
                    "Switch autovacuum on, for the server and for the table queue_job."
                ),
            )
        if dead > max(MANY_DEAD, DEAD_SHARE * live):
            return Line(
                "vacuum",
                WARNING,
                looked_at,
                _lt("%(dead)s dead rows beside %(live)s others", dead=dead, live=live),
                _lt(
                    "Look at the oldest snapshot below: vacuum waits for it. Else run "
                    "VACUUM queue_job, and let autovacuum work more often."
                ),
            )
        return Line("vacuum", OK, looked_at, _lt("%s rows are dead", dead))

    def check_snapshot(self):
        looked_at = _lt("The oldest snapshot in the database")
        row = self._one(sql.oldest_snapshot)
        age = time.time() - row[0] if row and row[0] else 0
        if not row or age <= OLD_SNAPSHOT:
            found = _lt("It is %s seconds old", max(round(age), 0))
            return Line("snapshot", OK, looked_at, found)
        _since, pid, program, job = row
        return Line(
            "snapshot",
            WARNING,
            looked_at,
            _lt(
                "It is %(hours)s hours old: process %(pid)s of PostgreSQL (%(program)s), "
                "job %(job)s",
                hours=round(age / 3600, 1),
                pid=pid,
                program=program or "?",
                job=job or "-",
            ),
            _lt(
                "No dead row is removed that is younger. Make that job shorter, or end the "
                "session if nothing uses it."
            ),
        )

    # Sizes ------------------------------------------------------------------

    def check_capacity(self):
        looked_at = _lt("The capacity of the root channel against the workers")
        capacity, workers = self._root_capacity(), config["workers"]
        own_workers = job_workers()
        if own_workers:
            found = _lt(
                "%(capacity)s jobs at once, %(workers)s job workers",
                capacity=capacity or "∞",
                workers=own_workers,
            )
            if capacity and capacity <= own_workers:
                return Line("capacity", OK, looked_at, found)
            advice = _lt(
                "Set the capacity of root to the number of job workers of all nodes together."
            )
            return Line("capacity", WARNING, looked_at, found, advice)
        if not workers:
            found = _lt("%s jobs at once; the server is threaded", capacity or "∞")
            return Line("capacity", OK, looked_at, found)
        found = _lt(
            "%(capacity)s jobs at once, %(workers)s workers",
            capacity=capacity or "∞",
            workers=workers,
        )
        if capacity and capacity < workers:
            return Line("capacity", OK, looked_at, found)
        return Line(
            "capacity",
            WARNING,
            looked_at,
            found,
            _lt(
                "Leave workers for people: set the capacity of root below the number of "
                "workers of all nodes together."
            ),
        )

    def _root_capacity(self):
        records = [ChannelRecord(*row) for row in self._rows(sql.channel_records)]
        stated = stated_by(channels_setting() or "")
        return (
            AppliedSettings(stated, records, default_root_capacity()).of(ROOT).capacity
        )

    def check_limits(self):
        limit = config["limit_time_real"]
        looked_at = _lt("limit_time_real against the longest job of the last day")
        function, seconds = self._one(sql.longest_job) or ("", 0)
        found = _lt(
            "%(seconds)s seconds (%(function)s), the limit is %(limit)s",
            seconds=round(seconds or 0),
            function=function or "-",
            limit=limit,
        )
        if not config["workers"] or not limit or (seconds or 0) <= limit * LIMIT_SHARE:
            return Line("limits", OK, looked_at, found)
        return Line(
            "limits",
            WARNING,
            looked_at,
            found,
            _lt(
                "A worker is killed at its limit, and its job runs again: raise "
                "limit_time_real, or make the job shorter."
            ),
        )


@contextlib.contextmanager
def _savepoint(cr):
    """Undo a check that fails, so that the others can read."""
    with cr.savepoint(flush=False):
        yield


def worst(lines):
    """Return the worst level of some lines."""
    return max((line.level for line in lines), key=EXIT_CODES.get, default=OK)


def as_text(lines):
    """Return lines as people read them in a terminal."""
    texts = []
    for line in lines:
        texts.append(f"[{line.level}] {line.key}: {line.looked_at}")
        texts.append(f"    {line.found}")
        if line.advice:
            texts.append(f"    -> {line.advice}")
    return "\n".join(texts)


def as_json(lines):
    return json.dumps(
        [{k: str(v) for k, v in line._asdict().items()} for line in lines]
    )


def new_parser():
    """Return the parser of the command's options."""
    parser = argparse.ArgumentParser(prog="odoo.addons.queue_job.doctor")
    parser.add_argument("-c", "--config", help="configuration file of Odoo")
    parser.add_argument("-d", "--database", required=True)
    parser.add_argument("--json", action="store_true")
    return parser


def main(arguments=None):
    """Examine a database, print the lines, return the exit code."""
    options = new_parser().parse_args(arguments)
    stated = ["-c", options.config] if options.config else []
    config.parse_config([*stated, "-d", options.database], setup_logging=False)
    with db_connect(options.database).cursor() as cr:
        lines = Doctor(cr).examine()
        cr.rollback()
    sys.stdout.write((as_json if options.json else as_text)(lines) + "\n")
    return EXIT_CODES[worst(lines)]


if __name__ == "__main__":
    sys.exit(main())
