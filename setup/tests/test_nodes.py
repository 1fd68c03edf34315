"""Two complete Odoo servers on one database, behind the proxy that the readme advises."""

import time
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
from _lib.nodes import Node, elected
from _lib.postgres import HOST, free_port
from _lib.proxy import Proxy, find_nginx
from _lib.waiting import wait_until

JOBS = 300
# Seconds of every third job, so that some are under way at any moment.
SLOW = 0.2
# Seconds until another runner is elected and has sent jobs.
TAKE_OVER = 10
# For all that is left then: dead jobs are looked for ten seconds after they were sent.
SETTLE = 60
ASKING = "jobrunner.runner: asking Odoo to run job"
UNFINISHED = "state NOT IN ('done', 'failed', 'cancelled')"


@unittest.skipUnless(find_nginx(), "nginx is not installed")
class TestNodes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        options = chaos_parser(add_options).parse_args([])
        cls.lab = cls.enter(make_lab(Cache.locate().make(), options, **UNSAFE))
        cls.database = cls.lab.database("nodes", ADDONS)
        ports = [free_port(), free_port()]
        cls.proxy = cls.enter(Proxy(find_nginx(), ports))
        cls.nodes = [
            Node(
                "node%d" % number,
                cls.lab.odoo,
                cls.database,
                port=port,
                workers=2,
                channels="root:4",
                environment={
                    "ODOO_QUEUE_JOB_HOST": HOST,
                    "ODOO_QUEUE_JOB_PORT": str(cls.proxy.port),
                },
            )
            for number, port in enumerate(ports, 1)
        ]
        for node in cls.nodes:
            cls.addClassCleanup(node.stop)
        cls.client = cls.enter(Client(cls.lab.odoo, cls.database))

    @classmethod
    def enter(cls, context):
        """Enter a context until the tests of this class are over."""
        value = context.__enter__()
        cls.addClassCleanup(context.__exit__, None, None, None)
        return value

    def setUp(self):
        if all(node.server is None for node in self.nodes):
            self.nodes[0].start()
            self.nodes[0].server.wait_until_ready()

    # Looking --------------------------------------------------------------------

    def query(self, statement, params=()):
        return self.lab.cluster.server.query(statement, params, self.database)

    def wait(self, condition, timeout):
        """Return how long it took until ``condition`` was true."""
        began = time.monotonic()
        logs = [str(log) for node in self.nodes for log in node.logs]
        wait_until(condition, timeout, lambda: AssertionError(logs))
        return time.monotonic() - began

    def elected(self):
        return elected(self.nodes, self.query)

    def other(self, node):
        return self.nodes[1 - self.nodes.index(node)]

    def sent(self, node):
        """Return how many jobs the runner of a node sent."""
        return node.server.text().count(ASKING)

    def left(self):
        ((count,),) = self.query("SELECT count(*) FROM queue_job WHERE " + UNFINISHED)
        return count

    # Doing ----------------------------------------------------------------------

    def start_all(self):
        """Return when both nodes serve, one runner is elected and the other stands by."""
        for node in self.nodes:
            if node.server is None:
                node.start()
        for node in self.nodes:
            node.server.wait_until_ready()
            self.wait(lambda node=node: node.server.runner_pid, 60)
        self.wait(self.elected, 30)

    def put_under_load(self):
        """Delay jobs that insert one number each; return when a third is done."""
        self.start_all()
        self.query("TRUNCATE queue_job, queue_job_bench CASCADE")
        numbers = iter(range(JOBS))
        blocks = []
        for first, second, third in zip(numbers, numbers, numbers, strict=True):
            blocks += [["quick", [first, second], 0], ["slow", [third], SLOW]]
        self.client.numbered(blocks, {"max_retries": 0})
        self.client.commit()
        self.wait(lambda: self.left() < JOBS * 2 / 3, 60)

    def assert_each_counted_once(self):
        self.wait(lambda: not self.left(), SETTLE)
        states = self.query("SELECT state, count(*) FROM queue_job GROUP BY state")
        self.assertEqual(states, [("done", JOBS)])
        numbers = self.query("SELECT number FROM queue_job_bench ORDER BY number")
        self.assertEqual([number for (number,) in numbers], list(range(JOBS)))

    # Tests ----------------------------------------------------------------------

    def test_elected_node_is_killed_under_load(self):
        self.put_under_load()
        dead = self.elected()
        heir = self.other(dead)
        sent = self.sent(heir)
        dead.kill()
        self.assertGreater(self.left(), JOBS / 3)
        seconds = self.wait(
            lambda: self.elected() is heir and self.sent(heir) > sent, TAKE_OVER
        )
        print("another node was elected and sent jobs after %.1f s" % seconds)
        # It comes back while the rest is done.
        dead.start()
        self.assert_each_counted_once()

    def test_other_node_is_killed_under_load(self):
        """nginx sends the requests again that this node does not answer any more."""
        self.put_under_load()
        runner = self.elected()
        self.other(runner).kill()
        self.assertGreater(self.left(), JOBS / 3)
        self.assert_each_counted_once()
        self.assertIs(self.elected(), runner)
        again = [path for _status, path, asked in self.proxy.requests() if asked[1:]]
        self.assertTrue(again)

    def test_world_cannot_run_jobs(self):
        for port, path, status in (
            (self.proxy.world_port, "/queue_job/runjob?job_uuid=x", 404),
            (self.proxy.world_port, "/queue_job/report_dead?job_uuid=x", 404),
            (self.proxy.world_port, "/queue_job/static/description/icon.png", 200),
            (self.proxy.world_port, "/web/health", 200),
            (self.proxy.port, "/queue_job/runjob?job_uuid=x", 200),
            (self.proxy.port, "/web/health", 404),
        ):
            with self.subTest(port=port, path=path):
                self.assertEqual(self.status(port, path), status)

    def status(self, port, path):
        request = urllib.request.Request("http://%s:%d%s" % (HOST, port, path))
        request.add_header("X-Odoo-Database", self.database)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status
        except urllib.error.HTTPError as error:
            return error.code


if __name__ == "__main__":
    unittest.main()
