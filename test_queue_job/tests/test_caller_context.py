# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Columns that a call does not state are empty, whatever its environment says."""

from datetime import datetime, timedelta

from odoo.tests import tagged

from odoo.addons.queue_job.delay import chain
from odoo.addons.queue_job.store.mapping import COLUMNS

from .common import JobCase

LONG_AGO = datetime.now() - timedelta(days=400)
UNSTATED = (
    *("eta", "identity_key", "result", "graph_uuid", "exc_name", "exc_message"),
    *("exc_info", "date_enqueued", "date_started", "date_done", "date_cancelled"),
    *("exec_time", "worker_pid", "run_number", "retry", "twin_key", "twin_states"),
    *("to_report", "record_id", "record_ids", "job_function_id", "traceparent"),
)


@tagged("post_install", "-at_install")
class TestCallerContext(JobCase):
    def defaults(self):
        """Return a context with a default for each field of jobs."""
        values = {
            "char": "default",
            "text": "default",
            "integer": 7,
            "float": 7.0,
            "boolean": True,
            "datetime": LONG_AGO,
            "date": LONG_AGO.date(),
            "selection": "failed",
            "job_serialized": ["default"],
            "many2one": 1,
            "one2many": [(0, 0, {})],
            "json": [7],
        }
        return {
            f"default_{name}": values[field.type]
            for name, field in self.job_model._fields.items()
            if field.type in values
        }

    def test_defaults_of_the_context_fill_no_column(self):
        """A job of a form with ``default_eta`` in its context waited for years."""
        record = self.record.with_context(**self.defaults())
        row = self.row(record.with_delay().testing_method(1))
        self.assertEqual({name: row[name] for name in UNSTATED if row[name]}, {})
        self.assertEqual(
            (row.state, row.priority, row.name[:6]), ("pending", 10, "Return")
        )
        self.assertEqual((list(row.args), row.kwargs), ([1], {}))
        self.assertFalse(row.message_ids)
        self.assertFalse(row.message_follower_ids)
        self.assertFalse(row.activity_ids)

    def test_defaults_of_the_context_fill_no_column_of_another_module(self):
        record = self.env["test.queue.channel"].with_context(
            default_additional_info="default", default_third_party_note="default"
        )
        row = self.row(record.with_delay().without_channel())
        self.assertFalse(row.additional_info or row.third_party_note)

    def test_defaults_of_a_user_fill_no_column_of_the_queue(self):
        defaults = self.env["ir.default"]
        defaults.set("queue.job", "eta", "2030-01-01 00:00:00", user_id=True)
        defaults.set("queue.job", "identity_key", "default")
        defaults.set("queue.job", "additional_info", "of the administrator")
        row = self.row(self.env["test.queue.channel"].with_delay().without_channel())
        self.assertFalse(row.eta or row.identity_key)
        self.assertEqual(row.additional_info, "of the administrator")

    def test_override_of_default_get_fills_no_column_of_the_queue(self):
        origin = type(self.job_model).default_get

        def default_get(jobs, names):
            return {**origin(jobs, names), "eta": "2030-01-01 00:00:00"}

        self.patch(type(self.job_model), "default_get", default_get)
        self.assertFalse(self.row(self.record.with_delay().testing_method()).eta)

    def test_creation_sees_the_context_of_the_caller(self):
        record = self.record.with_context(third_party_batch="b", default_priority=1)
        row = self.row(record.with_delay().testing_method())
        self.assertEqual((row.third_party_batch, row.priority), ("b", 10))

    def test_jobs_of_a_graph(self):
        record = self.record.with_context(**self.defaults())
        first, second = (record.delayable().testing_method() for _job in range(2))
        chain(first, second).delay()
        rows = self.row(first._generated_job) | self.row(second._generated_job)
        self.assertEqual(rows.mapped("state"), ["pending", "wait_dependencies"])
        self.assertFalse(any(rows.mapped("eta") + rows.mapped("date_done")))
        self.assertEqual(len(rows[1].dependency_ids), 1)

    def test_failure_told_in_such_a_context(self):
        """Messages, followers and tracked values are records too."""
        record = self.record.with_context(
            default_body="default",
            default_subject="default",
            default_res_id=0,
            default_message_type="sms",
            default_partner_id=1,
            default_model="x",
        )
        job = record.with_delay().testing_method()
        job.set_failed(exc_name="E", exc_message="m", exc_info="i")
        job.store()
        row = self.row(job)
        self.assertIn("Something bad", row.message_ids.mapped("body")[0])
        self.assertNotIn("default", row.message_ids.mapped("subject"))
        self.assertEqual(set(row.message_ids.mapped("model")), {"queue.job"})
        self.assertNotIn("sms", row.message_ids.mapped("message_type"))

    def test_unfinished_job_with_an_end_date_is_not_deleted(self):
        row = self.row(self.record.with_delay().testing_method())
        for state in ("pending", "enqueued", "started", "wait_dependencies", "failed"):
            row.write({"state": state, "date_done": LONG_AGO})
            self.env.flush_all()
            self.job_model._gc_old_jobs()
            self.assertTrue(row.exists(), state)

    def test_each_attribute_that_is_stored_is_tried_above(self):
        stated = {"state", "priority", "max_retries", "company_id", "user_id"}
        stated |= {"channel", "uuid", "name", "func_string", "date_created"}
        stated |= {"model_name", "method_name", "channel_method_name"}
        stated |= {"records", "args", "kwargs"}
        self.assertEqual(
            {c.name for c in COLUMNS if c.attribute} - stated - set(UNSTATED), set()
        )
