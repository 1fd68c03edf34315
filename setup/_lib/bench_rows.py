"""The rows of figures: what each needs and does."""

import statistics
import subprocess
import time
from pathlib import Path

from . import progress
from .bench_figures import figure
from .bench_measure import Cost, Meter, Sampler, StatementLog, Watch, memory, tree
from .bench_server import READY, RUNNER, BenchServer, Client, script
from .bench_workers import People, Start
from .cron_figures import measure as measure_cron
from .errors import SetupError
from .process import Guarded, tail
from .waiting import wait_until

ADDONS = ("queue_job", "queue_job_bench")
# Seconds for a drain, per job and at least: OCA needs a fifth of a second in graphs.
DRAIN_SECONDS, DRAIN_LEAST = 0.3, 120
WARM_UP = 400
# The 95th percentile of a page beside busy jobs, of that beside an idle queue.
MOST_BESIDE_JOBS = 1.1
# Never with their dependencies, which would bring OCA's queue_job.
CONNECTOR = (
    "pip install --no-deps --target FOLDER odoo-addon-component"
    " odoo-addon-component-event odoo-addon-connector, cachetools beside Odoo, then"
    " --addons-path FOLDER/odoo/addons"
)


class Bench:
    """The rows on one lab; parts that several rows share are made when first needed."""

    def __init__(self, lab, options):
        self.lab = lab
        self.options = options
        self.figures = []
        self.details = {}
        self._server = None
        self._client = None
        self._meter = None
        self._installed = None

    # Parts --------------------------------------------------------------------

    @property
    def installed(self):
        """A database with the addons that nobody uses, to copy from."""
        if self._installed is None:
            self._installed = self.lab.database("bench", ADDONS)
        return self._installed

    def close(self):
        for part in (self._meter, self._client, self._server):
            if part is not None:
                part.close() if part is self._meter else part.__exit__()
        self._meter = self._client = self._server = None

    def _start(self):
        """Start server and client on a fresh database, and let each worker run jobs."""
        if self._server is not None:
            return
        database = self.lab.copy(self.installed, "bench")
        channels = "root:%d,root.slow:1" % self.options.workers
        self._server = BenchServer(
            self.lab.odoo,
            database,
            "bench",
            workers=self.options.workers,
            channels=channels,
        )
        with progress.step("Starting Odoo"):
            self._server.__enter__()
            self._server.wait_until_ready()
            self._client = Client(self.lab.odoo, database)
            self._meter = Meter(self.lab.cluster, database, self._server)
            self._server.wait_until_runner_ready()
            self._client.loop(WARM_UP)
            self._client.commit()
            self._drained(WARM_UP)

    def _drained(self, jobs, condition="true"):
        timeout = max(DRAIN_LEAST, jobs * DRAIN_SECONDS)
        return self._meter.watch.wait_until_drained(
            self._server.check, timeout, condition
        )

    def _add(self, name, value, **options):
        self.figures.append(figure(name, value, **options))

    # Rows ---------------------------------------------------------------------

    def drain(self):
        """Drain no-op jobs that wait: rate, transactions, processor time, queries."""
        self._start()
        jobs = self.options.jobs
        costs = [self._drain(jobs) for _number in range(self.options.repeat)]
        costs.sort(key=lambda cost: cost.seconds)
        median = costs[len(costs) // 2]
        each = {
            name: statistics.median(cost.per_job(jobs)[name] for cost in costs)
            for name in median.per_job(jobs)
        }
        self._add(
            "rate",
            jobs / median.seconds,
            note="(best %.0f)" % (jobs / costs[0].seconds),
        )
        self._add("transactions", each["transactions"])
        for name in ("odoo_cpu", "runner_cpu", "pg_cpu"):
            self._add(name, each[name] * 1000)
        self._add("requests", each["requests"])
        self._add("commit_rate", self._meter.watch.commit_rate(jobs))
        self.details["drain"] = [
            {**cost.per_job(jobs), "rate": jobs / cost.seconds} for cost in costs
        ]

    def _drain(self, jobs):
        self._client.loop(jobs)
        with self._meter.measure() as cost:
            cost.seconds = self._commit_and_drain(jobs)
        return cost

    def _commit_and_drain(self, jobs):
        """Return the seconds from the commit of what was delayed until it is done."""
        began, _ended = self._client.commit()
        return self._drained(jobs) - began

    def counts(self):
        """Count statements, transactions and requests of a drain, in the logs."""
        self._start()
        jobs = self.options.jobs
        self._client.loop(jobs)
        cost = Cost()
        requests = self._server.count_requests()
        log = StatementLog(self.lab.cluster, self._server.database)
        with log.count(cost, without=self._meter.watch.pid):
            self._client.commit()
            self._drained(jobs)
        requests = self._server.count_requests() - requests
        self._add("messages", cost.messages / jobs)
        self._add("logged_transactions", cost.transactions / jobs)
        self._add("logged_requests", requests / jobs)
        self.details["statements"] = {
            statement: {
                "per_job": count / jobs,
                "ms_per_job": cost.times[statement] / jobs,
            }
            for statement, count in cost.statements.most_common(40)
        }

    def latency(self):
        """Measure commit to done on an idle server."""
        self._start()
        with progress.step("Latency of %d jobs" % self.options.samples):
            seconds = sorted(self._client.latency(self.options.samples, 0.1))
        self._add("latency", statistics.median(seconds) * 1000)
        self._add("late", seconds[int(len(seconds) * 0.95)] * 1000)

    def delay(self):
        """Delay jobs in a loop, and in a group."""
        self._start()
        jobs = 1000
        self._client.loop(10)
        self._client.group(10)
        for name in ("loop", "group"):
            seconds, queries = self._stored(name, jobs)
            self._add(name, jobs / seconds)
            each = queries / jobs if name == "loop" else queries
            self._add(name + "_queries", each)

    def _stored(self, name, *args):
        """Return the seconds and queries that storing takes; nothing is kept."""
        results = []
        for _number in range(3):
            results.append(getattr(self._client, name)(*args))
            self._client.rollback()
        return sorted(results)[1]

    def graph(self):
        """Store and drain a group before a group."""
        self._start()
        half = 500
        self._client.graph(10, 10)
        self._client.rollback()
        seconds, queries = self._stored("graph", half, half)
        self._add("graph_stored", seconds)
        self._add("graph_queries", queries)
        # By turns, and many: times on a shared machine wander.
        graphs, batches = [], []
        for _number in range(3 * self.options.repeat):
            graphs.append(self._graph(half))
            batches.append(self._two_batches(half))
        rate, without = statistics.median(graphs), statistics.median(batches)
        # A tenth is noise.
        self._add("graph_drained", rate, reached=rate >= 0.9 * without)
        self._add("batches_drained", without)
        self.details["graph"] = {"graphs": graphs, "batches": batches}

    def _graph(self, half):
        """Return the rate at which a group before a group is done."""
        self._client.graph(half, half)
        return 2 * half / self._commit_and_drain(2 * half)

    def _two_batches(self, half):
        """Return the rate of as many jobs without a graph, of which half wait for the others.

        The second half of a graph cannot start before the first has ended either.
        """
        seconds = 0
        for _number in range(2):
            self._client.loop(half)
            seconds += self._commit_and_drain(half)
        return 2 * half / seconds

    def deaf(self):
        """Write 20,000 waiting jobs and see how long an urgent job waits."""
        self._start()
        self.flood(20_000, "root.slow", holder_seconds=90)
        watch = self._meter.watch
        usual = statistics.median(self._client.latency(20, 0.05))
        worst = []
        for number in range(3):
            watch.execute(
                "UPDATE queue_job SET priority = %d WHERE channel = 'root.slow'"
                " AND state = 'pending'" % (20 + number)
            )
            seconds = self._client.latency(40, 0.01)
            worst.append(max(seconds) - usual)
        self._add("deaf", statistics.median(worst))
        watch.execute(
            "UPDATE queue_job SET state = 'cancelled' WHERE channel = 'root.slow'"
            " AND state = 'pending'"
        )
        self._drained(1, "channel <> 'root.slow'")

    def refused(self):
        """Ask 10,000 times for a job that waits, with queue_job_prevent_duplicates."""
        calls = 10_000
        addons = (*ADDONS, "queue_job_prevent_duplicates")
        with Client(self.lab.odoo, self.lab.database("refused", addons)) as client:
            # No runner: the first job waits, and the caches are warm.
            client.loop(10)
            client.commit()
            seconds, queries = client.loop(calls)
        self._add("refused_queries", queries / calls)
        self._add("refused", seconds / calls * 1000)

    def connector(self):
        """Drain no-op jobs with OCA's connector, whose component_event extends write.

        Left out without its folder.
        """
        if not any((path / "connector").is_dir() for path in self.lab.addons_paths):
            progress.say("Skipped: %s" % CONNECTOR)
            return
        self.close()
        self._installed = self.lab.database("connector", (*ADDONS, "connector"))
        self._start()
        jobs = self.options.jobs
        costs = [self._drain(jobs) for _number in range(self.options.repeat)]
        self._add("connector", jobs / statistics.median(c.seconds for c in costs))
        self.close()
        self._installed = None

    def cron(self):
        """Drain 1,000 no-op jobs by two cron workers, against one pass for each job."""
        database = self.lab.database("cron", ("queue_job_cron_jobrunner",))
        figures = measure_cron(self.lab.odoo, database)
        self._add("cron", figures.batches * 1000)
        self._add("cron_gain", figures.gain)

    def people(self):
        """Time web requests beside busy jobs, with job workers and without."""
        self.close()
        for name, job_workers in (("own", self.options.workers), ("shared", 0)):
            database = self.lab.copy(self.installed, "bench")
            with progress.step("People beside %d job workers" % job_workers):
                late = People(self.lab, database, job_workers).measure(
                    self.options.repeat
                )
            ratio = late["wait"] / late["idle"]
            self._add(name + "_idle", late["idle"] * 1000)
            self._add(
                name + "_wait",
                late["wait"] * 1000,
                reached=ratio <= MOST_BESIDE_JOBS if job_workers else None,
                note="(%.2f of idle)" % ratio,
            )
            self._add(name + "_compute", late["compute"] * 1000)
            self.lab.databases.drop(database)

    def warm(self):
        """Time the first job, and drain the first 1,000 jobs, after a start with job workers."""
        self.close()
        database = self.lab.copy(self.installed, "bench")
        with progress.step("Starting servers with job workers"):
            medians, turns = Start(self.lab, database, self.options.jobs).measure(
                self.options.repeat
            )
        self._add("first_job", medians["first_job"])
        share = medians["first"] / medians["warm"]
        self._add("first_jobs", share, note="(%.0f /s)" % medians["first"])
        self._add("warm_rate", medians["warm"])
        self.details["warm"] = turns
        self.lab.databases.drop(database)

    def flood(self, count, channel, holder_seconds):
        """Let jobs wait in a channel that one job holds."""
        self._client.slow(channel, holder_seconds)
        self._client.commit()
        with progress.step("Inserting %d waiting jobs" % count):
            insert_waiting(self._meter.watch, self._template_job(), count, channel)

    def _template_job(self):
        self._client.loop(1)
        self._client.commit()
        self._drained(1, "channel = 'root'")
        watch = self._meter.watch
        ((job_id,),) = watch.query(
            "SELECT max(id) FROM queue_job WHERE method_name = 'noop'"
        )
        return job_id

    def start(self):
        """Start a runner alone on many waiting jobs."""
        self.close()
        for count, suffix in ((200_000, ""), (1_000_000, "_million")):
            for name, value in self._runner_start(count).items():
                self._add(name + suffix, value)

    def _runner_start(self, count):
        database = self.lab.copy(self.installed, "bench")
        with Client(self.lab.odoo, database) as client:
            client.loop(1)
            client.commit()
        watch = Watch(self.lab.cluster.server, database)
        with progress.step("Inserting %d waiting jobs" % count):
            insert_waiting(
                watch, watch.query("SELECT max(id) FROM queue_job")[0][0], count, "root"
            )
        watch.close()
        log = self.lab.cache.log("runner-%s" % database)
        command = script(self.lab.odoo, RUNNER) + [
            "-d",
            database,
            "--load=base,rpc,web,queue_job",
        ]
        environment = self.lab.odoo.environment(
            ODOO_QUEUE_JOB_CHANNELS="root:4", ODOO_QUEUE_JOB_PORT="1"
        )
        with (
            open(log, "w") as output,
            Guarded(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
            ) as runner,
        ):
            began = _wait_for(log, "jobrunner.runner: starting", runner)
            pid = _python_below(runner.pid)
            sampler = Sampler(pid)
            sampler.start()
            ready = _wait_for(log, READY % database, runner, 300)
            # It has begun to send: what it holds is there.
            time.sleep(1)
            sampler.stop()
            megabytes, peak = memory(pid)
        self.lab.databases.drop(database)
        return {"ready": ready - began, "memory": megabytes, "peak": peak}


def insert_waiting(watch, template_id, count, channel):
    """Insert pending jobs like one that is stored, without telling anybody.

    Names only columns that any queue_job has, and copies whatever others there are.
    """
    columns = [
        name
        for (name,) in watch.query(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'queue_job'"
            " AND column_name <> 'id' ORDER BY ordinal_position"
        )
    ]
    changed = {
        "uuid": "gen_random_uuid()::varchar",
        "state": "'pending'",
        "channel": "'%s'" % channel,
        "date_created": "now() AT TIME ZONE 'UTC' + n * interval '1 millisecond'",
        "date_enqueued": "NULL",
        "date_started": "NULL",
        "date_done": "NULL",
        "eta": "NULL",
    }
    values = ", ".join(changed.get(name, "t." + name) for name in columns)
    watch.execute("ALTER TABLE queue_job DISABLE TRIGGER USER")
    watch.execute(
        "INSERT INTO queue_job (%s) SELECT %s FROM queue_job t, generate_series(1, %d) AS n"
        " WHERE t.id = %d" % (", ".join(columns), values, count, template_id)
    )
    watch.execute("ALTER TABLE queue_job ENABLE TRIGGER USER")
    watch.execute("VACUUM ANALYZE queue_job")


def _wait_for(log, text, process, timeout=60):
    """Return when a text appeared in a log, on the monotonic clock."""

    def is_there():
        return text in Path(log).read_text(errors="replace")

    def failure():
        return SetupError(
            "'%s' was not logged.\n%s" % (text, tail(log)), "The log is in %s." % log
        )

    wait_until(is_there, timeout, failure, process=process, pause=0.005)
    return time.monotonic()


def _python_below(guard):
    (pid,) = tree(guard) - {guard}
    return pid


# In this order; a name is a method of Bench.
ROWS = (
    *("drain", "counts", "latency", "delay", "graph", "deaf", "start"),
    *("people", "warm", "refused", "cron", "connector"),
)
