# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import datetime, timedelta
from unittest import mock

from odoo.tests import tagged

from odoo.addons.queue_job.controllers.main import RunJobController
from odoo.addons.queue_job.exception import NoSuchJobError
from odoo.addons.queue_job.job import Job

from .common import JobCase, Unheard

CHANNEL_LOGGER = "odoo.addons.queue_job.models.queue_job_channel"


class TracedJob(Job):
    def _store_values(self, create=False):
        return {**super()._store_values(create), "additional_info": "traced"}


class CuttingJob(Job):
    def _store_values(self, create=False):
        values = super()._store_values(create)
        return {**values, "result": (values["result"] or "")[:3] or None}


@tagged("post_install", "-at_install")
class TestStoreAndLoad(JobCase):
    def test_what_is_stored_is_loaded(self):
        moment = datetime(2026, 1, 2, 3, 4, 5, 678901)
        job = Job(
            self.record.testing_method,
            args=("o", "k"),
            kwargs={"c": "!"},
            priority=15,
            eta=60,
            max_retries=4,
            description="Described",
            channel="root.sub",
            identity_key="key",
        )
        job.company_id = self.env["res.company"].create({"name": "of the job"}).id
        job.state = "done"
        job.date_enqueued = job.date_started = job.date_done = job.date_cancelled = (
            moment
        )
        job.retry = 3
        job.result = "the result"
        job.exc_info = "info"
        job.worker_pid = 12
        job.graph_uuid = "graph"
        job.store()
        self.env.flush_all()
        self.env.invalidate_all()

        loaded = self.load(job)

        for name in (
            "uuid",
            "args",
            "kwargs",
            "recordset",
            "method_name",
            "model_name",
            "priority",
            "max_retries",
            "description",
            "channel",
            "identity_key",
            "company_id",
            "state",
            "date_created",
            "date_enqueued",
            "date_started",
            "date_done",
            "date_cancelled",
            "retry",
            "result",
            "exc_info",
            "worker_pid",
            "graph_uuid",
            "user_id",
        ):
            self.assertEqual(getattr(loaded, name), getattr(job, name), name)
        self.assertAlmostEqual(loaded.eta, job.eta, delta=timedelta(milliseconds=1))

    def test_load_of_a_missing_job(self):
        with self.assertRaises(NoSuchJobError):
            Job.load(self.env, "no such uuid")

    def test_load_many_skips_missing_jobs(self):
        one, other = self.make_job(), self.make_job()
        jobs = Job.load_many(self.env, [one.uuid, "no such uuid", other.uuid])
        self.assertEqual(jobs, {one, other})
        self.assertIsInstance(jobs, set)

    def test_records_from_uuids(self):
        one, other = self.make_job(), self.make_job()
        user = self.make_user("db_records")
        env = self.env(user=user)
        records = Job.db_records_from_uuids(env, [one.uuid, other.uuid])
        self.assertEqual(set(records.mapped("uuid")), {one.uuid, other.uuid})
        self.assertTrue(records.env.su)

    def test_db_record_of_a_job_not_stored(self):
        self.assertFalse(Job(self.record.testing_method).db_record())

    def test_user_and_superuser_mode_are_stored(self):
        user = self.make_user("of_the_job")
        record = self.record.with_user(user)
        for records in (record, record.sudo()):
            with self.subTest(su=records.env.su):
                job = Job(records.testing_method)
                job.store()
                self.assertEqual(self.row(job).user_id, user)
                loaded = self.load(job)
                self.assertEqual(loaded.recordset.env.uid, user.id)
                self.assertEqual(loaded.recordset.env.su, records.env.su)

    def test_mutated_argument_is_not_written_back(self):
        argument = {"a": 1}
        job = self.make_job(self.record.testing_method, argument)
        argument["a"] = 2
        job.set_done()
        job.store()
        self.assertEqual(list(self.row(job).args), [{"a": 1}])
        self.assertEqual(self.load(job).args, ({"a": 1},))

    def test_falsy_result_is_stored_empty(self):
        for value in (0, "", [], False, None):
            with self.subTest(value=value):
                job = self.make_job()
                job.result = value
                job.store()
                self.assertFalse(self.row(job).result)

    def test_result_is_stored_as_text(self):
        job = self.make_job()
        job.result = {"a": 1}
        job.store()
        self.assertEqual(self.row(job).result, "{'a': 1}")

    def test_row_with_empty_columns_loads(self):
        row = self.job_model.create(
            {"uuid": "bare", "state": "pending", "method_name": "_test_job"}
        )
        job = Job.load(self.env, row.uuid)
        self.assertEqual(job.recordset._name, "base")
        self.assertEqual((job.args, job.kwargs), ((), {}))
        self.assertEqual((job.priority, job.retry, job.max_retries), (0, 0, 0))
        self.assertFalse(job.depends_on)

    def test_jobs_of_the_test_data_load(self):
        for uuid, state in (
            ("test_started_job", "started"),
            ("test_enqueued_job", "enqueued"),
        ):
            with self.subTest(uuid):
                job = Job.load(self.env, uuid)
                self.assertEqual(job.uuid, uuid)
                self.assertIn(job.state, (state, "pending"))

    def test_store_writes_through_the_model(self):
        job = self.make_job()
        with mock.patch.object(type(self.job_model), "write", autospec=True) as write:
            job.set_done()
            job.store()
        [call] = write.call_args_list
        self.assertEqual(call.args[1]["state"], "done")

    def test_same_identity_key(self):
        twin = self.make_job(identity_key="key")
        job = Job(self.record.testing_method, identity_key="key")
        self.assertEqual(job.job_record_with_same_identity_key().uuid, twin.uuid)
        job = Job(self.record.testing_method, identity_key="other")
        self.assertFalse(job.job_record_with_same_identity_key())

    def test_enqueued_by_sql_is_loaded_with_number_zero(self):
        job = self.make_job()
        self.env.cr.execute(
            "UPDATE queue_job SET retry = NULL, priority = NULL WHERE uuid = %s",
            (job.uuid,),
        )
        self.env.invalidate_all()
        loaded = self.load(job)
        self.assertEqual((loaded.retry, loaded.priority), (0, 0))


@tagged("post_install", "-at_install")
class TestStoreValuesHooks(JobCase):
    def test_generic_hook_at_creation_and_at_each_store(self):
        job = self.make_job()
        self.assertEqual(
            self.row(job).additional_info, "testing_method of test.queue.job"
        )
        self.row(job).additional_info = "changed"
        job.store()
        self.assertEqual(
            self.row(job).additional_info, "testing_method of test.queue.job"
        )

    def test_specific_hook_wins_over_the_generic_one(self):
        def specific(records, job):
            return {"additional_info": "specific"}

        hook = "_job_store_values_for_return_value"
        with mock.patch.object(type(self.model), hook, specific, create=True):
            job = self.make_job(self.record.return_value, 1)
        self.assertEqual(self.row(job).additional_info, "specific")
        self.assertEqual(
            self.row(self.make_job()).additional_info,
            "testing_method of test.queue.job",
        )

    def test_core_columns_cannot_be_set(self):
        def hook(records, job):
            return {
                "channel": "root.hooked",
                "uuid": "hooked",
                "state": "failed",
                "retry": 9,
            }

        self.patch(type(self.model), "_job_store_values", hook)
        job = self.make_job()
        job.store()
        row = self.row(job)
        self.assertEqual(
            (row.uuid, row.channel, row.state, row.retry),
            (job.uuid, "root", "pending", 0),
        )

    def test_unknown_field_is_refused(self):
        self.patch(
            type(self.model), "_job_store_values", lambda records, job: {"no_field": 1}
        )
        with self.assertRaises(ValueError):
            self.make_job()

    def test_base_hook_is_empty(self):
        self.assertEqual(self.env["res.partner"]._job_store_values(None), {})


@tagged("post_install", "-at_install")
class TestStoreValues(JobCase):
    """C7: ``_store_values`` is read and extended by third parties, and was gone."""

    def test_what_store_writes(self):
        job = self.make_job(self.record.return_value, 5)
        values = job._store_values()
        self.assertEqual((values["state"], values["priority"]), ("pending", 10))
        self.assertIn("dependencies", values)
        self.assertNotIn("uuid", values)
        created = job._store_values(create=True)
        self.assertEqual((created["uuid"], created["args"]), (job.uuid, (5,)))
        self.assertLessEqual(values.keys(), created.keys())

    def extend(self):
        original = Job._store_values

        def extended(job, create=False):
            values = original(job, create=create)
            values["additional_info"] = f"{'new' if create else job.state}"
            return values

        self.patch(Job, "_store_values", extended)

    def test_replaced_on_the_class(self):
        self.extend()
        job = self.make_job(self.record.return_value, 5)
        self.assertEqual(self.row(job).additional_info, "new")
        job.set_enqueued()
        job.store()
        self.assertEqual(self.row(job).additional_info, "enqueued")

    def test_extended_by_a_subclass(self):
        job = TracedJob(self.record.return_value, args=(5,))
        job.store()
        self.assertEqual(self.row(job).additional_info, "traced")

    def test_core_values_of_a_subclass_are_written(self):
        job = CuttingJob(self.record.return_value, args=(5,))
        job.store()
        job.set_done("a long result")
        job.store()
        self.assertEqual(self.row(job).result, "a l")


@tagged("post_install", "-at_install")
class TestStoreValuesUnheard(Unheard, TestStoreValues):
    allow_inherited_tests_method = True

    def test_claim_is_extended_too(self):
        self.extend()
        row = self.row(self.make_job(self.record.return_value, 5))
        row.write({"state": "enqueued"})
        self.env.flush_all()
        with mock.patch.object(self.env.cr, "commit", self.env.flush_all):
            RunJobController._acquire_job(self.env, row.uuid)
        self.assertEqual(row.additional_info, "started")


@tagged("post_install", "-at_install")
class TestChannelNames(JobCase):
    """A channel without ``root.`` or without a record passed in silence."""

    def logged(self, name):
        with self.assertLogs(CHANNEL_LOGGER, "WARNING") as logs:
            row = self.row(self.make_job(channel=name))
            self.make_job(channel=name)
        return row, [line for line in logs.output if "limited by root only" in line]

    def test_stored_complete_and_told_once(self):
        for name in ("qj_no_record_1", "root.qj_no_record_2.sub"):
            with self.subTest(name=name):
                row, lines = self.logged(name)
                full = name if name.startswith("root.") else f"root.{name}"
                self.assertEqual(row.channel, full)
                self.assertEqual(len(lines), 1)
                self.assertIn(full, lines[0])

    def test_channel_that_something_limits_is_not_told(self):
        with self.assertNoLogs(CHANNEL_LOGGER):
            for name in ("root", "root.sub", "sub", "root.sub.no_record"):
                self.make_job(channel=name)

    def test_written_complete(self):
        row = self.row(self.make_job())
        for name in ("sub", "root.sub"):
            row.channel = name
            self.assertEqual(row.channel, "root.sub")
        row.channel = False
        self.assertFalse(row.channel)
