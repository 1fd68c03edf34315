"""``setup/chaos``: kill what runs jobs, at random, and count what the jobs did.

Two complete Odoo servers serve one database of one PostgreSQL, all of them this call's own. Every
job inserts one numbered row. While they run, workers, runners, the elected node and backends
are killed, and PostgreSQL is restarted once. In the end every number must be there exactly once.

Some jobs insert many numbers and commit each in a step: after a kill they go on behind the last.

Some jobs kill their own worker, at every try. First they run beside a few healthy jobs of another
channel, which must not wait for them; then among all others. They never count, and are never done.

A try that was killed is counted as a try: with ``--max-retries 0``, the default here, there is no
limit to them; with a limit, a job that is hit that often ends as failed, which is right, and
which this reports.
"""

import json
import random
import signal
import time
from collections import Counter

import psycopg2

from . import progress
from .bench import make_lab
from .bench_postgres import UNSAFE
from .bench_rows import ADDONS
from .bench_server import Client
from .errors import SetupError
from .nodes import Node, elected, kill

# The kills are spread over the jobs: the next one comes when so many jobs are done, or
# when that takes this long, in seconds. Some follow at once, into the recovery.
STALL = 10
AT_ONCE, AT_ONCE_PAUSE = 0.3, 0.5
SLOTS = 4
# Seconds of a long job.
SLOW_SECONDS = 0.15
# Share of the jobs that is done at the last kill.
LAST_KILL = 0.95
# Jobs come in blocks: short ones, which are run many at once, then long ones, which
# are mostly what is hit, then a small graph.
QUICK, SLOW, GRAPH = 16, 8, 6
# Numbers of a job that commits each of them in a step, and seconds of a step.
STEPS, STEP_SECONDS = 100, 0.05
# Tries of a job that kills its worker, and healthy jobs of another channel beside such jobs.
TRIES, HEALTHY = 5, 20
DEADLY_CHANNEL = "root.deadly"
# Of a hundred kills.
WEIGHTS = {"worker": 48, "backend": 38, "runner": 10, "node": 4}
# Seconds until a node that was killed is started again.
NODE_PAUSE = 3
# Seconds after which a drain that ought to have settled is given up.
PATIENCE = 120


def main(options, cache):
    """Run once; return 0 when every job counted once and in time."""
    with make_lab(cache, options, **UNSAFE) as lab:
        chaos = Chaos(lab, options)
        try:
            result = chaos.run()
        finally:
            chaos.close()
    for line in result.pop("events") if options.show else ():
        print(line)
    result.pop("events", None)
    print(json.dumps(result, indent=2))
    problems = result["problems"]
    print(
        "chaos: %s" % ("; ".join(problems) if problems else "every number exactly once")
    )
    if problems:
        progress.say("Odoo's logs: %s" % ", ".join(map(str, chaos.logs)))
    return 1 if problems else 0


class Chaos:
    """One run of jobs under kills; ``run`` returns what came of it."""

    def __init__(self, lab, options):
        self.lab = lab
        self.options = options
        self.random = random.Random(options.seed)
        self.kills = Counter()
        self.events = []
        self.nodes = []
        # When to start a node that was killed.
        self._start_at = {}
        self.began = time.monotonic()

    @property
    def logs(self):
        return [log for node in self.nodes for log in node.logs]

    def close(self):
        for node in self.nodes:
            node.stop()

    def run(self):
        self.database = self.lab.database("chaos", ADDONS)
        self.nodes = [
            Node(
                "chaos-" + name,
                self.lab.odoo,
                self.database,
                workers=self.options.workers,
                job_workers=self.options.job_workers,
                channels="root:%d,%s:%d" % (SLOTS, DEADLY_CHANNEL, SLOTS // 2),
            )
            for name in "ab"
        ]
        with progress.step("Starting two Odoo servers"):
            for node in self.nodes:
                node.start()
            for node in self.nodes:
                node.server.wait_until_ready()
            self._wait(lambda: self._elected() is not None, "no runner was elected")
        waited = self._wait_beside_deadly_jobs()
        self._delay(self._blocks(), max_retries=self.options.max_retries)
        with progress.step("Killing %d times" % self.options.kills):
            self.began = time.monotonic()
            self._kill_all()
            killed = time.monotonic()
        with progress.step("Letting it settle"):
            settled = self._settle()
        return self._judge(killed, settled, waited)

    # Jobs -----------------------------------------------------------------------

    def _delay(self, blocks, **properties):
        jobs = sum(len(numbers) for _kind, numbers, _seconds in blocks)
        with progress.step("Delaying %d jobs" % jobs):
            with Client(self.lab.odoo, self.database) as client:
                client.numbered(blocks, properties)
                client.commit()

    def _wait_beside_deadly_jobs(self):
        """Return the seconds until healthy jobs are done beside deadly ones, None if never."""
        if not self.options.deadly:
            return 0
        healthy = [["quick", [0] * HEALTHY, 0]]
        deadly = [["deadly", self._deadly_numbers(0), TRIES]]
        with Client(self.lab.odoo, self.database) as client:
            client.numbered(deadly, {"channel": DEADLY_CHANNEL})
            client.commit()
            # The first of them has died before the others come.
            self._wait(self._has_death, "no job killed its worker")
            client.numbered(healthy, {})
            client.commit()
        began = time.monotonic()
        with progress.step("Waiting for %d healthy jobs beside deadly ones" % HEALTHY):
            while time.monotonic() - began < max(PATIENCE, self.options.wait):
                if self._unfinished() == 0:
                    return time.monotonic() - began
                self._sleep(0.1)
        return None

    def _deadly_numbers(self, half):
        """Return the numbers, below 0, of the deadly jobs that run alone (0) or among others."""
        return list(
            range(-self.options.deadly * (half + 1), -self.options.deadly * half)
        )

    def _has_death(self):
        return self._query(
            "SELECT 1 FROM queue_job WHERE method_name = 'die' AND retry > 0"
        )

    def _blocks(self):
        """Return the jobs in their order; the deadly ones lie among the others."""
        blocks = self._healthy_blocks()
        for number in self._deadly_numbers(1):
            where = self.random.randrange(len(blocks) + 1)
            blocks.insert(where, ("deadly", [number], TRIES))
        # The first, so that they are hit.
        return [*self._blocks_in_steps(), *blocks]

    def _blocks_in_steps(self):
        jobs = self.options.jobs
        numbers = range(jobs + 1, jobs + self.options.in_steps + 1)
        return [
            ("steps", list(numbers[begin : begin + STEPS]), STEP_SECONDS)
            for begin in range(0, len(numbers), STEPS)
        ]

    def _healthy_blocks(self):
        numbers = list(range(1, self.options.jobs + 1))
        sizes = (("quick", QUICK), ("slow", SLOW), ("graph", GRAPH))
        blocks = []
        while numbers:
            for kind, size in sizes:
                part, numbers = numbers[:size], numbers[size:]
                if len(part) == 1 and kind == "graph":
                    kind = "quick"
                if part:
                    blocks.append((kind, part, SLOW_SECONDS))
        return blocks

    # Kills ----------------------------------------------------------------------

    def _kill_all(self):
        restart = None if self.options.no_restart else self.options.kills // 2
        for number in range(self.options.kills):
            self._wait_for_progress(number)
            if number == restart:
                self._restart_postgres()
                continue
            kinds, weights = zip(*WEIGHTS.items(), strict=True)
            while not getattr(
                self, "_kill_" + self.random.choices(kinds, weights)[0]
            )():
                self._sleep(0.1)

    def _wait_for_progress(self, number):
        if self.random.random() < AT_ONCE:
            self._sleep(self.random.uniform(0, AT_ONCE_PAUSE))
            return
        share = LAST_KILL * (number + self.random.random()) / self.options.kills
        deadline = time.monotonic() + STALL
        while time.monotonic() < deadline:
            left = self._unfinished()
            if 0 <= left <= self.options.jobs * (1 - share):
                return
            self._sleep(0.02)

    def _sleep(self, seconds):
        deadline = time.monotonic() + seconds
        while True:
            for node, start_at in list(self._start_at.items()):
                if time.monotonic() >= start_at:
                    del self._start_at[node]
                    node.start()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.2))

    def _note(self, kind, what):
        self.kills[kind] += 1
        self.events.append("%6.2f %s %s" % (time.monotonic() - self.began, kind, what))

    def _kill_worker(self):
        pids = [(pid, node) for node in self.nodes for pid in node.workers()]
        runners = {node.server.runner_pid for node in self.nodes if node.server}
        pids = [(pid, node) for pid, node in pids if pid not in runners]
        if not pids:
            return False
        pid, node = self.random.choice(pids)
        kill(pid)
        self._note("worker", "%d of node %s" % (pid, node.name))
        return True

    def _kill_runner(self):
        nodes = [node for node in self.nodes if node.server and node.server.runner_pid]
        if not nodes:
            return False
        # The elected one hurts more.
        elected = self._elected()
        node = elected if elected in nodes else self.random.choice(nodes)
        kill(node.server.runner_pid)
        self._note("runner", "of node %s" % node.name)
        return True

    def _kill_node(self):
        node = self._elected()
        # One is left to take over.
        if node is None or any(other.server is None for other in self.nodes):
            return False
        node.kill()
        self._start_at[node] = time.monotonic() + NODE_PAUSE
        self._note("node", node.name)
        return True

    def _kill_backend(self):
        rows = self._query(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' ORDER BY pid",
            (self.database,),
        )
        if not rows:
            return False
        (pid,) = self.random.choice(rows)
        self._query("SELECT pg_terminate_backend(%s)", (pid,))
        self._note("backend", str(pid))
        return True

    def _restart_postgres(self):
        how = self.random.choice((signal.SIGINT, signal.SIGQUIT))
        self._note("restart", signal.Signals(how).name)
        self.lab.cluster.stop(how)
        self._sleep(1)
        self.lab.cluster.start()

    def _elected(self):
        """Return the node whose runner is elected, None if that cannot be told."""
        return elected(self.nodes, self._query)

    # Outcome --------------------------------------------------------------------

    def _query(self, statement, params=()):
        """Return rows, none when the server is not there just now."""
        try:
            return self.lab.cluster.server.query(statement, params, self.database)
        except psycopg2.Error:
            return []

    def _wait(self, condition, otherwise, timeout=60):
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise SetupError(otherwise, "Logs: %s" % ", ".join(map(str, self.logs)))
            self._sleep(0.2)

    def _unfinished(self):
        rows = self._query(
            "SELECT count(*) FROM queue_job WHERE state NOT IN ('done', 'failed', 'cancelled')"
            " AND method_name <> 'die'"
        )
        return rows[0][0] if rows else -1

    def _states(self, sign):
        return self._query(
            "SELECT state, count(*) FROM queue_job WHERE method_name %s 'die'"
            " GROUP BY state" % sign
        )

    def _settle(self):
        """Return when all jobs that can end were over, None if they did not end."""
        deadline = time.monotonic() + max(PATIENCE, self.options.settle)
        self._left_at_last_kill = self._unfinished()
        while time.monotonic() < deadline:
            if self._unfinished() == 0:
                return time.monotonic()
            self._sleep(0.2)
        return None

    def _judge(self, killed, settled, waited):
        jobs = self.options.jobs
        # Healthy jobs beside deadly ones have the number 0.
        beside = HEALTHY if self.options.deadly else 0
        states = dict(self._states("<>"))
        deadly = dict(self._states("="))
        counts = dict(
            self._query("SELECT number, count(*) FROM queue_job_bench GROUP BY number")
        )
        healthy = counts.pop(0, 0)
        in_steps = self.options.in_steps
        lost = [n for n in range(1, jobs + in_steps + 1) if n not in counts]
        doubled = [number for number, count in counts.items() if count > 1]
        problems = []
        if lost:
            problems.append("%d never counted: %s" % (len(lost), lost[:10]))
        if doubled:
            problems.append("%d counted twice: %s" % (len(doubled), doubled[:10]))
        expected = jobs + beside + len(self._blocks_in_steps())
        if states != {"done": expected} or healthy != beside:
            problems.append("states are %s, beside deadly %d" % (states, healthy))
        if waited is None or waited > self.options.wait:
            problems.append(
                "healthy jobs waited more than %g s for deadly ones" % self.options.wait
            )
        if deadly.get("done") or min(counts, default=1) < 0:
            problems.append("a job that kills its worker counted: %s" % deadly)
        seconds = None if settled is None else settled - killed
        if seconds is None or seconds > self.options.settle:
            problems.append(
                "not settled within %g s of the last kill" % self.options.settle
            )
        tries = self._query(
            "SELECT retry, count(*) FROM queue_job WHERE method_name <> 'die'"
            " GROUP BY retry ORDER BY retry"
        )
        return {
            "jobs": jobs,
            "numbers_in_steps": in_steps,
            "seed": self.options.seed,
            "kills": dict(self.kills),
            "deadly": deadly,
            "healthy_beside_deadly_after": waited and round(waited, 1),
            "seconds_of_kills": round(killed - self.began, 1),
            "unfinished_at_last_kill": self._left_at_last_kill,
            "settled_after": seconds and round(seconds, 1),
            "tries": {str(tries_made): count for tries_made, count in tries},
            "problems": problems,
            "events": self.events,
        }
