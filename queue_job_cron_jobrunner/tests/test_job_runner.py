# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The runner as others know it: choosing, performing, waking."""

from datetime import datetime, timedelta

from freezegun import freeze_time
from lxml import etree

from odoo import fields
from odoo.tests import TransactionCase, tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.delay import chain
from odoo.addons.queue_job.exception import RetryableJobError

LOGGER = "odoo.addons.queue_job_cron_jobrunner.models.queue_job"


class CronRunnerCase(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cron = cls.env.ref("queue_job_cron_jobrunner.queue_job_cron")
        cls.jobs = cls.env["queue.job"]
        cls.env["ir.cron.trigger"].search([]).unlink()
        # Rows of other tests and demonstrations take no part.
        cls.env.cr.execute(
            "UPDATE queue_job SET state = 'done' WHERE state NOT IN ('done')"
        )
        cls.env.invalidate_all()

    def delay(self, **properties):
        """Delay a job that does nothing, and return its record."""
        return self.jobs.with_delay(**properties)._test_job().db_record()

    def triggers(self, cron=None):
        return self.env["ir.cron.trigger"].search(
            [("cron_id", "=", (cron or self.cron).id)]
        )

    def run_jobs(self):
        self.jobs._job_runner(commit=False)


class TestRecords(CronRunnerCase):
    def test_cron_of_the_addon(self):
        self.assertEqual(self.cron.name, "Queue Job Runner")
        self.assertEqual(self.cron.model_id, self.env.ref("queue_job.model_queue_job"))
        self.assertEqual(
            (self.cron.state, self.cron.code), ("code", "model._job_runner()")
        )
        self.assertEqual(self.cron.user_id, self.env.ref("base.user_root"))
        self.assertEqual(
            (self.cron.interval_number, self.cron.interval_type), (1, "days")
        )
        self.assertTrue(self.cron.active)
        self.assertTrue(self.cron.queue_job_runner)

    def test_a_copy_is_a_runner_too(self):
        self.assertTrue(self.cron.copy().queue_job_runner)

    def test_another_cron_is_none(self):
        values = {"name": "x", "model_id": self.cron.model_id.id, "code": "pass"}
        self.assertFalse(self.env["ir.cron"].create(values).queue_job_runner)

    def test_field_is_shown_after_priority(self):
        arch = self.env["ir.cron"].get_view(
            view_id=self.env.ref("base.ir_cron_view_form").id
        )["arch"]
        self.assertLess(
            arch.index('name="priority"'), arch.index('name="queue_job_runner"')
        )
        own = self.env.ref("queue_job_cron_jobrunner.ir_cron_view_form")
        self.assertEqual(own.inherit_id, self.env.ref("base.ir_cron_view_form"))
        (field,) = etree.fromstring(own.arch).xpath("//field[@name='queue_job_runner']")
        self.assertEqual(field.get("invisible"), "model_name != 'queue.job'")


class TestTriggers(CronRunnerCase):
    @freeze_time("2023-03-03 03:03:03")
    def test_new_job_triggers_now(self):
        self.delay()
        self.assertEqual(self.triggers().mapped("call_at"), [fields.Datetime.now()])

    @freeze_time("2023-03-03 03:03:03")
    def test_eta_triggers_at_the_eta(self):
        eta = fields.Datetime.now() + timedelta(hours=3)
        self.delay(eta=eta)
        self.assertEqual(self.triggers().mapped("call_at"), [eta])

    @freeze_time("2023-03-03 03:03:03")
    def test_new_eta_of_a_job_triggers(self):
        job = self.delay()
        self.triggers().unlink()
        job.eta = fields.Datetime.now() + timedelta(days=1)
        self.assertEqual(self.triggers().mapped("call_at"), [job.eta])

    @freeze_time("2023-03-03 03:03:03")
    def test_many_jobs_in_one_create(self):
        eta = fields.Datetime.now() + timedelta(minutes=5)
        job = self.delay()
        self.triggers().unlink()
        values = job.copy_data({"uuid": "a", "state": "pending"})[0]
        editor = self.jobs.with_context(_job_edit_sentinel=self.jobs.EDIT_SENTINEL)
        editor.create([{**values, "uuid": f"u{n}", "eta": n and eta} for n in range(3)])
        self.assertEqual(
            sorted(self.triggers().mapped("call_at")), [fields.Datetime.now(), eta]
        )

    def test_job_that_waits_for_others_triggers_nothing(self):
        job = self.delay()
        self.triggers().unlink()
        job.write({"state": "wait_dependencies"})
        self.assertFalse(self.triggers())

    def test_every_runner_cron_is_triggered_but_archived_ones(self):
        other, archived = self.cron.copy(), self.cron.copy({"active": False})
        self.env["ir.cron.trigger"].search([]).unlink()
        self.delay()
        self.assertTrue(self.triggers(self.cron))
        self.assertTrue(self.triggers(other))
        self.assertFalse(self.triggers(archived))

    def test_requeue_triggers(self):
        job = self.delay()
        job.button_cancelled()
        self.triggers().unlink()
        job.requeue()
        self.assertTrue(self.triggers())

    def test_end_of_a_parent_triggers_what_waited_for_it(self):
        chain(*(self.jobs.delayable()._test_job() for _number in range(2))).delay()
        parent, child = self.jobs.search([("state", "!=", "done")], order="id")
        self.triggers().unlink()
        parent.button_done()
        self.assertEqual(child.state, "pending")
        self.assertTrue(self.triggers())

    def test_opened_channel_triggers(self):
        self.delay()
        self.triggers().unlink()
        self.env.ref("queue_job.channel_root").write({"capacity": 3})
        self.assertTrue(self.triggers())

    def test_many_triggers_notify_once(self):
        for _number in range(5):
            self.delay()
        hooks = [func for func in self.cr.postcommit._funcs if "_notifydb" in str(func)]
        self.assertEqual(len(hooks), 5)
        with self.assertLogs("odoo.addons.base.models.ir_cron", "DEBUG") as logs:
            for hook in hooks:
                hook()
        self.assertEqual(
            sum("cron workers notified" in line for line in logs.output), 1
        )


class TestChoice(CronRunnerCase):
    def test_priority_comes_first(self):
        self.delay(priority=20)
        urgent = self.delay(priority=3)
        self.assertEqual(self.jobs._acquire_one_job(), urgent)

    def test_then_the_oldest(self):
        with freeze_time("2023-03-03 03:03:04"):
            self.delay()
        with freeze_time("2023-03-03 03:03:03"):
            oldest = self.delay()
        self.assertEqual(self.jobs._acquire_one_job(), oldest)

    def test_nothing_to_do(self):
        self.assertEqual(self.jobs._acquire_one_job(), self.jobs)

    def test_eta_to_come_waits(self):
        job = self.delay(eta=3600)
        self.assertFalse(self.jobs._acquire_one_job())
        job.eta = fields.Datetime.now() - timedelta(seconds=1)
        self.assertEqual(self.jobs._acquire_one_job(), job)

    def test_due_jobs_compete_by_priority(self):
        past = fields.Datetime.now() - timedelta(minutes=1)
        self.delay(priority=5, eta=past - timedelta(hours=1))
        urgent = self.delay(priority=2, eta=past)
        self.delay(priority=4)
        self.assertEqual(self.jobs._acquire_one_job(), urgent)

    def test_other_states_are_not_taken(self):
        for state in ("wait_dependencies", "done", "cancelled", "failed"):
            self.delay().write({"state": state})
        self.assertFalse(self.jobs._acquire_one_job())

    def channel(self, name, **settings):
        root = self.env.ref("queue_job.channel_root")
        root.capacity = 10
        return root.create({"name": name, "parent_id": root.id, **settings})

    def runs(self, **properties):
        """Have a job that runs."""
        job = self.delay(**properties)
        job.write({"state": "started", "date_enqueued": fields.Datetime.now()})
        return job

    def test_capacity_of_root_is_one(self):
        self.runs()
        self.delay()
        self.assertFalse(self.jobs._acquire_one_job())

    def test_root_has_a_slot_for_each_runner_cron(self):
        self.cron.copy()
        self.runs()
        job = self.delay()
        self.assertEqual(self.jobs._acquire_one_job(), job)
        self.runs()
        self.assertFalse(self.jobs._acquire_one_job())

    def test_full_channel_is_passed_over(self):
        self.channel("narrow", capacity=1)
        self.runs(channel="root.narrow")
        self.delay(channel="root.narrow", priority=1)
        other = self.delay()
        self.assertEqual(self.jobs._acquire_one_job(), other)

    def test_sub_channels_count_in_their_parent(self):
        self.channel("narrow", capacity=1)
        self.runs(channel="root.narrow.a")
        self.delay(channel="root.narrow.b")
        self.assertFalse(self.jobs._acquire_one_job())

    def test_paused_channel(self):
        channel = self.channel("still", paused=True)
        job = self.delay(channel="root.still")
        self.assertFalse(self.jobs._acquire_one_job())
        channel.action_resume()
        self.assertEqual(self.jobs._acquire_one_job(), job)

    def test_channel_that_is_paused_for_a_while(self):
        """The pass knows when it ends, and is triggered then; a throttle ends it no sooner."""
        channel = self.channel("still", throttle=1)
        first = self.delay(channel="root.still")
        self.assertEqual(self.jobs._acquire_one_job(), first)
        first.write({"state": "done"})
        job = self.delay(channel="root.still")
        channel.pause(datetime.now() + timedelta(minutes=15))
        self.assertFalse(self.jobs._acquire_one_job())
        self.assertAlmostEqual(self.jobs._last_pick().wake_in, 900, delta=5)
        channel.pause(datetime.now() - timedelta(seconds=1))
        self.env["queue.job.cron.start"].search([]).unlink()
        self.assertEqual(self.jobs._acquire_one_job(), job)

    def test_failed_job_holds_up_a_sequential_channel(self):
        self.channel("row", sequential=True, capacity=1)
        failed = self.delay(channel="root.row")
        failed.write({"state": "failed"})
        job = self.delay(channel="root.row")
        self.assertFalse(self.jobs._acquire_one_job())
        failed.button_done()
        self.assertEqual(self.jobs._acquire_one_job(), job)

    def test_throttle_after_the_last_start(self):
        self.channel("slow", throttle=60)
        first = self.delay(channel="root.slow")
        self.assertEqual(self.jobs._acquire_one_job(), first)
        first.write({"state": "done"})
        self.delay(channel="root.slow")
        look = self.jobs._pick_next()
        self.assertIsNone(look.uuid)
        self.assertAlmostEqual(look.wake_in, 60, delta=2)

    def test_throttle_ends_though_the_clock_was_set_back(self):
        """An hour back: the channel waited for an hour and its throttle."""
        self.channel("slow", throttle=60)
        starts = self.env["queue.job.cron.start"]
        starts._remember(["root.slow"], self.jobs._database_time() + 3600)
        job = self.delay(channel="root.slow")
        self.assertEqual(self.jobs._acquire_one_job(), job)
        self.assertLessEqual(
            starts._last_starts()["root.slow"], self.jobs._database_time()
        )

    def test_dead_jobs_take_no_slot(self):
        dead = self.runs()
        dead.date_enqueued = fields.Datetime.now() - timedelta(minutes=1)
        job = self.delay()
        self.assertEqual(self.jobs._acquire_one_job(), job)

    def test_choice_of_a_job_behind_many_that_are_held(self):
        held = [self.delay(priority=1, identity_key=f"k{n}") for n in range(6)]
        free = self.delay(priority=9)
        # Somebody who was refused these keys is still in a transaction.
        with self.registry.cursor() as cr:
            cr.execute(
                "SELECT pg_advisory_xact_lock_shared(1903521635, queue_job_key_lock(k)) "
                "FROM unnest(%s) AS k",
                (["k%d" % n for n in range(len(held))],),
            )
            # Our own transaction asked for them too, which conflicts with nothing.
            look = self.jobs._pick_next()
        self.assertEqual(look.uuid, free.uuid)


class TestPerform(CronRunnerCase):
    def test_jobs_are_done_in_one_pass(self):
        jobs = self.delay() + self.delay() + self.delay()
        self.run_jobs()
        self.assertEqual(set(jobs.mapped("state")), {"done"})
        self.assertEqual(set(jobs.mapped("retry")), {1})
        self.assertEqual(set(jobs.mapped("run_number")), {1})

    def test_dependents_are_done_in_the_same_pass(self):
        first, second = (
            self.jobs.delayable()._test_job(),
            self.jobs.delayable()._test_job(),
        )
        chain(first, second).delay()
        records = first._generated_job.db_record() + second._generated_job.db_record()
        self.assertEqual(records.mapped("state"), ["pending", "wait_dependencies"])
        self.run_jobs()
        self.assertEqual(records.mapped("state"), ["done", "done"])

    def test_pass_returns_for_a_dependent_whose_parent_just_ended(self):
        """The worker of the parent died before the release, when the child was young.

        It was left alone as long as a release may be under way, and no trigger was
        left: the child waited for the trigger of another job, or for a day.
        """
        first, second = (self.jobs.delayable()._test_job() for _number in range(2))
        chain(first, second).delay()
        parent, child = (each._generated_job.db_record() for each in (first, second))
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE queue_job SET state = 'done' WHERE id = %s", (parent.id,)
        )
        self.assertTrue(self.jobs._has_young_claims())
        self.env.cr.execute(
            "UPDATE queue_job SET date_created = date_created - interval '1 minute' "
            "WHERE id = %s",
            (child.id,),
        )
        self.assertFalse(self.jobs._has_young_claims())
        self.assertEqual(self.jobs._release_forgotten()[0], [child.uuid])

    def test_failure_is_recorded_and_the_next_job_runs(self):
        failing = self.jobs.with_delay(priority=1)._test_job(failure_rate=1).db_record()
        job = self.delay()
        with mute_logger(LOGGER):
            self.run_jobs()
        self.assertEqual(failing.state, "failed")
        self.assertEqual(failing.exc_name, "odoo.addons.queue_job.exception.JobError")
        self.assertEqual(failing.exc_message, "Job failed")
        self.assertIn("Traceback", failing.exc_info)
        self.assertIn("Something bad", "".join(failing.message_ids.mapped("body")))
        self.assertEqual(job.state, "done")

    def test_work_of_a_failed_job_is_undone(self):
        def fail(records):
            records.env["res.partner"].create({"name": "half a work"})
            raise ValueError("no")

        self.patch(type(self.jobs), "_test_job", fail)
        job = self.delay()
        with mute_logger(LOGGER):
            self.run_jobs()
        self.assertEqual(job.state, "failed")
        self.assertFalse(self.env["res.partner"].search([("name", "=", "half a work")]))

    def test_on_fail_hook_is_called(self):
        function = self.env["queue.job.function"].search(
            [("name", "=", "<queue.job>._test_job")], limit=1
        ) or self.env["queue.job.function"].create(
            {
                "model_id": self.env.ref("queue_job.model_queue_job").id,
                "method": "_test_job",
            }
        )
        function.on_fail_method = "_test_on_fail"
        calls = []
        self.patch(
            type(self.jobs), "_test_on_fail", lambda _jobs, **kw: calls.append(kw)
        )
        self.jobs.with_delay()._test_job(failure_rate=1)
        with mute_logger(LOGGER):
            self.run_jobs()
        self.assertEqual([call["exc_message"] for call in calls], ["Job failed"])

    def test_retry_waits_for_the_seconds_of_the_error(self):
        job = self.jobs.with_delay()._test_job(
            failure_rate=1, failure_retry_seconds=300
        )
        record = job.db_record()
        self.triggers().unlink()
        self.run_jobs()
        self.assertEqual((record.state, record.retry), ("pending", 1))
        wait = record.eta - fields.Datetime.now()
        self.assertAlmostEqual(wait.total_seconds(), 300, delta=5)
        self.assertIn("will be retried in 300", record.result)
        self.assertEqual(self.triggers().mapped("call_at"), [record.eta])

    def test_tries_are_used_up(self):
        def fail(_records):
            raise RetryableJobError("later", seconds=0, ignore_retry=False)

        self.patch(type(self.jobs), "_test_job", fail)
        job = self.delay(max_retries=2)
        with mute_logger(LOGGER):
            self.run_jobs()
            job.eta = False
            self.run_jobs()
        self.assertEqual((job.state, job.retry), ("failed", 2))
        self.assertIn("Max. retries (2) reached", job.exc_message)

    def test_commit_in_a_job_is_refused(self):
        job = self.jobs.with_delay()._test_job(commit_within_job=True).db_record()
        with mute_logger(LOGGER):
            self.run_jobs()
        self.assertEqual(job.state, "failed")
        self.assertIn("Commit is forbidden in queue jobs", job.exc_message)

    def test_a_job_does_not_see_the_context_of_the_cron(self):
        seen = []
        self.patch(
            type(self.jobs),
            "_test_job",
            lambda records: seen.append(dict(records.env.context)),
        )
        self.delay()
        self.jobs.with_context(cron_id=1, ir_cron_progress_id=2)._job_runner(
            commit=False
        )
        self.assertNotIn("cron_id", seen[0])

    def test_processing_a_job_that_is_not_pending_does_nothing(self):
        job = self.delay()
        job.button_cancelled()
        job._process()
        self.assertEqual(job.state, "cancelled")


@tagged("post_install", "-at_install")
class TestSettings(CronRunnerCase):
    def runners(self):
        return self.env["ir.cron"]._runner_crons()

    def set_count(self, count):
        self.env["res.config.settings"].create(
            {"queue_job_cron_runners": count}
        ).execute()

    def test_number_of_runners(self):
        self.set_count(3)
        self.assertEqual(len(self.runners()), 3)
        self.set_count(1)
        self.assertEqual(self.runners(), self.cron)
        self.set_count(2)
        everyone = self.env["ir.cron"].with_context(active_test=False)
        self.assertEqual(everyone.search_count([("queue_job_runner", "=", True)]), 3)
        values = self.env["res.config.settings"].default_get(["queue_job_cron_runners"])
        self.assertEqual(values["queue_job_cron_runners"], 2)

    def test_number_out_of_bounds(self):
        with self.assertRaisesRegex(Exception, "between 0 and"):
            self.set_count(-1)
