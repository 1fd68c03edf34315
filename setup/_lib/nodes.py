"""Several Odoo servers on one database, each of which may be killed and started again."""

import contextlib
import os
import signal

from .bench_server import BenchServer
from .postgres import free_port

# Election of the runner: the key of its advisory lock.
LOCK = 2293787760715711918
ELECTED = """
SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND (classid::bigint << 32) | objid::bigint = %s
"""


class Node:
    """One prefork server with its runner, on a port of its own.

    :param name: of its logs, one for each start
    :param options: of ``BenchServer``
    """

    def __init__(self, name, odoo, database, *, port=None, **options):
        self.name = name
        self.port = port or free_port()
        self.logs = []
        self.server = None
        self._odoo, self._database, self._options = odoo, database, options

    def start(self):
        """Start it, without waiting."""
        name = "%s%d" % (self.name, len(self.logs) + 1)
        self.server = BenchServer(
            self._odoo, self._database, name, port=self.port, **self._options
        )
        self.server.__enter__()
        self.logs.append(self.server.log)

    def kill(self):
        """Kill every process of it at once, as a loss of power does."""
        os.killpg(self.server.pid, signal.SIGKILL)
        self.stop()

    def stop(self):
        if self.server is not None:
            self.server.__exit__()
            self.server = None

    def workers(self):
        """Return the processes below the main one, the runner included."""
        if self.server is None:
            return []
        pids = self.server.pids - {self.server.pid}
        # The first below the guard is the one that starts the others.
        return sorted(pids)[1:]


def elected(nodes, query):
    """Return the node whose runner is elected, None if that cannot be told.

    :param query: runs a statement on the database and returns rows
    """
    names = [name for (name,) in query(ELECTED, (LOCK,))]
    for node in nodes:
        runner = node.server and node.server.runner_pid
        if runner and any(name.endswith(":%d" % runner) for name in names):
            return node
    return None


def kill(pid):
    """Kill a process; fine if it has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
