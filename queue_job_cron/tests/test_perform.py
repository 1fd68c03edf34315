# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The job of a scheduled action: progress, deactivation, failures."""

from datetime import datetime, timedelta

from odoo import api
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.base.models.ir_cron import MIN_RUNS_PER_JOB
from odoo.addons.queue_job.controllers.main import RunJobController
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.tests.committed_case import CommittedCase
from odoo.addons.queue_job.worker import Bundle

from .common import CronCase

LOGGER = "odoo.addons.queue_job_cron.models.ir_cron"
# One item in each run.
COUNT = """
params = env["ir.config_parameter"].sudo()
number = int(params.get_param("cron_test", 0)) + 1
params.set_param("cron_test", number)
"""
THREE_ITEMS = (
    COUNT
    + """
env["ir.cron"]._commit_progress(1, remaining=3 - number)
action = {"number": number}
"""
)
ENDLESS = COUNT + "env['ir.cron']._commit_progress(1, remaining=5)"
FAILS_ONCE = (
    THREE_ITEMS
    + """
if number == 2:
    params.set_param("cron_test", 77)
    raise UserError("broken")
"""
)


@tagged("post_install", "-at_install")
class TestPerform(CronCase):
    def setUp(self):
        super().setUp()
        self.registry_enter_test_mode()

    def perform(self, code=None, user=None):
        """Run the method of the job on a cursor that commits; return its result."""
        if code:
            self.cron.code = code
        self.env.flush_all()
        with self.registry.cursor() as cr:
            env = api.Environment(cr, (user or self.user).id, {})
            try:
                return (
                    env["ir.cron"]
                    .browse(self.cron.id)
                    ._run_job_as_queue_job(
                        server_action=env["ir.actions.server"].browse(
                            self.cron.ir_actions_server_id.id
                        )
                    )
                )
            finally:
                cr.flush()
                cr.postcommit.run()
                self.env.invalidate_all()

    def runs(self):
        return int(self.env["ir.config_parameter"].sudo().get_param("cron_test", 0))

    def test_returns_the_result(self):
        self.assertEqual(self.perform(), {"count": 1})

    def test_on_an_empty_recordset(self):
        action = self.cron.ir_actions_server_id
        self.assertEqual(
            self.env["ir.cron"]._run_job_as_queue_job(server_action=action),
            {"count": 1},
        )

    def test_context_is_that_of_the_scheduler(self):
        result = self.perform("action = {'context': dict(env.context)}")["context"]
        self.assertEqual(result["cron_id"], self.cron.id)
        progress = self.env["ir.cron.progress"].browse(result["ir_cron_progress_id"])
        self.assertEqual(progress.cron_id, self.cron)
        self.assertGreater(result["cron_end_time"], 0)

    def test_goes_on_while_work_remains(self):
        self.assertEqual(self.perform(THREE_ITEMS), {"number": 3})
        self.assertEqual(self.runs(), 3)
        self.assertFalse(self.triggers())

    def test_goes_on_in_another_job_behind_the_limit(self):
        self.perform(ENDLESS)
        self.assertEqual(self.runs(), MIN_RUNS_PER_JOB)
        self.assertEqual(len(self.triggers()), 1)

    def test_stops_where_nothing_is_processed(self):
        with self.assertLogs(LOGGER, "WARNING"):
            self.perform(COUNT + "env['ir.cron']._commit_progress(0, remaining=5)")
        self.assertEqual(self.runs(), 1)
        self.assertEqual(len(self.triggers()), 1)

    def triggers(self):
        return self.env["ir.cron.trigger"].search([("cron_id", "=", self.cron.id)])

    def test_deactivation(self):
        self.perform("env['ir.cron']._commit_progress(1, deactivate=True)")
        self.assertFalse(self.cron.active)

    def test_no_deactivation_while_work_remains(self):
        with mute_logger(LOGGER):
            self.perform(
                "env['ir.cron']._commit_progress(0, remaining=2, deactivate=True)"
            )
        self.assertTrue(self.cron.active)

    def test_failure_behind_a_commit_goes_on(self):
        with self.assertLogs(LOGGER, "ERROR") as logs:
            self.assertEqual(self.perform(FAILS_ONCE), {"number": 3})
        self.assertIn("will go on", logs.output[0])
        self.assertEqual(self.runs(), 3)

    def test_failure_without_progress(self):
        with self.assertRaisesRegex(Exception, "broken"):
            self.perform("raise UserError('broken')")

    def test_retry_is_left_to_the_queue(self):
        self.patch(
            type(self.env["ir.actions.server"]),
            "run",
            lambda action: (_ for _ in ()).throw(RetryableJobError("later")),
        )
        with self.assertRaises(RetryableJobError):
            self.perform()

    def test_success_resets_the_counter(self):
        self.cron.write(
            {"failure_count": 3, "first_failure_date": datetime(2026, 1, 1)}
        )
        self.perform()
        self.assertEqual(self.cron.failure_count, 0)
        self.assertFalse(self.cron.first_failure_date)

    def test_failure_of_the_job_counts(self):
        self.cron._on_queue_job_failed(exc_name="x")
        self.env.invalidate_all()
        self.assertEqual(self.cron.failure_count, 1)
        self.assertTrue(self.cron.first_failure_date)
        self.assertTrue(self.cron.active)

    def test_repeated_failure_deactivates(self):
        self.cron.write(
            {
                "failure_count": 4,
                "first_failure_date": datetime.now() - timedelta(days=8),
            }
        )
        self.env.flush_all()
        with mute_logger("odoo.addons.base.models.ir_cron"):
            self.cron._on_queue_job_failed(exc_name="x")
        self.env.invalidate_all()
        self.assertFalse(self.cron.active)

    def test_hook_of_the_failure_is_that_of_the_job_function(self):
        self.cron.method_direct_trigger()
        functions = self.env["queue.job.function"]
        name = self.jobs_of().channel_method_name
        self.assertEqual(
            functions.job_config(name).on_fail_method_name, "_on_queue_job_failed"
        )
        self.assertEqual(functions.job_settings(name).commit_mode, "steps")

    def test_user_needs_no_right_on_scheduled_actions(self):
        self.assertFalse(self.env["ir.cron"].with_user(self.user).has_access("read"))
        self.assertEqual(self.perform(THREE_ITEMS), {"number": 3})


@tagged("post_install", "-at_install")
class TestSteps(CommittedCase):
    """The job in a worker: its commits are steps."""

    committed_models = ("queue.job", "ir.cron", "ir.actions.server")

    def test_worker_performs_an_action_that_commits(self):
        with self.new_env() as env:
            cron = env["ir.cron"].create(
                {
                    "name": "Steps",
                    "model_id": env.ref("base.model_res_partner").id,
                    "state": "code",
                    "code": THREE_ITEMS,
                    "run_as_queue_job": True,
                    "active": False,
                }
            )
            cron.method_direct_trigger()
            uuid = cron.last_queue_job_ids.uuid
        self.addCleanup(self.forget)
        self.move(uuid, "enqueued")
        with self.new_env() as env:
            Bundle(RunJobController, env, [uuid]).perform()
        self.assertEqual(self.states(), {uuid: "done"})
        with self.new_env() as env:
            params = env["ir.config_parameter"]
            self.assertEqual(params.get_param("cron_test"), "3")

    def forget(self):
        with self.new_env() as env:
            env["ir.config_parameter"].set_param("cron_test", False)
