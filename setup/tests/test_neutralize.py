"""A copy of a database of OCA's queue_job, neutralized by Odoo, updated, and served."""

import unittest

from _lib.bench_server import BenchServer
from _lib.bootstrap import REPO
from _lib.odoo_command import OdooCommand
from _lib.process import run_logged
from _lib.suite import Suite

PATIENCE = 60  # seconds until one job is done
DELAY = """
job = env["res.partner"].search([], limit=1).with_delay().write({"ref": "x"})
env.cr.commit()
result(job.uuid)
"""
RESUME = """
root = env.ref("queue_job.channel_root")
was_paused = root.paused
env.cr.execute("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::text")
(now,) = env.cr.fetchone()
root.action_resume()
env.cr.commit()
result([was_paused, now])
"""
JOB = "SELECT state, date_started > %s FROM queue_job WHERE uuid = %s"


class TestNeutralize(unittest.TestCase):
    def test_jobs_wait_until_somebody_resumes(self):
        suite = Suite.without_options()
        theirs = OdooCommand(
            suite.odoo.source,
            suite.server,
            suite.cache,
            [REPO / "setup" / "oca_addon"],
        )
        oca = Suite(suite.cache, theirs, suite.databases, suite.template)
        with oca.database("neutralize", ["queue_job"]) as database:
            run_logged(
                suite.odoo.command("-d", database, subcommand=["neutralize"]),
                suite.cache.log(database),
                "Neutralizing",
                env=suite.odoo.environment(),
            )
            suite.load(database, ["queue_job"], "-u")
            uuid = suite.shell(database, DELAY)
            with BenchServer(suite.odoo, database, "neutralize", workers=2) as server:
                server.wait_until_runner_ready()
                # The runner could have sent the job long before the shell has started.
                was_paused, now = suite.shell(database, RESUME)

                def job():
                    [row] = suite.server.query(JOB, (now, uuid), database=database)
                    return row

                server.wait(lambda: job()[0] == "done", PATIENCE)
                state, is_later = job()
        self.assertTrue(was_paused)
        self.assertEqual((state, is_later), ("done", True))
