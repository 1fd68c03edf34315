# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from unittest import mock

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.exception import JobError, RetryableJobError
from odoo.addons.queue_job.models.queue_job import QueueJob

from .common import JobCase

# name: type, label or None, read-only, column type or None
FIELDS = {
    "uuid": ("char", "UUID", True, "varchar"),
    "graph_uuid": ("char", "Graph UUID", True, "varchar"),
    "user_id": ("many2one", "User ID", False, "int4"),
    "company_id": ("many2one", "Company", False, "int4"),
    "name": ("char", "Description", True, "varchar"),
    "model_name": ("char", "Model", True, "varchar"),
    "method_name": ("char", None, True, "varchar"),
    "records": ("job_serialized", "Record(s)", True, "jsonb"),
    "args": ("job_serialized", None, True, "jsonb"),
    "kwargs": ("job_serialized", None, True, "jsonb"),
    "dependencies": ("serialized", None, True, "text"),
    "dependency_ids": ("many2many", "Dependency Jobs", None, None),
    "dependent_ids": ("many2many", "Dependent Jobs", None, None),
    "dependency_graph": ("serialized", None, None, None),
    "graph_jobs_count": ("integer", None, None, None),
    "func_string": ("char", "Task", True, "varchar"),
    "state": ("selection", None, True, "varchar"),
    "priority": ("integer", None, False, "int4"),
    "exc_name": ("char", "Exception", True, "varchar"),
    "exc_message": ("char", "Exception Message", True, "varchar"),
    "exc_info": ("text", "Exception Info", True, "text"),
    "result": ("text", None, True, "text"),
    "date_created": ("datetime", "Created Date", True, "timestamp"),
    "date_started": ("datetime", "Start Date", True, "timestamp"),
    "date_enqueued": ("datetime", "Enqueue Time", True, "timestamp"),
    "date_done": ("datetime", None, True, "timestamp"),
    "exec_time": ("float", "Execution Time (avg)", True, "float8"),
    "date_cancelled": ("datetime", None, True, "timestamp"),
    "eta": ("datetime", "Execute only after", False, "timestamp"),
    "retry": ("integer", "Current try", False, "int4"),
    "max_retries": ("integer", "Max. retries", False, "int4"),
    "channel_method_name": ("char", "Complete Method Name", True, "varchar"),
    "job_function_id": ("many2one", "Job Function", True, "int4"),
    "channel": ("char", None, False, "varchar"),
    "identity_key": ("char", None, True, "varchar"),
    "worker_pid": ("integer", None, True, "int4"),
}


@tagged("post_install", "-at_install")
class TestQueueJobModel(JobCase):
    def test_fields(self):
        self.env.cr.execute(
            """
            SELECT column_name, udt_name FROM information_schema.columns
            WHERE table_name = 'queue_job'
            """
        )
        columns = dict(self.env.cr.fetchall())
        for name, (kind, label, readonly, column) in FIELDS.items():
            with self.subTest(name):
                field = self.job_model._fields[name]
                self.assertEqual(field.type, kind)
                if label:
                    self.assertEqual(field.string, label)
                if readonly is not None:
                    self.assertEqual(bool(field.readonly), readonly)
                self.assertEqual(columns.get(name), column)

    def test_only_uuid_and_state_are_required_and_nothing_has_a_default(self):
        # What other addons add is not looked at.
        fields = [self.job_model._fields[name] for name in FIELDS]
        self.assertEqual({f.name for f in fields if f.required}, {"uuid", "state"})
        self.assertFalse([f.name for f in fields if f.default])

    def test_attributes(self):
        self.assertEqual(self.job_model._description, "Queue Job")
        self.assertEqual(self.job_model._order, "date_created DESC, date_done DESC")
        self.assertFalse(self.job_model._log_access)
        self.assertTrue(self.job_model._fields["exc_message"].tracking)
        self.assertEqual(self.job_model._fields["exec_time"].aggregator, "avg")
        self.assertFalse(self.job_model._fields["priority"].aggregator)
        for name in ("mail.thread", "mail.activity.mixin"):
            self.assertIn(
                name, self.job_model._inherit_children | set(QueueJob._inherit)
            )

    def test_protected_fields(self):
        self.assertLessEqual(
            {
                "uuid",
                "name",
                "date_created",
                "model_name",
                "method_name",
                "func_string",
                "channel_method_name",
                "job_function_id",
                "records",
                "args",
                "kwargs",
            },
            set(QueueJob._protected_fields),
        )
        self.assertIs(self.job_model.EDIT_SENTINEL, QueueJob.EDIT_SENTINEL)

    def test_indexes(self):
        self.env.cr.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'queue_job'"
        )
        names = {name for (name,) in self.env.cr.fetchall()}
        self.assertLessEqual(
            {
                "queue_job_identity_key_state_partial_index",
                "queue_job_channel_date_done_date_created_index",
            },
            names,
        )

    def test_trigger_has_three_events(self):
        self.env.cr.execute(
            """
            SELECT count(*) FROM information_schema.triggers
            WHERE event_object_table = 'queue_job' AND trigger_name = 'queue_job_notify'
            """
        )
        self.assertEqual(self.env.cr.fetchone(), (3,))

    def test_uuid_need_not_be_unique(self):
        rows = self.job_model.create([{"uuid": "twice", "state": "failed"}] * 2)
        self.env.flush_all()
        self.assertEqual(len(rows), 2)

    @mute_logger("odoo.sql_db")
    def test_copy_fails(self):
        with self.assertRaises(Exception), self.env.cr.savepoint():  # noqa: B017 any will do
            self.row(self.make_job()).copy()

    def test_job_function_of_the_test_job(self):
        function = self.env.ref("queue_job.job_function_queue_job__test_job")
        self.assertEqual(function.name, "<queue.job>._test_job")
        row = self.row(self.job_model.with_delay()._test_job())
        self.assertEqual(row.job_function_id, function)


@tagged("post_install", "-at_install")
class TestTestJob(JobCase):
    def test_it_logs(self):
        with self.assertLogs("odoo.addons.queue_job.models.queue_job", level=20) as log:
            self.job_model._test_job()
        self.assertIn("Running test job.", log.output[0])

    def test_failure(self):
        with self.assertRaisesRegex(JobError, "^Job failed$") as caught:
            self.job_model._test_job(failure_rate=1)
        self.assertNotIsInstance(caught.exception, RetryableJobError)

    def test_retryable_failure(self):
        with self.assertRaises(RetryableJobError) as caught:
            self.job_model._test_job(failure_rate=1, failure_retry_seconds=7)
        self.assertEqual(caught.exception.seconds, 7)

    def test_duration(self):
        with mock.patch("time.sleep") as sleep:
            self.job_model._test_job(job_duration=0.5)
        sleep.assert_called_once_with(0.5)

    def test_commit(self):
        with mock.patch.object(self.env.cr, "commit") as commit:
            self.job_model._test_job(commit_within_job=True)
            commit.assert_called_once_with()

    def test_on_fail_does_nothing(self):
        self.assertIsNone(self.job_model._test_on_fail(exc_name="E"))
