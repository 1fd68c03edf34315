# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One pass: when it goes on, waits, leaves. Its jobs and clock are stand-ins."""

import time
from unittest import mock

from psycopg2 import OperationalError

from odoo.tests import TransactionCase

from .. import cron_pass
from ..models.queue_job import _PICK
from ..models.queue_job_pick import Pick


class TestPass(TransactionCase):
    def setUp(self):
        super().setUp()
        self.patch(cron_pass.time, "sleep", lambda seconds: None)
        self.picks = []
        self.commits = mock.patch.object(self.cr, "commit").start()
        self.rollbacks = mock.patch.object(self.cr, "rollback").start()
        self.addCleanup(mock.patch.stopall)

    def make(self, **context):
        """Return a pass that sees ``self.picks`` one after another."""
        model = type(self.env["queue.job"])
        self.cron = self.env.ref("queue_job_cron_jobrunner.queue_job_cron")
        cron, self.progress = self.cron._add_progress()
        context = {"cron_id": self.cron.id, **cron.env.context, **context}
        jobs = self.env["queue.job"].with_context(**context)
        the_pass = cron_pass.CronPass(jobs)
        the_pass.clock = mock.Mock(**{"restart.return_value": True})
        self.performed = []

        def acquire(records):
            pick = self.picks.pop(0) if self.picks else Pick()
            records.env.cr.cache[_PICK] = pick
            return records.browse(1 if pick.uuid else ())

        def process(_records, commit):
            self.performed.append(commit)
            the_pass.processed += 1

        mock.patch.object(model, "_acquire_one_job", acquire).start()
        mock.patch.object(model, "_process", process).start()
        mock.patch.object(model, "_begin_pick").start()
        mock.patch.object(
            model, "_is_regular_runner_alive", lambda _jobs: self.served
        ).start()
        mock.patch.object(model, "_count_due", lambda _jobs: 7).start()
        mock.patch.object(model, "_has_young_claims", lambda _jobs: False).start()
        mock.patch.object(model, "_requeue_dead_jobs", lambda _jobs: []).start()
        self.triggered = mock.patch.object(model, "_cron_trigger").start()
        return the_pass

    served = False

    def run_pass(self, **context):
        the_pass = self.make(**context)
        the_pass.run()
        return self.progress.done, self.progress.remaining

    def test_a_failure_that_cannot_be_announced_keeps_no_other(self):
        """B4: the pass ended at the first one, and those behind it were never announced."""
        the_pass = self.make()
        uuids = [f"dead {number}" for number in range(4)]
        for uuid in uuids:
            self.cr.execute(
                "INSERT INTO queue_job (uuid, state, to_report) VALUES (%s, 'failed', true)",
                [uuid],
            )
        announced = []

        def report(env, uuid):
            announced.append(uuid)
            if uuid in uuids[:2]:
                raise OperationalError("conflict")
            self.cr.execute(
                "UPDATE queue_job SET to_report = false WHERE uuid = %s", [uuid]
            )

        with (
            mock.patch.object(cron_pass, "announce_dead", report),
            self.assertLogs(cron_pass._logger, "ERROR") as logs,
        ):
            the_pass._announce_failures()
        self.assertEqual(announced, uuids)
        self.assertEqual(len(logs.records), 2)

    def test_performs_until_nothing_may_start(self):
        self.picks = [Pick("a"), Pick("b")]
        self.assertEqual(self.run_pass(), (2, 0))
        self.assertEqual(self.performed, [True, True])

    def test_time_is_up(self):
        """Odoo calls again when jobs are left: nothing done then means the end of the pass."""
        self.picks = [Pick("a")]
        self.assertEqual(self.run_pass(cron_end_time=time.monotonic() - 1), (0, 7))
        self.assertFalse(self.performed)

    def test_worker_that_is_to_end_takes_no_more(self):
        self.picks = [Pick("a")]
        the_pass = self.make()
        the_pass.clock.restart.return_value = False
        the_pass.run()
        self.assertFalse(self.performed)
        self.assertEqual(self.progress.remaining, 7)

    def test_waits_for_a_lock_of_somebody(self):
        self.picks = [Pick(is_hindered=True), Pick("a")]
        self.assertEqual(self.run_pass(), (1, 0))

    def test_comes_back_when_the_lock_stays(self):
        self.picks = [Pick(is_hindered=True)] * 30
        self.run_pass()
        self.assertFalse(self.performed)
        self.assertTrue(self.picks, "waited for ever")
        self.triggered.assert_called_once_with(at=mock.ANY)

    def test_waits_for_a_throttle_that_is_almost_over(self):
        self.picks = [Pick(wake_in=0.4), Pick("a")]
        self.assertEqual(self.run_pass(), (1, 0))

    def test_comes_back_when_the_throttle_is_over(self):
        self.picks = [Pick(wake_in=60)]
        self.run_pass()
        self.triggered.assert_called_once_with(at=mock.ANY)

    def test_wakes_the_other_crons_while_jobs_are_left(self):
        other = self.env.ref("queue_job_cron_jobrunner.queue_job_cron").copy()
        self.env["ir.cron.trigger"].search([]).unlink()
        self.picks = [Pick("a", has_more=True), Pick("b", has_more=True)]
        self.run_pass()
        self.assertEqual(self.env["ir.cron.trigger"].search([]).cron_id, other)
        self.assertEqual(
            len(self.env["ir.cron.trigger"].search([])), 1, "once in a while"
        )

    def test_says_once_that_the_regular_runner_serves(self):
        self.served = True
        cron_pass._served.discard(self.cr.dbname)
        self.addCleanup(cron_pass._served.discard, self.cr.dbname)
        self.picks = [Pick("a")]
        with self.assertLogs("odoo.addons.queue_job_cron_jobrunner", "WARNING") as logs:
            self.run_pass()
        self.assertIn(
            "the job runner of the server performs the jobs of", logs.output[0]
        )
        with self.assertNoLogs("odoo.addons.queue_job_cron_jobrunner", "WARNING"):
            self.run_pass()
        self.assertFalse(self.performed)
        self.triggered.assert_called_with(at=mock.ANY)

    def test_a_worker_runs_one_runner_cron_in_a_round(self):
        ran = []
        base = "odoo.addons.base.models.ir_cron.IrCron._process_job"
        crons = type(self.env["ir.cron"])
        first, second = (
            {"id": n, "queue_job_runner": True, "user_id": 1} for n in (1, 2)
        )
        other = {"id": 3, "queue_job_runner": False, "user_id": 1}
        with mock.patch(base, lambda _cr, job: ran.append(job["id"])):
            for job in (first, second, other):
                crons._process_job(self.cr, job)
        self.assertEqual(ran, [1, 3])
