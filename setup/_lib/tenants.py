"""``setup/tenants``: many databases on one server, most of which sleep, and what they cost.

Some real databases perform jobs; the others have only the tables that the runner reads: made
from a stripped template in a fraction of the time and room, and the same to the runner.
"""

import json
import re
import statistics
import subprocess
import time
from datetime import datetime
from pathlib import Path

from . import progress
from .bench import describe, make_lab
from .bench_measure import cpu, memory
from .bench_rows import ADDONS
from .bench_server import BenchServer, Client
from .databases import fresh_name
from .errors import SetupError

# Tables that the runner reads or writes.
TABLES = ("queue_job*", "ir_module_module", "ir_config_parameter")
# Of a database that sleeps: nothing was delayed there lately.
AGED = "UPDATE queue_job SET date_created = date_created - interval '1 day'"
# A copy of each job of a database, waiting, under another uuid.
COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
WHERE attrelid = 'queue_job'::regclass AND attnum > 0 AND NOT attisdropped
  AND attname NOT IN ('id', 'uuid', 'state', 'date_created', 'date_done', 'date_started',
                      'date_enqueued', 'worker_pid', 'retry', 'run_number', 'exec_time')
"""
COPY = """
INSERT INTO queue_job (uuid, state, date_created, retry, {columns})
SELECT gen_random_uuid()::text, 'pending', now() AT TIME ZONE 'UTC', 0, {columns}
FROM (SELECT * FROM queue_job ORDER BY id LIMIT 1) AS job, generate_series(1, {count})
"""
UNFINISHED = "SELECT count(*) FROM queue_job WHERE state NOT IN ('done', 'failed')"
# What a process of Odoo sends after the commit of a job.
WAKE = """
SELECT pg_notify('queue_job_wake', %(name)s) WHERE NOT EXISTS (
    SELECT FROM pg_locks lock JOIN pg_database ON pg_database.oid = lock.database
    WHERE lock.locktype = 'advisory' AND lock.granted AND pg_database.datname = %(name)s
      AND (lock.classid::bigint << 32) | lock.objid::bigint = 2293787760715711918
)
"""
CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name LIKE 'queue_job runner %%' OR application_name = 'odoo-' || %s
"""
ASKED = re.compile(r"^(\S+ \S+) .*: asking Odoo to run job (\S+) on db (\S+)", re.M)
# The sleeping databases that are woken, one after another.
WOKEN = 10
TIMEOUT = 300


def main(options, cache):
    """Measure and print; return 0 when the aims are reached."""
    settings = {"log_line_prefix": "%m [%p] %d %a ", "autovacuum_naptime": "10min"}
    with make_lab(cache, options, fsync="off", **settings) as lab:
        tenants = Tenants(lab, options)
        try:
            tenants.run()
        finally:
            tenants.close()
        document = {**describe(lab), **tenants.figures}
    print(json.dumps(document, indent=2))
    if options.json:
        Path(options.json).write_text(json.dumps(document, indent=2) + "\n")
    missed = [text for text, reached in tenants.aims() if not reached]
    print(
        "tenants: %s" % ("missed: %s" % "; ".join(missed) if missed else "aims reached")
    )
    return 1 if missed else 0


class TenantsServer(BenchServer):
    """Serves databases, however many."""

    def __init__(self, odoo, names, **options):
        super().__init__(odoo, "tenants", "serve", **options)
        self._command[self._command.index("-d") + 1] = ",".join(names)
        self._command.append("--db-filter=.")


class Tenants:
    """One run on a lab; ``figures`` by name."""

    def __init__(self, lab, options):
        self.lab = lab
        self.options = options
        self.figures = {"active": options.active, "sleeping": options.sleeping}
        self.server = self.client = None

    def close(self):
        for part in (self.client, self.server):
            if part is not None:
                part.__exit__(None, None, None)

    def run(self):
        first = self.lab.database("tenant", ADDONS)
        self._query(first, "UPDATE queue_job_channel SET capacity = NULL")
        with Client(self.lab.odoo, first) as client:
            client.loop(1)
            client.commit()
        # The job that the others are copies of; it is over.
        self._query(first, "UPDATE queue_job SET state = 'done'")
        self._query(first, AGED)
        stripped = self._stripped(first)
        with progress.step("Copying %d real databases" % self.options.active):
            self.quiet = self.lab.copy(first, "quiet")
            self.active = [first] + [
                self.lab.copy(first, "tenant%d" % number)
                for number in range(1, self.options.active)
            ]
        with progress.step("Measuring %d databases alone" % self.options.active):
            self._serve()
            self.figures["drain_alone"] = self._drain()
            self.server.__exit__()
        with progress.step("Making %d sleeping databases" % self.options.sleeping):
            self.sleeping = [
                self._sleeping(stripped, number)
                for number in range(self.options.sleeping)
            ]
        with progress.step("Waiting for the first visits"):
            began = time.monotonic()
            self._serve()
            self._keep_awake()
            self._wait_for_first_round()
            self.figures["first_round_seconds"] = round(time.monotonic() - began, 1)
        with progress.step("Measuring all of them, idle"):
            self._measure_idle()
        with progress.step("Waking dormant databases"):
            self._measure_real_wake()
            self._measure_wakes()
        with progress.step("Measuring the drain beside the sleeping ones"):
            self.figures["drain_beside"] = self._drain()

    def aims(self):
        """Yield each aim as a sentence, and whether it was reached."""
        found = self.figures
        yield "at most 15 connections of the runner", found["connections"] <= 15
        yield "at most 10 messages a second", found["messages_per_second"] <= 10
        yield "at most 2 % of a core", found["runner_cpu_percent"] <= 2
        yield "requests within 1 s of the commit", found["wake_seconds_max"] <= 1
        rate = found["drain_beside"] / found["drain_alone"]
        yield "0.9 of the rate with few databases", rate >= 0.9

    # Databases --------------------------------------------------------------

    def _query(self, database, statement, params=()):
        return self.lab.cluster.server.query(statement, params, database=database)

    def _stripped(self, source):
        """Return a template with the tables that the runner reads, without Odoo's others."""
        name = fresh_name("stripped")
        server = self.lab.cluster.server
        self._query("postgres", 'CREATE DATABASE "%s" TEMPLATE template0' % name)
        functions = self._query(
            source,
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname LIKE 'queue_job%%'"
            " AND pronamespace = 'public'::regnamespace",
        )
        dump = subprocess.run(
            [self.lab.binaries.folder / "pg_dump", "--no-owner", "--section=pre-data"]
            + ["--section=data", "--section=post-data", "--schema-only"]
            + [arg for table in TABLES for arg in ("-t", table)]
            + [source],
            env={**server.environment, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        if dump.returncode:
            raise SetupError("pg_dump failed: %s" % dump.stderr.strip())
        connection = server.connect(name)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET check_function_bodies = off")
                self._create(cursor, dump.stdout, functions)
                for table in ("ir_module_module", "ir_config_parameter"):
                    self._copy_rows(cursor, source, table)
        finally:
            connection.close()
        return name

    def _create(self, cursor, dump, functions):
        """Create tables, then functions over them, then what needs both."""
        text = "\n".join(
            line
            for line in dump.splitlines()
            if not line.startswith(("\\", "--", "SELECT pg_catalog.set_config"))
        )
        statements = [part.strip() for part in re.split(r";\n", text) if part.strip()]
        late = [part for part in statements if " TRIGGER " in part]
        for statement in statements:
            if statement not in late and "FOREIGN KEY" not in statement:
                cursor.execute(statement)
        for (function,) in functions:
            cursor.execute(function)
        for statement in late:
            cursor.execute(statement)

    def _copy_rows(self, cursor, source, table):
        rows = self._query(source, "SELECT to_jsonb(t) FROM %s t" % table)
        for (row,) in rows:
            cursor.execute(
                "INSERT INTO %s SELECT * FROM jsonb_populate_record(NULL::%s, %%s)"
                % (table, table),
                (json.dumps(row),),
            )

    def _sleeping(self, stripped, number):
        name = "%s_%04d" % (stripped, number)
        self._query("postgres", 'CREATE DATABASE "%s" TEMPLATE "%s"' % (name, stripped))
        return name

    # Measuring --------------------------------------------------------------

    def _serve(self):
        names = [*self.active, self.quiet, *getattr(self, "sleeping", ())]
        self.server = TenantsServer(
            self.lab.odoo,
            names,
            workers=self.options.workers,
            channels="root:%d" % self.options.workers,
        )
        self.server.__enter__()
        self.server.wait_until_ready()
        self.server.wait(lambda: self.server.runner_pid, 60)

    def _keep_awake(self):
        """Have a job due soon in each active database, which no worker has to perform."""
        for name in self.active:
            self._query(
                name, "UPDATE queue_job SET date_created = now() AT TIME ZONE 'UTC'"
            )

    def _wait_for_first_round(self):
        text = "queue job runner ready for db %s"
        self.server.wait(
            lambda: all(text % name in self.server.text() for name in self.active),
            TIMEOUT,
        )
        # So many visits a second are made after a start.
        time.sleep(len(self.sleeping) / 20 * 1.2)

    def _measure_idle(self):
        seconds = self.options.seconds
        runner = self.server.runner_pid
        cluster = self.lab.cluster
        cluster.set("log_statement", "all")
        log = Path(cluster.log)
        start, used = log.stat().st_size, cpu(runner)
        postgres = cpu(cluster.pid)
        connections = []
        for _number in range(seconds):
            time.sleep(1)
            connections += self._query("postgres", CONNECTIONS, (str(runner),))
        used, postgres = cpu(runner) - used, cpu(cluster.pid) - postgres
        with log.open(errors="replace") as lines:
            lines.seek(start)
            names = ("queue_job runner ", "odoo-%d " % runner)
            sent = sum(
                any(name in line for name in names)
                for line in lines
                if "statement: " in line or "execute " in line
            )
        cluster.set("log_statement", "none")
        self.figures.update(
            connections=max(count for (count,) in connections),
            messages_per_second=round(sent / seconds, 1),
            runner_cpu_percent=round(100 * used / seconds, 2),
            postgresql_cpu_percent=round(100 * postgres / seconds, 1),
            runner_megabytes=round(memory(runner)[0], 1),
        )

    def _measure_real_wake(self):
        """Delay the first job of a dormant database as an addon does."""
        with Client(self.lab.odoo, self.quiet) as client:
            client.loop(1)
            client.commit()
            committed = time.time()
            sent = self._sent_at(self.quiet, committed)
        self.figures["wake_seconds_real"] = round(sent - committed, 3)

    def _measure_wakes(self):
        times = []
        for name in self.sleeping[:: max(1, len(self.sleeping) // WOKEN)][:WOKEN]:
            columns = "model_name, method_name, channel, priority"
            self._query(
                name,
                "INSERT INTO queue_job (uuid, state, date_created, %s) VALUES"
                " (gen_random_uuid()::text, 'pending', now() AT TIME ZONE 'UTC',"
                " 'queue.job.bench', 'noop', 'root', 10)" % columns,
            )
            committed = time.time()
            self._query("postgres", WAKE, {"name": name})
            times.append(self._sent_at(name, committed) - committed)
            # No worker has a registry for it.
            self._query(name, "DELETE FROM queue_job")
        times.append(self.figures["wake_seconds_real"])
        self.figures["wake_seconds_median"] = round(statistics.median(times), 3)
        self.figures["wake_seconds_max"] = round(max(times), 3)

    def _sent_at(self, name, since):
        """Return when the first job of a database was sent, a UNIX time, from the log."""

        def found():
            for when, _uuid, db_name in ASKED.findall(self.server.text()):
                if db_name == name:
                    return datetime.strptime(
                        when.replace(",", ".") + "+0000", "%Y-%m-%d %H:%M:%S.%f%z"
                    ).timestamp()
            return None

        return self.server.wait(found, 60, "No job of %s was sent within %%d s." % name)

    def _drain(self):
        """Return the jobs per second of all active databases together."""
        self._warm_up()
        rates = []
        for _number in range(self.options.repeat):
            began = time.monotonic()
            self._copy_jobs(self.options.jobs)
            self._wait_until_done()
            jobs = self.options.jobs * len(self.active)
            rates.append(jobs / (time.monotonic() - began))
        return round(statistics.median(rates), 1)

    def _warm_up(self):
        """Have each worker load each registry."""
        self._copy_jobs(40)
        self._wait_until_done()

    def _copy_jobs(self, count):
        for name in self.active:
            ((columns,),) = self._query(name, COLUMNS)
            self._query(name, COPY.format(columns=columns, count=count))

    def _wait_until_done(self):
        def done():
            return all(self._query(name, UNFINISHED) == [(0,)] for name in self.active)

        self.server.wait(done, TIMEOUT, "Jobs are not done after %d s.")
