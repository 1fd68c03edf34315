# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import SUPERUSER_ID
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from odoo.addons.queue_job.job import STATES, Job

from .common import JobCase

ALL_STATES = [state for state, _label in STATES]
CAN_END = {"wait_dependencies", "pending", "enqueued", "failed"}
CAN_REQUEUE = {"failed", "done", "cancelled"}


@tagged("post_install", "-at_install")
class TestButtons(JobCase):
    def job_in(self, state):
        row = self.row(self.make_job())
        row.state = state
        return row

    def test_states_and_labels(self):
        self.assertEqual(
            STATES,
            [
                ("wait_dependencies", "Wait Dependencies"),
                ("pending", "Pending"),
                ("enqueued", "Enqueued"),
                ("started", "Started"),
                ("done", "Done"),
                ("cancelled", "Cancelled"),
                ("failed", "Failed"),
            ],
        )

    def test_button_done(self):
        for state in ALL_STATES:
            with self.subTest(state):
                row = self.job_in(state)
                self.assertIs(row.button_done(), True)
                expected = "done" if state in CAN_END else state
                self.assertEqual(row.state, expected)
                if state in CAN_END:
                    self.assertEqual(
                        row.result, f"Manually set to done by {self.env.user.name}"
                    )
                    self.assertTrue(row.date_done)

    def test_button_cancelled(self):
        for state in ALL_STATES:
            with self.subTest(state):
                row = self.job_in(state)
                self.assertIs(row.button_cancelled(), True)
                expected = "cancelled" if state in CAN_END else state
                self.assertEqual(row.state, expected)
                if state in CAN_END:
                    self.assertEqual(row.result, f"Cancelled by {self.env.user.name}")
                    self.assertTrue(row.date_cancelled)

    def test_requeue(self):
        for state in ALL_STATES:
            with self.subTest(state):
                row = self.job_in(state)
                row.retry = 3
                self.assertIs(row.requeue(), True)
                moved = state in CAN_REQUEUE
                self.assertEqual(row.state, "pending" if moved else state)
                self.assertEqual(row.retry, 0 if moved else 3)

    def test_buttons_take_several_records(self):
        rows = self.job_in("failed") | self.job_in("started") | self.job_in("pending")
        rows.button_done()
        self.assertEqual(rows.mapped("state"), ["done", "started", "done"])

    def test_requeue_of_a_child_waits_for_its_parent(self):
        parent, child = Job(self.record.testing_method), Job(self.record.testing_method)
        parent.graph_uuid = child.graph_uuid = "graph"
        child.add_depends({parent})
        parent.store()
        child.store()
        row = self.row(child)
        row.button_done()
        row.requeue()
        self.assertEqual(row.state, "wait_dependencies")

    def test_button_done_releases_dependents(self):
        parent, child = Job(self.record.testing_method), Job(self.record.testing_method)
        parent.graph_uuid = child.graph_uuid = "graph"
        child.add_depends({parent})
        parent.store()
        child.store()
        self.row(parent).button_done()
        self.assertEqual(self.row(child).state, "pending")

    def test_change_job_state_has_no_filter(self):
        row = self.job_in("started")
        row._change_job_state("done", result="Set")
        self.assertEqual((row.state, row.result), ("done", "Set"))
        row._change_job_state("cancelled", result="Cut")
        self.assertEqual((row.state, row.result), ("cancelled", "Cut"))
        row._change_job_state("pending")
        self.assertEqual(row.state, "pending")

    def test_change_job_state_knows_three_states(self):
        row = self.job_in("pending")
        for state in ("enqueued", "started", "failed", "wait_dependencies", "unheard"):
            with self.subTest(state), self.assertRaises(ValueError):
                row._change_job_state(state)

    def test_cancel_keeps_the_traceback_and_requeue_clears_it(self):
        row = self.job_in("failed")
        row.exc_info = "the traceback"
        row.button_cancelled()
        self.assertEqual(row.exc_info, "the traceback")
        row.requeue()
        self.assertFalse(row.exc_info)

    def test_bare_rows_can_be_moved(self):
        row = self.job_model.create(
            {"uuid": "bare", "state": "failed", "method_name": "_test_job"}
        )
        row.requeue()
        self.assertEqual(row.state, "pending")
        row.button_cancelled()
        self.assertEqual(row.state, "cancelled")


@tagged("post_install", "-at_install")
class TestWrite(JobCase):
    def test_protected_fields_need_the_sentinel(self):
        row = self.row(self.make_job())
        values = {
            "uuid": "other",
            "name": "other",
            "date_created": "2026-01-01 00:00:00",
            "model_name": "res.partner",
            "method_name": "write",
            "func_string": "other",
            "channel_method_name": "other",
            "job_function_id": False,
            "records": self.env["res.partner"],
            "args": (1,),
            "kwargs": {"a": 1},
        }
        for name, value in values.items():
            with self.subTest(name), self.assertRaisesRegex(AccessError, name):
                row.write({name: value})
        with self.assertRaises(AccessError):
            row.with_context(_job_edit_sentinel=object()).write({"name": "other"})
        row.with_context(_job_edit_sentinel=row.EDIT_SENTINEL).write({"name": "other"})
        self.assertEqual(row.name, "other")

    def test_other_fields_are_free(self):
        row = self.row(self.make_job())
        values = {
            "state": "enqueued",
            "priority": 3,
            "eta": False,
            "channel": "root.sub",
            "retry": 2,
            "max_retries": 9,
        }
        row.write(values)
        self.assertRecordValues(row, [values])

    def test_user_is_written_into_the_recordset(self):
        row = self.row(self.make_job())
        user = self.make_user("new_owner")
        row.user_id = user
        self.assertEqual(row.records, self.record)
        self.assertEqual((row.records.env.uid, row.records.env.su), (user.id, False))
        self.assertEqual(self.load(row).user_id, user.id)

    def test_superuser_as_the_user_runs_as_such(self):
        user = self.make_user("demoted")
        row = self.row(self.make_job(self.record.with_user(user).testing_method))
        self.assertFalse(row.records.env.su)
        row.user_id = SUPERUSER_ID
        self.assertEqual(
            (row.records.env.uid, row.records.env.su), (SUPERUSER_ID, True)
        )

    def test_arguments_keep_their_user(self):
        user, other = self.make_user("of_the_args"), self.make_user("of_the_job")
        job = Job(
            self.record.testing_method,
            args=(self.record.with_user(user),),
            kwargs={"k": self.record.with_user(user)},
        )
        job.store()
        self.row(job).user_id = other
        self.env.invalidate_all()
        loaded = self.load(job)
        self.assertEqual(loaded.user_id, other.id)
        self.assertEqual(loaded.args[0].env.uid, user.id)
        self.assertEqual(loaded.kwargs["k"].env.uid, user.id)

    def test_user_written_by_himself_is_synchronised(self):
        manager = self.make_user("self_owner", "queue_job.group_queue_job_manager")
        row = self.row(self.make_job())
        row.with_user(manager).write({"user_id": manager.id})
        self.env.invalidate_all()
        self.assertEqual(self.load(row).user_id, manager.id)

    def test_create_needs_no_sentinel(self):
        row = self.job_model.create(
            {"uuid": "made", "state": "pending", "method_name": "write"}
        )
        self.assertEqual(row.state, "pending")

    def test_only_uuid_and_state_are_required(self):
        row = self.job_model.create({"uuid": "least", "state": "failed"})
        self.assertEqual(row.uuid, "least")


@tagged("post_install", "-at_install")
class TestRelatedActionButton(JobCase):
    def test_none_is_an_error_for_the_user(self):
        job = self.make_job(self.env["test.related.action"].with_disabled_action)
        with self.assertRaises(UserError):
            self.row(job).open_related_action()

    def test_action_is_returned(self):
        self.assertEqual(
            self.row(self.make_job()).open_related_action()["res_id"], self.record.id
        )
