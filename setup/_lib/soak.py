"""``setup/soak``: a prefork server under load for long, and how it changes meanwhile.

First, unless told otherwise, one drain of many jobs that wait; then jobs at a steady rate, short
ones, longer ones and small graphs, each of which inserts one numbered row. Memory, rate and sizes
are noted every minute, in a file that is complete after each note.
"""

import csv
import json
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from . import progress
from .bench import describe, make_lab
from .bench_measure import Watch, memory
from .bench_rows import ADDONS
from .bench_server import BenchServer, Client
from .errors import SetupError

# Jobs come in blocks of this many: quick ones, slow ones, a graph.
QUICK, SLOW, GRAPH = 14, 2, 4
SLOW_SECONDS = 0.1
# Seconds between two commits of jobs.
TICK = 1
# Jobs of a drain that one call delays, so that it does not hold all of them.
PART = 1000
# Seconds for what is left at the end, and for each job of a drain.
SETTLE, EACH = 120, 0.3
MEGABYTE = 1024 * 1024
SIZES = """
SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class
WHERE relkind = 'r' AND relname IN ('queue_job', 'queue_job_lock')
"""
STATES = """
SELECT CASE WHEN state IN ('done', 'failed', 'cancelled') THEN state ELSE 'waiting' END, count(*)
FROM queue_job GROUP BY 1
"""


def main(options, cache):
    """Run and report; return 0 when every job counted once and the runner lived throughout."""
    output = Path(options.output or cache.log("soak.json"))
    with make_lab(cache, options) as lab:
        soak = Soak(lab, options, Notes(output, describe(lab)))
        try:
            problems = soak.run()
        finally:
            soak.close()
    summary = soak.notes.summary
    print(json.dumps(summary, indent=2))
    print("soak: %s" % ("; ".join(problems) if problems else "every job counted once"))
    progress.say("All samples are in %s." % output)
    return 1 if problems else 0


@dataclass
class Sample:
    """What was seen at one moment; memory and sizes in megabytes."""

    seconds: float
    jobs_done: int
    jobs_waiting: int
    # Since the sample before.
    jobs_per_second: float
    runner_pid: int
    runner_rss: float
    workers: int
    workers_rss: float
    largest_worker_rss: float
    table_size: float
    index_size: float
    lock_table_size: float


class Notes:
    """Samples and summary, in a file of JSON, or of CSV without the summary."""

    def __init__(self, path, about_it):
        self.path = path
        self.about = about_it
        self.samples = []
        self.summary = {}

    def add(self, sample):
        self.samples.append(sample)
        self.write()

    def write(self):
        rows = [asdict(sample) for sample in self.samples]
        with open(self.path, "w", newline="") as file:
            if self.path.suffix == ".csv":
                writer = csv.DictWriter(file, list(Sample.__annotations__))
                writer.writeheader()
                writer.writerows(rows)
            else:
                document = {**self.about, "summary": self.summary, "samples": rows}
                json.dump(document, file, indent=2)


def slope(points):
    """Return the slope of the straight line through points, by least squares."""
    mean_x = sum(x for x, _y in points) / len(points)
    mean_y = sum(y for _x, y in points) / len(points)
    square = sum((x - mean_x) ** 2 for x, _y in points)
    if not square:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / square


class Soak:
    """One run on a lab; ``run`` returns what went wrong."""

    def __init__(self, lab, options, notes):
        self.lab = lab
        self.options = options
        self.notes = notes
        self.delayed = 0
        self._parts = []

    def close(self):
        for part in reversed(self._parts):
            part.__exit__(None, None, None)
        self._parts = []

    def run(self):
        database = self.lab.database("soak", ADDONS)
        self.server = BenchServer(
            self.lab.odoo,
            database,
            "soak",
            workers=self.options.workers,
            channels="root:%d" % self.options.workers,
        )
        self.client = Client(self.lab.odoo, database)
        self._parts = [self.client, self.server]
        with progress.step("Starting Odoo"):
            self.server.__enter__()
            self.server.wait_until_ready()
            self.server.wait_until_runner_ready()
        self.watch = Watch(self.lab.cluster.server, database)
        self.began = time.monotonic()
        self._sample()
        if self.options.drain:
            self._drain()
            self._sample()
        drained = len(self.notes.samples) - 1
        try:
            self._load()
        except KeyboardInterrupt:
            progress.say("Interrupted: this is what there is.")
        problems = self._end()
        self._summarize(drained)
        return problems

    # Load -----------------------------------------------------------------------

    def _drain(self):
        jobs = self.options.drain
        with progress.step("Delaying %d jobs" % jobs):
            for start in range(0, jobs, PART):
                self.client.loop(min(PART, jobs - start))
        with progress.step("Draining them"):
            began, _committed = self.client.commit()
            ended = self.watch.wait_until_drained(self.server.check, 60 + jobs * EACH)
        seconds = ended - began
        self.notes.summary["drain"] = {
            "jobs": jobs,
            "seconds": round(seconds, 1),
            "jobs_per_second": round(jobs / seconds, 1),
            "runner_rss_before": self.notes.samples[0].runner_rss,
            "runner_rss_after": round(memory(self.server.runner_pid)[0], 1),
        }

    def _load(self):
        """Delay jobs at the rate asked for, and take samples, until the time is over."""
        began = time.monotonic()
        ends = began + self.options.minutes * 60
        next_sample = began + self.options.every
        while (now := time.monotonic()) < ends:
            self._delay(int((now - began) * self.options.rate) - self.delayed)
            self.server.check()
            if now >= next_sample:
                next_sample += self.options.every
                self._sample()
            time.sleep(max(0, min(ends, now + TICK) - time.monotonic()))

    def _delay(self, count):
        """Delay whole blocks of jobs, no more than ``count``."""
        size = QUICK + SLOW + GRAPH
        blocks = []
        for _block in range(count // size):
            numbers = list(range(self.delayed, self.delayed + size))
            blocks += [
                ["quick", numbers[:QUICK], 0],
                ["slow", numbers[QUICK : QUICK + SLOW], SLOW_SECONDS],
                ["graph", numbers[QUICK + SLOW :], 0],
            ]
            self.delayed += size
        if blocks:
            self.client.numbered(blocks, {})
            self.client.commit()

    def _end(self):
        """Wait for what is left, take the last sample, and return what is wrong."""
        problems = []
        try:
            self.watch.wait_until_drained(self.server.check, SETTLE)
        except TimeoutError as error:
            problems.append(str(error))
        self._sample()
        counts = Counter(
            count
            for (count,) in self.watch.query(
                "SELECT count(*) FROM queue_job_bench GROUP BY number"
            )
        )
        if counts != Counter({1: self.delayed} if self.delayed else {}):
            problems.append("numbers by how often they count: %s" % dict(counts))
        states = dict(self.watch.query(STATES))
        if set(states) - {"done"}:
            problems.append("states are %s" % states)
        pids = {sample.runner_pid for sample in self.notes.samples}
        if len(pids) > 1:
            problems.append("the runner was started again: processes %s" % pids)
        return problems

    # Looking --------------------------------------------------------------------

    def _sample(self):
        now = time.monotonic() - self.began
        runner = self.server.runner_pid
        if runner is None:
            raise SetupError(
                "The runner has ended.", "Odoo's log is in %s." % self.server.log
            )
        states = dict(self.watch.query(STATES))
        workers = [memory(pid)[0] for pid in self._workers(runner)]
        sizes = {name: sizes for name, *sizes in self.watch.query(SIZES)}
        done = states.get("done", 0)
        rate = 0.0
        if self.notes.samples:
            before = self.notes.samples[-1]
            rate = (done - before.jobs_done) / (now - before.seconds)
        sample = Sample(
            seconds=round(now, 1),
            jobs_done=done,
            jobs_waiting=states.get("waiting", 0),
            jobs_per_second=round(rate, 1),
            runner_pid=runner,
            runner_rss=round(memory(runner)[0], 1),
            workers=len(workers),
            workers_rss=round(sum(workers), 1),
            largest_worker_rss=round(max(workers, default=0), 1),
            table_size=round(sizes["queue_job"][0] / MEGABYTE, 2),
            index_size=round(sizes["queue_job"][1] / MEGABYTE, 2),
            lock_table_size=round(sum(sizes["queue_job_lock"]) / MEGABYTE, 2),
        )
        self.notes.add(sample)
        progress.say(
            "%7.0f s  %7d done, %4d wait, %6.1f /s; runner %.1f MB, workers %.1f MB;"
            " table %.1f MB, indexes %.1f MB"
            % (
                *(sample.seconds, sample.jobs_done, sample.jobs_waiting),
                *(sample.jobs_per_second, sample.runner_rss, sample.workers_rss),
                *(sample.table_size, sample.index_size),
            )
        )

    def _workers(self, runner):
        """Return the HTTP workers: below the main process, serving or idle."""
        main = min(self.server.pids - {self.server.pid})
        return [
            pid
            for pid in self.server.pids - {self.server.pid, main, runner}
            if _is_worker(pid)
        ]

    def _summarize(self, first):
        """Say how the runner's memory went from sample ``first`` on, when the load began."""
        loaded = self.notes.samples[first:]
        points = [(sample.seconds / 3600, sample.runner_rss) for sample in loaded]
        half = points[len(points) // 2 :]
        self.notes.summary.update(
            {
                "jobs_done": self.notes.samples[-1].jobs_done,
                "hours_of_load": round(points[-1][0] - points[0][0], 3),
                "runner_rss_first": points[0][1],
                "runner_rss_last": points[-1][1],
                "runner_rss_most": max(rss for _hour, rss in points),
                "runner_mb_per_hour": round(slope(points), 2),
                "runner_mb_per_hour_second_half": round(slope(half), 2),
                "workers_rss_first": loaded[0].workers_rss,
                "workers_rss_last": loaded[-1].workers_rss,
            }
        )
        self.notes.write()


def _is_worker(pid):
    """Tell whether a process of a prefork server is no program of its own, as the gevent one is."""
    try:
        arguments = Path("/proc/%d/cmdline" % pid).read_bytes().split(b"\0")
    except OSError:
        return False
    return b"gevent" not in arguments
