# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""No row stops a cron worker: it is set aside, and all others go on."""

import unittest

import psycopg2

from odoo.tools import mute_logger

from .test_job_runner import CronRunnerCase

try:
    from hypothesis import HealthCheck, given, settings

    from odoo.addons.queue_job.tests.odd_rows import odd_rows
except ImportError:
    given = None

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


class TestRows(CronRunnerCase):
    def insert(self, **columns):
        values = {"uuid": "odd", "state": "pending", "priority": 1, **columns}
        marks = ", ".join(["%s"] * len(values))
        self.env.cr.execute(
            f"INSERT INTO queue_job ({', '.join(values)}) VALUES ({marks})",
            list(values.values()),
        )

    def check(self, columns):
        """Let a cron worker choose and look after others beside an odd row."""
        self.insert(**columns)
        with mute_logger("odoo.addons.queue_job.models.queue_job_channel"):
            healthy = self.delay(priority=2**31 - 1, channel="root.healthy")
        self.env.flush_all()
        self.jobs._requeue_dead_jobs()
        self.jobs._release_forgotten()
        self.jobs._count_due()
        self.jobs._has_young_claims()
        chosen = self.jobs._pick_next()
        if chosen.uuid != healthy.uuid:
            self.env.cr.execute("DELETE FROM queue_job WHERE id <> %s", [healthy.id])
            chosen = self.jobs._pick_next()
        self.assertEqual(chosen.uuid, healthy.uuid, columns)

    def test_a4_channel_of_many_levels(self):
        self.insert(channel="root" + ".a" * 1200)
        healthy = self.delay()
        with self.assertLogs(RUNNER_LOGGER, "ERROR") as logs:
            self.assertEqual(self.jobs._pick_next().uuid, healthy.uuid)
        self.assertIn("set aside", logs.output[0])

    def test_a4_policy_key_without_its_text(self):
        """The claim kept the key of such a row anew, and the empty text ended the pass."""
        self.insert(twin_key="key")
        self.assertEqual(self.jobs._pick_next().uuid, "odd")

    @unittest.skipUnless(given, "the package hypothesis is not installed")
    def test_a4_no_row_stops_a_cron_worker(self):
        @settings(
            max_examples=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(odd_rows())
        def check(columns):
            self.env.invalidate_all()
            self.env.cr.execute("SAVEPOINT odd")
            try:
                with self.env.cr.savepoint(flush=False), mute_logger("odoo.sql_db"):
                    self.insert(**columns)
                    self.env.cr.execute("DELETE FROM queue_job WHERE uuid = 'odd'")
            except psycopg2.Error:
                # PostgreSQL refuses it.
                columns = {}
            self.env.cr.execute("ROLLBACK TO SAVEPOINT odd")
            self.check(columns)
            self.env.cr.execute("ROLLBACK TO SAVEPOINT odd")

        with mute_logger(RUNNER_LOGGER):
            check()
