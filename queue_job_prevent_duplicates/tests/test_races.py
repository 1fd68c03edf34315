# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Callers, claims and people at the same time, each in a transaction of its own."""

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.store import keys
from odoo.addons.queue_job.tests.twin_races import TwinRaces

from .common import LOGGER, CommittedPartnerCase


@tagged("post_install", "-at_install")
class TestRaces(TwinRaces, CommittedPartnerCase):
    def setUp(self):
        super().setUp()
        quiet = mute_logger(LOGGER)
        quiet.__enter__()
        self.addCleanup(quiet.__exit__)

    def delay_twin(self, env, **properties):
        return self.record_in(env).with_delay(**properties).write({"ref": "x"})

    def test_many_callers_get_one_job(self):
        self.callers_get_one_job(16, 25, lambda env, n: self.ask(env, str(n)))

    def test_job_that_failed_after_the_snapshot_blocks(self):
        with self.new_env() as env:
            twin = self.ask(env)
        self.move(twin, "started")
        with self.new_env() as late:
            self.take_snapshot(late)
            self.move(twin, "failed")
            self.assertEqual(self.ask(late), twin)

    def test_long_transaction_does_not_hold_up_other_jobs(self):
        """It makes more jobs than there are locks, and asks for each twice."""
        with self.new_env() as env:
            others = [self.ask(env, f"other {number}") for number in range(5)]
        with self.new_env() as caller:
            group = [
                self.record_in(caller).delayable().write({"ref": str(number)})
                for number in range(3000)
            ]
            for delayable in group:
                delayable._build_job()
            jobs = [delayable._generated_job for delayable in group]
            model = caller["queue.job"].sudo()
            self.assertFalse(keys.reserve_all(model, jobs))
            again = [
                self.record_in(caller).delayable().write({"ref": "0"})
                for _n in range(2)
            ]
            refused = model._key_requests([d._build_job() for d in again])[-1]
            found = keys.reserve(caller, refused[0], refused[2], refused[1])
            self.assertEqual(len(found), 2)
            for other in others:
                self.move(other, "enqueued")
                with self.new_env() as worker:
                    self.assertEqual(self.claim(worker, other), "claimed")
                    worker.cr.rollback()
            caller.cr.rollback()
