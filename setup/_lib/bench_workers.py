"""What job workers are worth: people beside busy jobs, and the jobs after a start."""

import contextlib
import statistics
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from .bench_measure import Watch
from .bench_server import BenchServer, Client
from .waiting import wait_until

# Web requests per second, and seconds of one measurement: 500 samples.
RATE, SECONDS = 50, 10
# Requests that may be under way at once: seconds of them where workers are busy.
THREADS = 100
PAGE = "/web/login"
SLOTS = 4
# Seconds of a job that waits by itself, of one whose statement waits, of one that computes.
SLEEP, STATEMENT, COMPUTE = 0.5, 0.05, 0.5
# Seconds after a start until the processes beside the workers have loaded as well.
SETTLE = 8
# Between two looks at a server that starts.
PAUSE = 0.01
PATIENCE = 120


class Web:
    """People: pages are asked for at fixed times, whether or not earlier ones were answered."""

    def __init__(self, server):
        self._server = server

    def late(self, seconds=SECONDS):
        """Return the 95th percentile of the seconds from when a page was due to its end."""
        began = time.monotonic()
        with ThreadPoolExecutor(THREADS) as pool:
            due = [began + number / RATE for number in range(int(seconds * RATE))]
            times = sorted(pool.map(self._ask, due))
        return times[int(len(times) * 0.95)]

    def _ask(self, due):
        time.sleep(max(0, due - time.monotonic()))
        request = urllib.request.Request(self._server.address + PAGE)
        request.add_header("X-Odoo-Database", self._server.database)
        while True:
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                    response.read()
                return time.monotonic() - due
            except ConnectionError:
                # Odoo ends connections that wait too long; people ask again.
                self._server.check()


class People:
    """Web requests beside an idle queue and beside a busy one, on one server.

    :param job_workers: of the server, 0 for none
    """

    def __init__(self, lab, database, job_workers):
        self._lab = lab
        self._database = database
        self._server = BenchServer(
            lab.odoo,
            database,
            "people",
            workers=SLOTS,
            channels="root:%d" % SLOTS,
            job_workers=job_workers,
        )

    def measure(self, turns):
        """Return the medians of ``idle``, ``wait`` and ``compute``, in seconds, by turns."""
        found = {"idle": [], "wait": [], "compute": []}
        with (
            self._server,
            Client(self._lab.odoo, self._database) as client,
            contextlib.closing(
                Watch(self._lab.cluster.server, self._database)
            ) as watch,
        ):
            self._server.wait_until_ready()
            self._server.wait_until_runner_ready()
            time.sleep(SETTLE)
            web = Web(self._server)
            web.late()
            for _turn in range(turns):
                found["idle"].append(web.late())
                for kind in ("wait", "compute"):
                    self._delay(client, kind)
                    self._wait_until_busy(watch)
                    found[kind].append(web.late())
                    watch.wait_until_drained(self._server.check, PATIENCE)
        return {name: statistics.median(times) for name, times in found.items()}

    def _delay(self, client, kind):
        """Delay jobs that keep each slot busy for longer than a measurement."""
        rounds = int((SECONDS + 1) * SLOTS)
        if kind == "compute":
            client.loop(int(rounds / COMPUTE), "compute", COMPUTE)
        else:
            client.loop(int(rounds / SLEEP / 2), "sleep", SLEEP)
            client.loop(int(rounds / STATEMENT / 2), "query", STATEMENT)
        client.commit()

    def _wait_until_busy(self, watch):
        wait_until(
            lambda: (
                watch.query("SELECT count(*) FROM queue_job WHERE state = 'started'")[
                    0
                ][0]
                >= SLOTS
            ),
            PATIENCE,
            lambda: TimeoutError("jobs do not start"),
        )


class Start:
    """The jobs after a start of a server with job workers."""

    def __init__(self, lab, database, jobs):
        self._lab = lab
        self._database = database
        self._jobs = jobs

    def measure(self, turns):
        """Return ``first_job`` in seconds, and the rates ``first`` and ``warm``: medians."""
        found = {"first_job": [], "first": [], "warm": []}
        with (
            Client(self._lab.odoo, self._database) as client,
            contextlib.closing(
                Watch(self._lab.cluster.server, self._database)
            ) as watch,
        ):
            for _turn in range(turns):
                client.loop(1)
                client.commit()
                with self._new_server() as server:
                    found["first_job"].append(self._first_job(server, watch))
                with self._new_server() as server:
                    server.wait_until_ready()
                    server.wait_until_runner_ready()
                    time.sleep(SETTLE)
                    rates = [self._drain(client, watch, server) for _n in range(4)]
                found["first"].append(rates[0])
                found["warm"].append(statistics.median(rates[1:]))
        return {
            name: statistics.median(values) for name, values in found.items()
        }, found

    def _new_server(self):
        return BenchServer(
            self._lab.odoo,
            self._database,
            "start",
            workers=SLOTS,
            channels="root:%d" % SLOTS,
            job_workers=SLOTS,
        )

    def _first_job(self, server, watch):
        """Return the seconds from the first answer by HTTP to the start of a job."""
        answered = []

        def ask():
            server.wait(server._answers, PATIENCE)
            answered.append(time.monotonic())

        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(
            lambda: (
                not watch.query("SELECT 1 FROM queue_job WHERE date_started IS NULL")
            ),
            PATIENCE,
            lambda: TimeoutError("the job does not start"),
            check=server.check,
            pause=PAUSE,
        )
        began = time.monotonic()
        asking.join()
        return began - answered[0]

    def _drain(self, client, watch, server):
        client.loop(self._jobs)
        began, _ended = client.commit()
        return self._jobs / (watch.wait_until_drained(server.check, PATIENCE) - began)
