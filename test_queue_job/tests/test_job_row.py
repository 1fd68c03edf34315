# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A job and its row: what is stored again, and what a loaded job knows."""

from datetime import datetime
from unittest import mock

from odoo.sql_db import Cursor
from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.queue_job.delay import chain, group
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.store import rows
from odoo.addons.queue_job.worker import WorkerDoors

from .common import JobCase

NO_LINKS = {"depends_on": [], "reverse_depends_on": []}
MOMENT = datetime(2026, 3, 4, 5, 6, 7)


@tagged("post_install", "-at_install")
class TestStoreAgain(JobCase):
    def test_change_of_the_row_does_not_hide_what_the_job_says(self):
        """Another object moved the row; whoever stores the job means all of it."""
        job = self.record.with_delay(priority=3).testing_method()
        row = self.row(job)
        row.write(
            {
                "state": "failed",
                "retry": 4,
                "priority": 9,
                "date_started": MOMENT,
                "exc_name": "ValueError",
                "result": "of the row",
            }
        )
        job.set_pending()
        job.store()
        self.assertRecordValues(
            self.row(job),
            [
                {
                    "state": "pending",
                    "retry": 0,
                    "priority": 3,
                    "date_started": False,
                    "exc_name": False,
                    "result": False,
                }
            ],
        )

    def test_values_of_the_creation_are_not_written_again(self):
        job = self.record.with_delay(channel="root.sub", description="D").return_value(
            1
        )
        job.channel = "root.other"
        job.args = (2,)
        job.kwargs = {"value": 3}
        job.recordset = self.model.create({"name": "other"})
        job.date_created = MOMENT
        job.store()
        row = self.row(job)
        self.assertEqual((row.channel, row.name), ("root.sub", "D"))
        self.assertEqual((row.args, row.kwargs), ([1], {}))
        self.assertEqual(row.records, self.record)
        self.assertNotEqual(row.date_created, MOMENT)

    def test_times_and_their_difference_are_stored(self):
        job = self.make_job()
        job.date_started = MOMENT
        job.date_done = MOMENT.replace(minute=8, microsecond=500000)
        job.store()
        self.assertEqual(self.row(job).exec_time, 120.5)
        self.assertEqual(self.row(job).date_done, job.date_done)
        self.assertEqual(self.load(job).exec_time, 120.5)

    def test_two_jobs_of_one_key_may_be_stored(self):
        """The look-up is part of `delay()`; nothing in the table forbids a second row."""
        jobs = [self.make_job(identity_key="key") for _time in range(2)]
        self.assertEqual(self.job_model.search_count([("identity_key", "=", "key")]), 2)
        self.assertIn(
            jobs[0].job_record_with_same_identity_key().uuid,
            [job.uuid for job in jobs],
        )

    def test_delay_calls_the_store_of_the_class(self):
        """Third parties and tests replace it there."""
        before = self.job_model.search_count([])
        with mock.patch.object(Job, "store", autospec=True) as store:
            job = self.record.with_delay().testing_method()
            graph = [self.record.delayable().testing_method() for _time in range(2)]
            chain(*graph).delay()
        stored = [call.args[0] for call in store.call_args_list]
        self.assertEqual(stored, [job, *(part._generated_job for part in graph)])
        self.assertEqual(self.job_model.search_count([]), before)


@tagged("post_install", "-at_install")
class TestDefaults(JobCase):
    """Fields that other addons add may have defaults; those of this one have none."""

    def info(self, **context):
        record = self.env["res.partner"].with_context(**context)
        return self.row(record.with_delay().create_company()).additional_info

    def test_none(self):
        self.assertFalse(self.info())

    def test_of_a_field(self):
        field = self.job_model._fields["additional_info"]
        with mock.patch.object(field, "default", lambda model: "of the field"):
            self.registry.clear_cache()
            self.assertEqual(self.info(), "of the field")
        self.registry.clear_cache()

    def test_of_the_context(self):
        """It is meant for another record: the form that the caller has open."""
        self.assertFalse(self.info(default_additional_info="context"))

    def test_of_an_administrator(self):
        self.env["ir.default"].set("queue.job", "additional_info", "administrator")
        self.assertEqual(self.info(), "administrator")

    def test_of_a_method(self):
        default_get = type(self.job_model).default_get

        def extended(records, names):
            return {**default_get(records, names), "additional_info": "method"}

        self.patch(type(self.job_model), "default_get", extended)
        self.assertEqual(self.info(), "method")


class RolledBack(Exception):
    pass


@tagged("post_install", "-at_install")
class TestStoreAfterRollback(JobCase):
    """What was made in a savepoint that was rolled back is made again, not lost."""

    def roll_back(self, function):
        with self.assertRaises(RolledBack), self.env.cr.savepoint():
            function()
            self.env.flush_all()
            raise RolledBack

    def test_job(self):
        delayable = self.record.delayable(identity_key="key").testing_method()
        self.roll_back(delayable.delay)
        self.assertFalse(self.row(delayable._generated_job))
        delayable.delay()
        row = self.row(delayable._generated_job)
        self.assertEqual(
            (row.state, row.func_string[-16:]), ("pending", "testing_method()")
        )

    def test_graph(self):
        parents, children = (
            [self.record.delayable().testing_method() for _time in range(10)]
            for _side in range(2)
        )
        single = self.record.delayable().testing_method()
        top = group(*parents).on_done(group(*children).on_done(single))
        self.roll_back(top.delay)
        top.delay()
        for child in children:
            self.assertEqual(len(self.row(child._generated_job).dependency_ids), 10)
        self.assertEqual(len(self.row(single._generated_job).dependency_ids), 10)

    def test_lock_record(self):
        job = self.make_job()
        self.roll_back(job.set_started)
        job.set_started()
        job.store()
        self.assertTrue(job.lock())

    def test_lock_record_of_a_job_that_was_started_before_it_was_stored(self):
        job = Job(self.record.testing_method)
        job.set_started()
        job.store()
        job.add_lock_record()
        self.assertTrue(job.lock())


@tagged("post_install", "-at_install")
class TestLinks(JobCase):
    def linked(self, count=2, **values):
        """Return jobs that wait for one another, in no graph unless one is given."""
        jobs = [Job(self.record.testing_method) for _time in range(count)]
        for parent, child in zip(jobs, jobs[1:], strict=False):
            child.add_depends({parent})
        for job in jobs:
            vars(job).update(values)
        return jobs

    def stored(self, *args, **kwargs):
        jobs = self.linked(*args, **kwargs)
        for job in jobs:
            job.store()
        self.env.flush_all()
        self.env.invalidate_all()
        return jobs

    def test_uuid_lists_of_a_single_job_are_empty(self):
        job = self.record.with_delay().testing_method()
        self.assertEqual(self.row(job).dependencies, NO_LINKS)
        group_of_one = self.record.delayable().testing_method()
        group(group_of_one).delay()
        self.assertEqual(self.row(group_of_one._generated_job).dependencies, NO_LINKS)

    def test_uuid_lists_of_a_chain(self):
        a, b, c = jobs = self.stored(3, graph_uuid="graph")
        self.assertEqual(
            [self.row(job).dependencies for job in jobs],
            [
                {"depends_on": [], "reverse_depends_on": [b.uuid]},
                {"depends_on": [a.uuid], "reverse_depends_on": [c.uuid]},
                {"depends_on": [b.uuid], "reverse_depends_on": []},
            ],
        )

    def test_uuid_lists_stay_when_a_loaded_job_is_stored(self):
        a, b = self.stored(graph_uuid="graph")
        loaded = self.load(b)
        loaded.set_pending()
        loaded.store()
        self.assertEqual(
            self.row(b).dependencies, {"depends_on": [a.uuid], "reverse_depends_on": []}
        )

    def test_set_pending_waits_for_a_parent_of_no_graph(self):
        parent, child = self.linked()
        child.set_pending()
        self.assertEqual(child.state, "wait_dependencies")
        parent.state = "done"
        child.set_pending()
        self.assertEqual(child.state, "pending")

    def test_loaded_job_of_no_graph_knows_its_links(self):
        parent, child = self.stored()
        loaded_parent, loaded_child = self.load(parent), self.load(child)
        self.assertTrue(loaded_parent.should_check_dependents())
        self.assertFalse(loaded_child.should_check_dependents())
        self.assertEqual(loaded_child.depends_on, {parent})
        loaded_child.set_pending()
        self.assertEqual(loaded_child.state, "wait_dependencies")
        loaded_parent.set_done()
        loaded_parent.store()
        WorkerDoors._enqueue_dependent_jobs(self.env, loaded_parent)
        self.assertEqual(self.row(child).state, "pending")

    def test_single_job_looks_for_no_links(self):
        """Most jobs are alone, and each would pay."""
        job = self.load(self.record.with_delay().testing_method())
        with self.assertQueryCount(0):
            self.assertFalse(job.should_check_dependents())
            job.set_pending(reset_retry=False)
        self.assertEqual(job.state, "pending")

    def test_cancel_of_dependents_through_the_job(self):
        a, b, c = self.stored(3, graph_uuid="graph")
        a.set_cancelled(result="not needed")
        a.store()
        a.cancel_dependent_jobs()
        self.assertEqual(self.row(a).result, "not needed")
        for job in (b, c):
            self.assertRecordValues(
                self.row(job),
                [
                    {
                        "state": "cancelled",
                        "date_cancelled": a.date_cancelled,
                        "result": "Cancelled because a job it depends on was cancelled",
                    }
                ],
            )

    def test_cancel_of_dependents_leaves_what_does_not_wait(self):
        a, b = self.stored(graph_uuid="graph")
        self.row(b).state = "started"
        a.set_cancelled()
        a.store()
        a.cancel_dependent_jobs()
        self.assertEqual(self.row(b).state, "started")

    def test_release_through_the_job(self):
        parent, child = self.stored(graph_uuid="graph")
        row = self.row(child)
        parent.perform()
        parent.set_done()
        parent.store()
        self.env.flush_all()
        parent.enqueue_waiting()
        self.assertEqual(row.state, "pending")


@tagged("post_install", "-at_install")
class TestReading(JobCase):
    def test_rows_of_a_run_are_found_by_key_in_a_small_table_too(self):
        cr = self.env.cr
        cr.execute(
            "INSERT INTO queue_job (uuid, state, dependencies) "
            "SELECT 'read-' || n, 'enqueued', '{}' FROM generate_series(1, 500) n"
        )
        cr.execute("ANALYZE queue_job")
        jobs = self.env["queue.job"]
        uuids = [f"read-{number}" for number in range(1, 101)]
        sent = []
        execute = Cursor.execute

        def noting(cursor, query, *args, **options):
            sent.append(query)
            return execute(cursor, query, *args, **options)

        with mock.patch.object(Cursor, "execute", noting):
            found = rows.read(jobs, "uuid", uuids)
        self.assertEqual({row["uuid"] for row in found}, set(uuids))
        cr.execute(SQL("EXPLAIN %s", sent[-1]))
        plan = "\n".join(line for (line,) in cr.fetchall())
        self.assertNotIn("Seq Scan", plan)


@tagged("post_install", "-at_install")
class TestBareRows(JobCase):
    """The data of tests and other writers fill few columns."""

    def bare(self, **values):
        values = {"state": "pending", "model_name": "queue.job", **values}
        return self.job_model.create({"uuid": "bare", "method_name": "write", **values})

    def test_every_move_of_a_loaded_bare_row_is_stored(self):
        row = self.bare()
        for move, state in (
            ("set_enqueued", "enqueued"),
            ("set_started", "started"),
            ("set_failed", "failed"),
            ("set_pending", "pending"),
            ("set_cancelled", "cancelled"),
            ("set_done", "done"),
        ):
            with self.subTest(move):
                job = Job.load(self.env, "bare")
                getattr(job, move)()
                job.store()
                self.env.flush_all()
                row.invalidate_recordset()
                self.assertEqual(row.state, state)

    def test_empty_columns_as_the_job_reads_them(self):
        self.bare()
        self.env.flush_all()
        self.env.cr.execute(
            """
            UPDATE queue_job SET records = NULL, args = NULL, kwargs = NULL,
                dependencies = NULL, priority = NULL, retry = NULL, max_retries = NULL,
                worker_pid = NULL, model_name = NULL, method_name = NULL
            WHERE uuid = 'bare'
            """
        )
        self.env.invalidate_all()
        job = Job.load(self.env, "bare")
        self.assertEqual(
            (job.recordset, job.args, job.kwargs), (self.env["base"], (), {})
        )
        self.assertEqual(
            (job.priority, job.retry, job.max_retries, job.worker_pid), (0, 0, 0, 0)
        )
        self.assertEqual((job.depends_on, job.reverse_depends_on), (set(), set()))
        self.assertFalse(job.should_check_dependents())
        self.assertIsNone(job.eta)
        self.assertFalse(job.company_id)

    def test_all_columns_but_two_are_nullable(self):
        self.env.cr.execute(
            """
            SELECT column_name FROM information_schema.columns
            WHERE table_name = 'queue_job' AND is_nullable = 'NO'
            """
        )
        self.assertEqual(
            {name for (name,) in self.env.cr.fetchall()}, {"id", "uuid", "state"}
        )
