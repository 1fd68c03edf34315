# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The PostgreSQL backend of a cron worker ends after any statement of a pass."""

import itertools
from unittest import mock

from odoo import SUPERUSER_ID, api
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.delay import chain
from odoo.addons.queue_job.jobrunner import liveness
from odoo.addons.queue_job.tests.committed_case import CommittedCase
from odoo.addons.queue_job.tests.lost_backend import perform_with_lost_backend

from .. import cron_pass
from ..alarm import AlarmClock


@tagged("post_install", "-at_install")
class TestLostBackends(CommittedCase):
    committed_models = ("queue.job", "res.partner", "ir.cron.trigger")

    def setUp(self):
        super().setUp()
        config = {"test_enable": False}
        self.startPatcher(
            mock.patch("odoo.addons.queue_job.worker.attempt.config", config)
        )
        self.startPatcher(
            mock.patch.object(
                self.registry, "check_signaling", return_value=self.registry
            )
        )
        self.startPatcher(mock.patch.object(AlarmClock, "set"))
        # No time passes: what is free at both checks of a pass is dead.
        self.startPatcher(mock.patch.object(cron_pass.time, "sleep"))
        self.startPatcher(mock.patch.object(liveness, "CHECK_INTERVAL", 0))
        self.enterContext(
            mute_logger(
                "odoo.sql_db",
                "odoo.addons.queue_job.controllers.main",
                "odoo.addons.queue_job_cron_jobrunner.models.queue_job",
            )
        )

    def delay(self, names):
        """Delay the creation of a partner of each name; the second waits for the first."""
        with self.new_env() as env:
            first, second, *others = (
                env["res.partner"].delayable().create({"name": name}) for name in names
            )
            chain(first, second).delay()
            for other in others:
                other.delay()

    def run_pass(self, cr):
        api.Environment(cr, SUPERUSER_ID, {})["queue.job"]._job_runner()

    def find_dead(self):
        """Let the time pass after which claims are dead and dependents forgotten."""
        with self.registry.cursor() as cr:
            cr.execute(
                """
                UPDATE queue_job SET date_enqueued = date_enqueued - interval '1 minute',
                    date_created = date_created - interval '1 minute', eta = NULL
                WHERE state IN ('pending', 'started', 'wait_dependencies')
                  AND id != ALL(%s)
                """,
                (self.known_jobs,),
            )

    def perform_rest(self):
        for _round in range(10):
            self.find_dead()
            with self.registry.cursor() as cr:
                self.run_pass(cr)
            if set(self.states().values()) == {"done"}:
                return

    def lose_everywhere(self, is_answered):
        for statements in itertools.count():
            names = [f"{self._testMethodName} {statements} {n}" for n in range(3)]
            self.delay(names)
            with self.subTest(statements=statements):
                is_lost = perform_with_lost_backend(
                    self.registry, statements, is_answered, self.run_pass
                )
                self.perform_rest()
                self.assertEqual(set(self.states().values()), {"done"})
                with self.new_env() as env:
                    found = env["res.partner"].search([("name", "in", names)])
                    self.assertEqual(sorted(found.mapped("name")), names)
            if not is_lost:
                break
        # A pass of three jobs is more than its beginning and its end.
        self.assertGreater(statements, 20)

    def test_jobs_are_done_once_when_a_backend_ends(self):
        self.lose_everywhere(is_answered=True)

    def test_jobs_are_done_once_when_an_answer_is_lost(self):
        self.lose_everywhere(is_answered=False)
