"""A prefork server with job workers that are killed, reloaded, stopped, over their limits."""

import os
import re
import signal
import sys
import unittest
import urllib.error
import urllib.request

from _lib.bench import make_lab
from _lib.bench_options import chaos_parser
from _lib.bench_postgres import UNSAFE
from _lib.bench_rows import ADDONS
from _lib.bench_server import Client
from _lib.cache import Cache
from _lib.cli import add_options
from _lib.nodes import Node, kill
from _lib.postgres import HOST
from _lib.waiting import wait_until

JOBS = 120
JOB_WORKERS = 2
# Seconds of every third job, so that some are under way at any moment.
SLOW = 0.1
SETTLE = 60
BIN = os.path.dirname(sys.executable)
UNFINISHED = "state NOT IN ('done', 'failed', 'cancelled')"
ALIVE = re.compile(r"Worker JobWorker \((\d+)\) alive")
LISTENING = re.compile(r"job workers: listening on ([\d.]+):(\d+)")
# What a node of job workers alone is started with.
ALONE = ("--no-http", "--workers=1", "--max-cron-threads=0")
# Megabytes of address space: more than a worker needs, and less than it has after a leak.
SOFT_LIMIT, LEAK = 600, 400


class TestJobWorkers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        options = chaos_parser(add_options).parse_args([])
        cls.lab = cls.enter(make_lab(Cache.locate().make(), options, **UNSAFE))
        cls.database = cls.lab.database("job_workers", ADDONS)
        cls.client = cls.enter(Client(cls.lab.odoo, cls.database))

    @classmethod
    def enter(cls, context):
        """Enter a context until the tests of this class are over."""
        value = context.__enter__()
        cls.addClassCleanup(context.__exit__, None, None, None)
        return value

    def start(self, *options):
        """Start a node without channels: root has as many slots as there are job workers."""
        self.node = Node(
            "job-workers",
            self.lab.odoo,
            self.database,
            workers=1,
            channels="",
            job_workers=JOB_WORKERS,
            options=options,
            # A reload looks for Python by its name.
            environment={"PATH": os.pathsep.join([BIN, os.environ["PATH"]])},
        )
        self.addCleanup(self.node.stop)
        self.node.start()
        self.node.server.wait_until_runner_ready()

    # Looking --------------------------------------------------------------------

    def query(self, statement, params=()):
        return self.lab.cluster.server.query(statement, params, self.database)

    def wait(self, condition, timeout=SETTLE):
        wait_until(condition, timeout, lambda: AssertionError(self.node.logs))

    def left(self):
        ((count,),) = self.query("SELECT count(*) FROM queue_job WHERE " + UNFINISHED)
        return count

    def job_workers(self):
        """Return the process ids of all job workers so far."""
        return [int(pid) for pid in ALIVE.findall(self.node.server.text())]

    def addresses(self):
        return LISTENING.findall(self.node.server.text())

    def status(self, port, path):
        request = urllib.request.Request("http://%s:%s%s" % (HOST, port, path))
        request.add_header("X-Odoo-Database", self.database)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status
        except urllib.error.HTTPError as error:
            return error.code

    # Doing ----------------------------------------------------------------------

    def put_under_load(self, leaking=0):
        """Delay jobs that insert one number each; return when some are done.

        :param leaking: how many of them take their worker over its memory limit
        """
        self.query("TRUNCATE queue_job, queue_job_bench CASCADE")
        numbers = iter(range(JOBS))
        blocks = [["leaking", [next(numbers)], LEAK] for _job in range(leaking)]
        for number in numbers:
            blocks.append(
                ["quick", [number], 0] if number % 3 else ["slow", [number], SLOW]
            )
        self.client.numbered(blocks, {"max_retries": 0})
        self.client.commit()
        self.wait(lambda: self.left() < JOBS * 0.8)

    def reload(self):
        """Reload the server; return when the one before has ended."""
        # The first below the guard.
        main = sorted(self.node.server.pids - {self.node.server.pid})[0]
        os.kill(main, signal.SIGHUP)
        self.wait(lambda: "Old server stopped" in self.node.server.text())

    def assert_each_counted_once(self):
        self.wait(lambda: not self.left())
        states = self.query("SELECT state, count(*) FROM queue_job GROUP BY state")
        self.assertEqual(states, [("done", JOBS)])
        numbers = self.query("SELECT number FROM queue_job_bench ORDER BY number")
        self.assertEqual([number for (number,) in numbers], list(range(JOBS)))

    # Tests ----------------------------------------------------------------------

    def test_killed_and_reloaded_under_load(self):
        self.start()
        server = self.node.server
        server.wait_until_ready()
        self.wait(lambda: len(self.job_workers()) == JOB_WORKERS)
        workers = self.job_workers()
        nice = min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)
        self.wait(
            lambda: {os.getpriority(os.PRIO_PROCESS, pid) for pid in workers} == {nice}
        )
        (address,) = self.addresses()
        for port, path, status in (
            (server.port, "/queue_job/runjob?job_uuid=x", 404),
            (server.port, "/queue_job/report_dead?job_uuid=x", 404),
            (server.port, "/queue_job/warm_up", 404),
            (server.port, "/web/health", 200),
            (address[1], "/queue_job/runjob?job_uuid=x", 200),
            (address[1], "/queue_job/warm_up", 200),
            (address[1], "/web/health", 404),
        ):
            with self.subTest(port=port, path=path):
                self.assertEqual(self.status(port, path), status)

        self.put_under_load()
        kill(workers[0])
        self.assert_each_counted_once()
        self.wait(lambda: len(self.job_workers()) > JOB_WORKERS)
        performed = {pid for (pid,) in self.query("SELECT worker_pid FROM queue_job")}
        self.assertLessEqual(performed, set(self.job_workers()))

        self.put_under_load()
        self.reload()
        self.assert_each_counted_once()
        # The next server has the socket of the one before, so no request was refused.
        self.assertEqual(self.addresses(), [address, address])
        self.assertEqual(self.status(server.port, "/web/health"), 200)
        self.put_under_load()
        self.assert_each_counted_once()
        performed = {pid for (pid,) in self.query("SELECT worker_pid FROM queue_job")}
        self.assertLessEqual(performed, set(self.job_workers()[-JOB_WORKERS:]))

    def test_node_of_job_workers_stopped_reloaded_and_over_its_memory_limit(self):
        self.start(*ALONE, "--limit-memory-soft=%d" % (SOFT_LIMIT << 20))
        self.put_under_load(leaking=3)
        self.wait(lambda: "virtual memory limit" in self.node.server.text())
        self.node.stop()
        self.assertTrue(self.left())
        self.node.start()
        self.node.server.wait_until_runner_ready()
        self.reload()
        self.assert_each_counted_once()


if __name__ == "__main__":
    unittest.main()
