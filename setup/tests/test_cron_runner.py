"""Real cron workers of a prefork server, and no runner: what queue_job_cron_jobrunner promises."""

import threading
import unittest

from _lib.cron_server import CronServer, cron_database
from _lib.suite import Suite

CRONS = 4
# Seconds. A job that takes longer is failed; the others take a fraction of it.
REAL_LIMIT = 9
CPU_LIMIT = 3
RUNNER_LOCK = 2293787760715711918

# One session makes all jobs, each kind in a channel that is paused until its test.
SCRIPT = """
import time
from datetime import datetime, timedelta
root = env.ref("queue_job.channel_root")
def channel(name, **settings):
    env["queue.job.channel"].create(
        {"name": name, "parent_id": root.id, "paused": True, **settings})
channel("narrow", capacity=1)
channel("wide", capacity=2)
channel("row", capacity=1, sequential=True)
channel("kill")
channel("long")
channel("served")
channel("fast")
channel("busy")
channel("queue")
root.capacity = 4
test = lambda name, **kw: env["queue.job"].with_delay(channel="root." + name, **kw)
for number in range(16):
    test("narrow")._test_job(job_duration=0.04)
    test("row")._test_job(job_duration=0.02)
for number in range(40):
    test("wide")._test_job(job_duration=0.04)
for number in range(80):
    env["res.partner"].with_delay(channel="root.kill").create([{"name": "once %d" % number}])
test("long")._test_job(job_duration=60)
action = env["ir.actions.server"].create({
    "name": "busy", "state": "code", "model_id": env.ref("base.model_res_partner").id,
    "code": "while True:\\n    number = 1"})
action.with_delay(channel="root.busy").run()
for number in range(90):
    test("queue")._test_job(job_duration=0.3)
env["ir.cron"].create({
    "name": "Neighbour", "state": "code", "model_id": env.ref("base.model_res_partner").id,
    "code": "env['ir.config_parameter'].set_param('neighbour', datetime.datetime.now())",
    "priority": 9, "active": False, "interval_type": "days"})
test("served")._test_job()
for number in range(200):
    test("fast", priority=number % 3)._test_job()
env.cr.commit()

def seconds_until_started(eta=None):
    # The clock of the database is that of the machine.
    job = env["queue.job"].with_delay(eta=eta)._test_job()
    env.cr.commit()
    committed = eta or datetime.utcnow()
    record = job.db_record()
    while not record.date_started:
        env.cr.rollback()
        time.sleep(0.005)
    return (record.date_started - committed).total_seconds()

seconds_until_started()  # The workers are over with all that is above.
now = [seconds_until_started() for number in range(5)]
eta = [seconds_until_started(datetime.utcnow().replace(microsecond=0) + timedelta(seconds=3))
       for number in range(2)]
result({"now": now, "eta": eta})
"""


def setUpModule():
    """Make one database for all: that takes longer than the tests."""
    global odoo, database, delays
    suite = Suite.without_options()
    odoo = suite.odoo
    fresh = cron_database(suite)
    database = fresh.__enter__()
    unittest.addModuleCleanup(fresh.__exit__, None, None, None)
    with CronServer(odoo, database, crons=CRONS) as server:
        delays = server.shell(SCRIPT)


class ServerCase(unittest.TestCase):
    options = ()
    workers = CRONS

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = CronServer(
            odoo, database, crons=CRONS, workers=cls.workers, options=cls.options
        )
        cls.server.start()
        cls.addClassCleanup(cls.server.stop)
        cls.server.wake_often()

    def open(self, *names):
        """Let the jobs of some channels start."""
        self.server.query(
            "UPDATE queue_job_channel SET paused = false WHERE name = ANY(%s)",
            (list(names),),
        )
        self.server.trigger()

    def left(self, *names):
        names = ", ".join("'root.%s'" % name for name in names)
        return self.server.count(
            "channel IN (%s) AND state NOT IN ('done', 'failed')" % names
        )

    def is_idle(self):
        """Return whether no worker is in a pass: it holds the row of its cron."""
        locked = self.server.query(
            "SELECT (SELECT count(*) FROM ir_cron WHERE queue_job_runner) - count(*) FROM"
            " (SELECT FROM ir_cron WHERE queue_job_runner FOR NO KEY UPDATE SKIP LOCKED) AS free"
        )[0][0]
        return not locked

    def drain(self, *names, timeout=60):
        """Open channels and wait for the end; return the largest number seen running in each."""
        most = {}
        over = threading.Event()

        def watch():
            connection = self.server.odoo.server.connect(self.server.database)
            with connection.cursor() as cursor:
                while not over.is_set():
                    cursor.execute(
                        "SELECT channel, count(*) FROM queue_job WHERE state = 'started'"
                        " GROUP BY ROLLUP (channel)"
                    )
                    for name, count in cursor.fetchall():
                        most[name] = max(count, most.get(name, 0))
            connection.close()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            self.open(*names)
            self.server.wait(lambda: not self.left(*names), timeout)
        finally:
            over.set()
            watcher.join()
        return most

    def failed(self, name):
        """Wait until the job of a channel is over; return its row."""
        self.server.wait(lambda: not self.left(name), 60)
        ((job_id, *row),) = self.server.query(
            "SELECT id, state, exc_name, exc_message, retry FROM queue_job WHERE channel = %s",
            ("root." + name,),
        )
        self.assertEqual((row[0], row[1], row[3]), ("failed", "JobOverLimit", 1))
        return job_id, row[2]


class TestWake(unittest.TestCase):
    def test_job_starts_within_a_second(self):
        self.assertLess(sorted(delays["now"])[2], 1)

    def test_job_starts_at_its_eta(self):
        for seconds in delays["eta"]:
            self.assertGreaterEqual(seconds, 0)
            self.assertLess(seconds, 1.5)


class TestManyWorkers(ServerCase):
    options = ("--limit-time-real-cron=%d" % REAL_LIMIT,)

    def test_capacity_is_never_exceeded(self):
        """Four workers, channels with one and two slots: looked at all the time."""
        most = self.drain("narrow", "wide", "row")
        self.assertEqual(most["root.narrow"], 1)
        self.assertEqual(most["root.row"], 1)
        self.assertEqual(most["root.wide"], 2)
        self.assertLessEqual(most[None], 4)
        rows = self.server.query(
            "SELECT id FROM queue_job WHERE channel = 'root.row' ORDER BY date_started"
        )
        self.assertEqual(rows, sorted(rows))

    def test_killed_workers_lose_and_double_nothing(self):
        self.open("kill")
        killed = 0
        while self.left("kill") > 10 and killed < 4:
            busy = self.server.query(
                "SELECT worker_pid FROM queue_job WHERE state = 'started'"
            )
            for pid in {pid for (pid,) in busy} & set(self.server.cron_workers()):
                self.server.kill_cron_worker(pid)
                killed += 1
                self.server.wait(
                    lambda pid=pid: pid not in self.server.cron_workers(), 10
                )
        self.assertGreaterEqual(killed, 2)
        self.server.wait(lambda: not self.left("kill"), 40)
        self.assertEqual(
            self.server.count("channel = 'root.kill' AND state = 'done'"), 80
        )
        (partners,) = self.server.query(
            "SELECT count(*), count(DISTINCT name) FROM res_partner WHERE name LIKE 'once %%'"
        )
        self.assertEqual(partners, (80, 80))

    def test_job_over_the_real_limit_fails_with_a_reason(self):
        self.open("long")
        job_id, message = self.failed("long")
        self.assertIn("limit_time_real_cron = %d" % REAL_LIMIT, message)
        self.assertIn("Raise the limit with --limit-time-real-cron", message)
        # Another worker announces it.
        self.server.wait(
            lambda: self.server.query(
                "SELECT 1 FROM mail_message WHERE model = 'queue.job' AND res_id = %s"
                " AND body LIKE '%%Something bad%%'",
                (job_id,),
            ),
            30,
        )

    def test_nothing_is_done_beside_the_regular_runner(self):
        elected = self.server.odoo.server.connect(self.server.database)
        with elected.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (RUNNER_LOCK,))
        try:
            # A pass that is under way began when there was no runner.
            self.server.wait(self.is_idle, 20)
            self.open("served")
            told = (
                "the job runner of the server performs the jobs of "
                + self.server.database
            )
            self.server.wait(lambda: told in self.server.log.read_text(), 10)
            self.assertEqual(self.left("served"), 1)
        finally:
            elected.close()
        self.server.trigger()
        self.server.wait(lambda: not self.left("served"), 20)

    def test_a_batch_of_short_jobs(self):
        self.drain("fast")
        self.assertEqual(self.server.count("channel = 'root.fast' AND retry = 1"), 200)


class TestOneWorker(ServerCase):
    workers = 1
    options = ("--limit-time-cpu=%d" % CPU_LIMIT,)

    def test_a_long_queue_starves_no_other_cron(self):
        """The queue is worth 27 seconds; the other cron comes after the runner crons."""
        self.server.query(
            "UPDATE ir_cron SET active = true, nextcall = now() AT TIME ZONE 'UTC' - interval '1s'"
            " WHERE cron_name = 'Neighbour';"
            "UPDATE queue_job_channel SET paused = false WHERE name = 'queue';"
            "INSERT INTO ir_cron_trigger (cron_id, call_at)"
            " SELECT id, now() AT TIME ZONE 'UTC' - interval '1s' FROM ir_cron"
            " WHERE queue_job_runner",
            None,
        )
        has_run = "SELECT 1 FROM ir_config_parameter WHERE key = 'neighbour'"
        self.server.wait(lambda: self.server.query(has_run), 30)
        self.assertGreater(self.left("queue"), 0)
        self.server.wait(lambda: not self.left("queue"), 60)

    def test_job_over_the_cpu_limit_fails_with_a_reason(self):
        self.open("busy")
        _job_id, message = self.failed("busy")
        self.assertIn("limit_time_cpu = %d" % CPU_LIMIT, message)
        self.assertIn("Raise the limit with --limit-time-cpu", message)


if __name__ == "__main__":
    unittest.main()
