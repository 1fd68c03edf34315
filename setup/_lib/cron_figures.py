"""What a batch of a cron worker is worth: against one cron pass for each job."""

import time
from typing import NamedTuple

from .cron_server import CronServer

# A pass for each job is measured with fewer: a hundred are enough for an average.
SINGLE_PASSES = 100

DELAY = """
root = env.ref("queue_job.channel_root")
root.capacity = 2
channel = env["queue.job.channel"].create(
    {"name": "figure", "parent_id": root.id, "paused": True})
for number in range(%d):
    env["queue.job"].with_delay(channel="root.figure")._test_job()
env.cr.commit()
result(True)
"""

# Odoo runs the cron as in a worker; the pass takes one job and is over.
ONE_PASS_PER_JOB = """
import logging, os, time
# As Odoo does with its cron workers.
os.nice(10)
from odoo.addons.base.models.ir_cron import IrCron
from odoo.addons.queue_job_cron_jobrunner import cron_pass
logging.getLogger("odoo").setLevel(logging.WARNING)

def take_one(self):
    self.jobs._begin_pick()
    job = self.jobs._acquire_one_job()
    self.pick = self.jobs._last_pick()
    self.env.cr.cache["queue_job_cron.pick"] = self.pick._replace(followers=())
    job._process(commit=True)
    return 0

cron_pass.CronPass._drain = take_one
cron_pass.SPREAD_INTERVAL = 1e9
cron = env.ref("queue_job_cron_jobrunner.queue_job_cron")
(env["ir.cron"]._runner_crons() - cron).write({"active": False})
for number in range(%(jobs)d):
    env["queue.job"].with_delay()._test_job()
env["ir.cron.trigger"].search([]).unlink()
env.cr.commit()
began = time.monotonic()
for number in range(%(jobs)d):
    cron._trigger()
    env.cr.postcommit.clear()
    env.cr.commit()
    IrCron._process_jobs(env.cr.dbname)
seconds = time.monotonic() - began
env.cr.rollback()
done = env["queue.job"].search_count([("state", "=", "done")])
result({"seconds": seconds, "done": done})
"""

READY = """
SELECT 1 FROM ir_cron c WHERE active AND (nextcall <= now() AT TIME ZONE 'UTC' OR EXISTS (
    SELECT FROM ir_cron_trigger t WHERE t.cron_id = c.id AND call_at <= now() AT TIME ZONE 'UTC'
))
"""


class CronFigures(NamedTuple):
    """Seconds for each job."""

    batches: float
    single_passes: float

    @property
    def gain(self):
        return self.single_passes / self.batches


def measure(odoo, database, jobs=1000):
    """Return the figures, measured in a database of its own that has the addon.

    Two cron workers drain ``jobs`` no-op jobs, each job with a commit of its own; then one
    process runs one pass of the cron for each job.
    """
    server = CronServer(odoo, database, crons=2)
    server.shell(DELAY % jobs)
    with server:
        # Workers that have just begun do not listen yet, and every cron wants to run once.
        server.wake_often()
        server.wait(lambda: not server.query(READY), 300)
        server.wake_often(False)
        began = time.monotonic()
        server.query(
            "UPDATE queue_job_channel SET paused = false WHERE name = 'figure'"
        )
        server.trigger()
        server.wait(lambda: not server.count("state <> 'done'"), 300)
        batches = (time.monotonic() - began) / jobs
    server.query("DELETE FROM queue_job")
    single = server.shell(ONE_PASS_PER_JOB % {"jobs": SINGLE_PASSES})
    assert single["done"] == SINGLE_PASSES, single
    return CronFigures(batches, single["seconds"] / SINGLE_PASSES)
