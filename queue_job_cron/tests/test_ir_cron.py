# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Scheduled actions are enqueued: which job, once, with which rights."""

from datetime import datetime, timedelta
from unittest import mock

from odoo.exceptions import AccessError
from odoo.tests import Form, tagged
from odoo.tools import mute_logger

from odoo.addons.base.models.ir_cron import CompletionStatus
from odoo.addons.queue_job.job import Job, identity_exact
from odoo.addons.queue_job.tests.common import trap_jobs

from .common import CronCase

BASE = "odoo.addons.base.models.ir_cron.IrCron"


@tagged("post_install", "-at_install")
class TestChannel(CronCase):
    def test_flag_sets_the_channel_of_actions(self):
        channel = self.env.ref("queue_job_cron.channel_root_ir_cron")
        self.assertEqual(channel.complete_name, "root.ir_cron")
        self.assertEqual(self.cron.channel_id, channel)

    def test_without_flag_it_is_empty(self):
        cron = self.env["ir.cron"].create(self.values_of_cron(run_as_queue_job=False))
        self.assertFalse(cron.channel_id)

    def test_channel_that_is_there_stays(self):
        root = self.env.ref("queue_job.channel_root")
        self.cron.channel_id = root
        for flag in (False, True):
            self.cron.run_as_queue_job = flag
            self.assertEqual(self.cron.channel_id, root)

    def test_form_asks_for_the_channel(self):
        cron = self.env["ir.cron"].create(self.values_of_cron(run_as_queue_job=False))
        with Form(cron, view="base.ir_cron_view_form") as form:
            form.run_as_queue_job = True
            self.assertEqual(form.channel_id.complete_name, "root.ir_cron")
            self.assertTrue(form.no_parallel_queue_job_run)
        self.assertTrue(cron.run_as_queue_job)


@tagged("post_install", "-at_install")
class TestEnqueue(CronCase):
    def test_job_of_the_scheduler(self):
        with mock.patch(f"{BASE}._callback") as run:
            (job,) = self.schedule()
        run.assert_not_called()
        self.assertEqual(job.name, "Nightly")
        self.assertEqual(job.priority, 7)
        self.assertEqual(job.user_id, self.user)
        self.assertEqual(job.channel, "root.ir_cron")
        self.assertEqual(job.state, "pending")
        self.assertEqual(
            job.job_function_id,
            self.env.ref("queue_job_cron.job_function_ir_cron_run_job_as_queue_job"),
        )

    def test_without_flag_odoo_runs_it(self):
        self.cron.run_as_queue_job = False
        with mock.patch(f"{BASE}._callback", return_value="ran") as run:
            result = self.cron._callback("Nightly", 5)
        self.assertEqual(result, "ran")
        run.assert_called_once_with("Nightly", 5)
        self.assertFalse(self.jobs_of())

    def test_call_in_a_trap(self):
        action = self.cron.ir_actions_server_id
        with trap_jobs() as trap:
            self.cron._delay_run_job_as_queue_job(server_action=action)
            trap.assert_enqueued_job(
                self.cron._run_job_as_queue_job,
                args=(),
                kwargs={"server_action": action},
                properties={
                    "priority": 7,
                    "description": "Nightly",
                    "channel": "root.ir_cron",
                    "identity_key": identity_exact,
                },
            )

    def test_parallel_jobs(self):
        self.cron.method_direct_trigger()
        self.cron.method_direct_trigger()
        self.assertEqual(len(self.jobs_of()), 1)
        self.cron.no_parallel_queue_job_run = False
        self.cron.method_direct_trigger()
        self.cron.method_direct_trigger()
        self.assertEqual(len(self.jobs_of()), 3)

    def test_one_job_per_planned_time(self):
        """A scheduler died behind its job, before it moved the planned time."""
        self.cron.write({"no_parallel_queue_job_run": False})
        planned = self.cron.nextcall
        (job,) = self.schedule()
        self.assertEqual(job.ir_cron_planned_at, planned)
        self.assertEqual(self.schedule(), job)
        self.cron.nextcall = planned - timedelta(days=1)
        self.assertEqual(len(self.schedule()), 2)

    def test_person_plans_the_same_time_again(self):
        self.cron.no_parallel_queue_job_run = False
        self.schedule()
        self.cron.nextcall = self.cron.nextcall
        self.assertEqual(len(self.schedule()), 2)

    def test_trigger_has_no_planned_time(self):
        self.cron.nextcall = datetime.now() + timedelta(days=1)
        self.assertFalse(self.schedule().ir_cron_planned_at)

    def test_missed_times(self):
        self.cron.nextcall = datetime.now() - timedelta(days=3)
        self.cron.missed_queue_job_runs = "skip"
        self.assertFalse(self.schedule())
        self.cron.nextcall = datetime.now() - timedelta(hours=23)
        self.assertEqual(len(self.schedule()), 1)

    def test_missed_times_once(self):
        self.cron.nextcall = datetime.now() - timedelta(days=3)
        self.assertEqual(len(self.schedule()), 1)

    def test_trigger_is_not_skipped(self):
        self.cron.nextcall = datetime.now() - timedelta(days=3)
        self.cron.missed_queue_job_runs = "skip"
        self.cron._trigger(at=datetime.now() - timedelta(hours=1))
        self.assertEqual(len(self.schedule()), 1)

    def test_scheduler_moves_the_time_and_leaves_the_counter(self):
        self.cron.failure_count = 3
        self.env.flush_all()
        job = self.cron._acquire_one_job(
            self.env.cr, self.cron.id, include_not_ready=True
        )
        self.registry_enter_test_mode()
        with mute_logger("odoo.addons.base.models.ir_cron"):
            type(self.cron)._process_job(self.env.cr, job)
        self.env.invalidate_all()
        self.assertEqual(len(self.jobs_of()), 1)
        self.assertEqual(self.cron.failure_count, 3)
        self.assertGreater(self.cron.nextcall, datetime.now())

    def test_failure_to_enqueue_is_counted(self):
        row = {**self.cron.read()[0], "run_as_queue_job": True}
        self.cron._update_failure_count(row, CompletionStatus.FAILED)
        self.cron.invalidate_recordset()
        self.assertEqual(self.cron.failure_count, 1)


@tagged("post_install", "-at_install")
class TestByHand(CronCase):
    def test_opens_the_job(self):
        action = self.cron.method_direct_trigger()
        self.assertEqual(action["res_model"], "queue.job")
        self.assertEqual(action["res_id"], self.jobs_of().id)
        self.assertEqual(self.jobs_of().user_id, self.user)

    def test_opens_the_job_that_waits(self):
        first = self.cron.method_direct_trigger()
        self.assertEqual(self.cron.method_direct_trigger()["res_id"], first["res_id"])

    def test_without_flag_odoo_answers(self):
        self.cron.run_as_queue_job = False
        with mock.patch(f"{BASE}.method_direct_trigger", return_value="odoo"):
            self.assertEqual(self.cron.method_direct_trigger(), "odoo")
        self.assertFalse(self.jobs_of())

    def test_needs_the_right_to_write(self):
        with self.assertRaises(AccessError):
            self.cron.with_user(self.user).method_direct_trigger()
        self.assertFalse(self.jobs_of())

    def test_lastcall_reaches_the_action(self):
        self.cron.write(
            {
                "lastcall": datetime(2026, 1, 2, 3, 4, 5),
                "code": "action = {'lastcall': env.context['lastcall']}",
            }
        )
        self.cron.method_direct_trigger()
        job = Job.load(self.env, self.jobs_of().uuid)
        self.registry_enter_test_mode()
        self.assertEqual(job.perform(), {"lastcall": datetime(2026, 1, 2, 3, 4, 5)})

    def test_context_of_the_caller_stays_outside(self):
        self.cron.with_context(lang="en_US", tz="UTC").method_direct_trigger()
        job = Job.load(self.env, self.jobs_of().uuid)
        self.assertNotIn("tz", job.recordset.env.context)

    def test_form_lists_the_last_jobs(self):
        self.cron.no_parallel_queue_job_run = False
        for _number in range(3):
            self.cron.method_direct_trigger()
        self.patch(type(self.cron), "_last_queue_jobs", 2)
        self.assertEqual(
            self.cron.last_queue_job_ids, self.jobs_of().sorted("id", reverse=True)[:2]
        )
