# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.store.keys import POLICY

from ..hooks import post_init_hook, uninstall_hook
from .common import LOGGER, DuplicatesCase


@tagged("post_install", "-at_install")
class TestStoredJobs(DuplicatesCase):
    """Jobs that were stored before the addon was installed."""

    def ask_before_installation(self, value="x", state="pending"):
        job = self.ask(value)
        self.move(job, state)
        self.env.cr.execute("DELETE FROM queue_job_key")
        self.env.cr.execute("UPDATE queue_job SET twin_key = NULL, twin_states = NULL")
        self.env.invalidate_all()
        return job

    @mute_logger(LOGGER)
    def test_installation_makes_them_block(self):
        states = (
            "wait_dependencies",
            "pending",
            "enqueued",
            "failed",
            "started",
            "done",
        )
        for state in states:
            job = self.ask_before_installation(state, state)
            post_init_hook(self.env)
            with self.subTest(state):
                self.assertEqual(
                    self.ask(state) == job, state not in ("started", "done")
                )

    @mute_logger(LOGGER)
    def test_started_job_blocks_when_it_is_postponed(self):
        job = self.ask_before_installation(state="started")
        post_init_hook(self.env)
        self.move(job, "pending")
        self.assertEqual(self.ask(), job)

    @mute_logger(LOGGER)
    def test_ended_job_blocks_when_it_is_requeued(self):
        for state in ("done", "cancelled"):
            job = self.ask_before_installation(state, state)
            job.db_record().requeue()
            self.assertEqual(self.ask(state), job)

    def test_functions_that_allow_duplicates_are_left_alone(self):
        self.make_function(prevent_duplicates=False)
        self.ask_before_installation()
        post_init_hook(self.env)
        self.assertFalse(self.stored().twin_key)

    def test_one_statement_for_all(self):
        for number in range(20):
            self.ask_before_installation(str(number))
        self.env["queue.job.function"]._allowing_names()
        with self.assertQueryCount(4):  # savepoint, functions, update, release
            post_init_hook(self.env)
        self.assertTrue(all(self.stored().mapped("twin_key")))

    @mute_logger(LOGGER)
    def test_uninstallation_forgets_them(self):
        self.ask()
        uninstall_hook(self.env)
        self.assertFalse(self.stored().twin_key)
        self.assertFalse(self.env["queue.job.key"].search([("kind", "=", POLICY)]))
