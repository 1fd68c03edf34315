"""What a piece of work costs: processor time from /proc, transactions from PostgreSQL."""

import os
import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

from .waiting import wait_until

TICK = os.sysconf("SC_CLK_TCK")
# A backend tells its counts ten seconds after it became idle, at the latest.
STATISTICS_DELAY = 11
# Statements that frame a transaction and travel alone are not counted as messages.
BEGIN = re.compile(r"(BEGIN|START TRANSACTION)\b", re.IGNORECASE)
# One message ends a transaction and begins the next.
CHAIN = re.compile(r"\b(COMMIT|ROLLBACK) AND CHAIN\b", re.IGNORECASE)
END = re.compile(r"(COMMIT|END|ROLLBACK(?! TO))\b", re.IGNORECASE)
DURATION = re.compile(r" LOG:  duration: ([\d.]+) ms  (?:statement|execute \S+): (.*)")
REQUEST = re.compile(r'"(?:GET|POST) /queue_job/runjob')


def process_stats():
    """Return ``{pid: (parent, own seconds, seconds of children that ended)}``."""
    stats = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as stat:
                    values = stat.read().rpartition(")")[2].split()
            except OSError:
                continue
            user, system, ended_user, ended_system = map(int, values[11:15])
            own, ended = (user + system) / TICK, (ended_user + ended_system) / TICK
            stats[int(name)] = (int(values[1]), own, ended)
    return stats


def tree(root, stats=None):
    """Return the ids of a process and of all below it."""
    stats = stats or process_stats()
    found, level = {root}, {root}
    while level:
        level = {
            pid for pid, (parent, *_times) in stats.items() if parent in level
        } - found
        found |= level
    return found


def cpu(root):
    """Return the seconds that a process and all below it ever used, ended ones included."""
    stats = process_stats()
    return sum(sum(stats[pid][1:]) for pid in tree(root, stats) if pid in stats)


def memory(pid):
    """Return the resident memory of a process and its peak, in megabytes."""
    with open("/proc/%d/status" % pid) as status:
        values = dict(line.split(":", 1) for line in status if line.startswith("Vm"))
    return tuple(int(values[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


@dataclass
class Cost:
    """Sums over a piece of work."""

    seconds: float = 0.0
    odoo_cpu: float = 0.0
    runner_cpu: float = 0.0
    pg_cpu: float = 0.0
    transactions: int = 0
    requests: int = 0
    # None when they were not counted.
    messages: int | None = None
    # Count, and milliseconds, by statement.
    statements: Counter = field(default_factory=Counter)
    times: Counter = field(default_factory=Counter)

    def per_job(self, jobs):
        """Return the sums divided by a number of jobs."""
        return {
            one.name: getattr(self, one.name) / jobs
            for one in fields(self)
            if one.name not in ("statements", "times")
            and getattr(self, one.name) is not None
        }


class Meter:
    """Measures what one server and one database do while a block runs."""

    def __init__(self, cluster, database, server):
        self.cluster = cluster
        self.database = database
        self.server = server
        self.watch = Watch(cluster.server, database)

    def close(self):
        self.watch.close()

    @contextmanager
    def measure(self, transactions=True):
        """Give a ``Cost``, complete when the block is left.

        :param transactions: wait before and after until PostgreSQL has told them
        """
        cost = Cost()
        told, asked = 0, self.watch.asked
        if transactions:
            time.sleep(STATISTICS_DELAY)
            told, asked = self._transactions(), self.watch.asked
        before = self._sums()
        yield cost
        after = self._sums()
        cost.odoo_cpu, cost.runner_cpu, cost.pg_cpu, cost.requests = (
            new - old for new, old in zip(after, before, strict=True)
        )
        asked = self.watch.asked - asked
        if transactions:
            time.sleep(STATISTICS_DELAY)
            cost.transactions = self._transactions() - told - asked

    def _sums(self):
        runner = self.server.runner_pid
        return (
            cpu(self.server.pid),
            cpu(runner) if runner else 0.0,
            cpu(self.cluster.pid) - self.watch.cpu(),
            self.server.count_requests(),
        )

    def _transactions(self):
        # Asked in another database: this question is not counted.
        ((count,),) = self.cluster.server.query(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s",
            (self.database,),
        )
        return count


class Watch:
    """A connection that looks whether jobs are over; its own cost is known."""

    UNFINISHED = "state IN ('wait_dependencies', 'pending', 'enqueued', 'started')"

    def __init__(self, server, database):
        self._connection = server.connect(database)
        self.pid = self._connection.get_backend_pid()
        self.asked = 0

    def close(self):
        self._connection.close()

    def cpu(self):
        return process_stats()[self.pid][1]

    def query(self, statement, params=()):
        """Run one statement and return its rows."""
        self.asked += 1
        with self._connection.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

    def execute(self, statement):
        """Run one statement outside any row of figures."""
        self.query(statement)

    def commit_rate(self, count):
        """Return how many jobs' rows are updated a second, each in a transaction.

        What this machine and its disk can do, to compare machines by.
        """
        ids = self.query("SELECT id FROM queue_job ORDER BY id DESC LIMIT %s", (count,))
        began = time.monotonic()
        for row in ids:
            self.query("UPDATE queue_job SET exec_time = 0 WHERE id = %s", row)
        return len(ids) / (time.monotonic() - began)

    def wait_until_drained(self, check, timeout, condition="true", pause=0.02):
        """Wait until no job is left to do; return when that was seen.

        :param check: called now and then; raises when the server is gone
        """
        statement = "SELECT NOT EXISTS (SELECT FROM queue_job WHERE %s AND %s)" % (
            self.UNFINISHED,
            condition,
        )

        def failure():
            states = self.query("SELECT state, count(*) FROM queue_job GROUP BY state")
            return TimeoutError("jobs are not done after %d s: %s" % (timeout, states))

        wait_until(
            lambda: self.query(statement)[0][0],
            timeout,
            failure,
            check=check,
            pause=pause,
        )
        return time.monotonic()


class StatementLog:
    """Counts what a cluster does in one database, in its log, where it writes all of it."""

    def __init__(self, cluster, database):
        self.cluster = cluster
        self.mark = "] %s LOG:  duration" % database

    @contextmanager
    def count(self, cost, without=None):
        """Fill in messages, transactions and statements of a ``Cost``.

        :param without: a backend whose statements do not count
        """
        self.cluster.set("log_min_duration_statement", "0")
        start = os.path.getsize(self.cluster.log)
        try:
            yield
        finally:
            time.sleep(0.5)
            self.cluster.set("log_min_duration_statement", "-1")
        with open(self.cluster.log, errors="replace") as log:
            log.seek(start)
            self._read(log.read().splitlines(), cost, without)

    def _read(self, lines, cost, without):
        cost.messages = cost.transactions = 0
        # Backends that are in a transaction.
        inside = set()
        for backend, milliseconds, text in self._statements(lines):
            if backend == str(without):
                continue
            name = normalized(text)
            cost.statements[name] += 1
            cost.times[name] += milliseconds
            begins, ends = BEGIN.match(text), END.match(text)
            if CHAIN.search(text):
                cost.transactions += 1
                inside.add(backend)
            elif ends:
                inside.discard(backend)
            elif backend not in inside:
                cost.transactions += 1
                if begins:
                    inside.add(backend)
            if ";" in text or not begins and not ends:
                cost.messages += 1

    def _statements(self, lines):
        """Yield backend, milliseconds and text of each statement."""
        for number, line in enumerate(lines):
            match = DURATION.search(line) if self.mark in line else None
            if match:
                text = match[2]
                for more in lines[number + 1 : number + 6]:
                    if more[:1] != "\t":
                        break
                    text += " " + more.strip()
                yield (
                    line.split("[", 1)[1].split("]", 1)[0],
                    float(match[1]),
                    text.strip(),
                )


def normalized(statement):
    """Return a statement without its values, short."""
    text = re.sub(r"'(?:[^']|'')*'|\"[0-9a-f-]{36}\"", "?", statement)
    text = re.sub(r"\b\d+\b", "?", text)
    text = re.sub(r"\?(?:, ?\?)+", "?, ...", text)
    return " ".join(text.split())[:110]


class Sampler(threading.Thread):
    """Notes the memory of a process until stopped."""

    def __init__(self, pid, pause=0.05):
        super().__init__(daemon=True)
        self._pid, self._pause = pid, pause
        self._ended = threading.Event()
        self.samples = []

    def run(self):
        while not self._ended.wait(self._pause):
            try:
                self.samples.append((time.monotonic(), memory(self._pid)[0]))
            except (OSError, KeyError):
                return

    def stop(self):
        self._ended.set()
        self.join()
        return self.samples
