# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import hashlib
import os
from datetime import date, datetime, timedelta
from unittest import mock

from freezegun import freeze_time
from lxml import etree

from odoo.tests import BaseCase, tagged

from odoo.addons.queue_job import job as job_module
from odoo.addons.queue_job.exception import (
    BaseQueueJobError,
    ChannelNotFound,
    FailedJobError,
    JobError,
    NoSuchJobError,
    RetryableJobError,
)
from odoo.addons.queue_job.job import (
    DEFAULT_MAX_RETRIES,
    DEFAULT_PRIORITY,
    RETRY_INTERVAL,
    Job,
    identity_exact,
    identity_exact_hasher,
)

from .common import JobCase

NOW = datetime(2026, 3, 4, 5, 6, 7)


@tagged("post_install", "-at_install")
class TestExceptions(BaseCase):
    def test_inheritance(self):
        self.assertEqual(JobError.__bases__, (BaseQueueJobError,))
        for error in (NoSuchJobError, FailedJobError, RetryableJobError):
            self.assertEqual(error.__bases__, (JobError,))
        self.assertEqual(ChannelNotFound.__bases__, (BaseQueueJobError,))

    def test_retryable_keeps_what_it_is_given(self):
        error = RetryableJobError("later", seconds=5, ignore_retry=True)
        self.assertEqual(
            (str(error), error.seconds, error.ignore_retry), ("later", 5, True)
        )
        error = RetryableJobError("later")
        self.assertEqual((error.seconds, error.ignore_retry), (None, False))
        with self.assertRaises(TypeError):
            RetryableJobError()


@tagged("post_install", "-at_install")
class TestJobConstructor(JobCase):
    @freeze_time(NOW)
    def test_initial_values(self):
        job = Job(self.record.testing_method)
        self.assertEqual((job.args, job.kwargs), ((), {}))
        self.assertEqual((job.state, job.retry), ("pending", 0))
        self.assertEqual(
            (job.priority, job.max_retries), (DEFAULT_PRIORITY, DEFAULT_MAX_RETRIES)
        )
        self.assertEqual(
            (DEFAULT_PRIORITY, DEFAULT_MAX_RETRIES, RETRY_INTERVAL), (10, 5, 600)
        )
        self.assertEqual(job.date_created, NOW)
        for name in (
            "graph_uuid",
            "date_enqueued",
            "date_started",
            "date_done",
            "date_cancelled",
            "result",
            "exc_name",
            "exc_message",
            "exc_info",
            "worker_pid",
            "eta",
            "exec_time",
        ):
            self.assertIsNone(getattr(job, name), name)
        self.assertFalse(job.identity_key)
        self.assertEqual(job.company_id, self.env.company.id)
        self.assertEqual(job.user_id, self.env.uid)
        self.assertEqual(job.recordset, self.record)
        self.assertEqual(
            (job.model_name, job.method_name), ("test.queue.job", "testing_method")
        )
        self.assertEqual(job.job_function_name, "<test.queue.job>.testing_method")
        self.assertEqual(job.channel, "root")

    def test_only_bound_methods_of_records_are_accepted(self):
        class Plain:
            def method(self):
                return None

        for func in (
            print,
            type(self.record).testing_method,
            Plain().method,
            "method",
            None,
        ):
            with self.subTest(func=func), self.assertRaises(TypeError):
                Job(func)

    def test_list_of_args_becomes_a_tuple(self):
        self.assertEqual(Job(self.record.testing_method, args=[1, 2]).args, (1, 2))

    def test_wrong_containers_are_refused(self):
        for values in (
            {"args": {1}},
            {"args": "ab"},
            {"args": 1},
            {"kwargs": [1]},
            {"kwargs": 1},
        ):
            with self.subTest(values), self.assertRaises(AssertionError):
                Job(self.record.testing_method, **values)

    def test_uuid_is_made_or_given(self):
        one, other = Job(self.record.testing_method), Job(self.record.testing_method)
        self.assertNotEqual(one.uuid, other.uuid)
        self.assertEqual(len(one.uuid), 36)
        self.assertEqual(one.uuid, one.uuid)
        self.assertEqual(
            Job(self.record.testing_method, job_uuid="given").uuid, "given"
        )

    def test_company_comes_from_the_context_even_when_empty(self):
        company = self.env["res.company"].create({"name": "of the job"})
        for value in (company.id, None, False):
            with self.subTest(value):
                record = self.record.with_context(company_id=value)
                self.assertEqual(Job(record.testing_method).company_id, value)
        record = self.record.with_company(company)
        self.assertEqual(Job(record.testing_method).company_id, company.id)

    def test_missing_on_fail_method_is_refused(self):
        self.env.ref(
            "test_queue_job.job_function_with_fail_hook"
        ).on_fail_method = "no_such"
        with self.assertRaises(TypeError):
            Job(self.record.with_fail_hook, args=("name",))

    def test_equality_and_hash_by_uuid(self):
        one = Job(self.record.testing_method, job_uuid="same")
        other = Job(self.record.return_value, args=(1,), job_uuid="same")
        self.assertEqual(one, other)
        self.assertEqual(len({one, other}), 1)
        self.assertNotEqual(one, Job(self.record.testing_method))

    def test_repr(self):
        job = Job(self.record.testing_method, priority=3)
        self.assertEqual(repr(job), f"<Job {job.uuid}, priority:3>")

    def test_func_string(self):
        job = Job(self.record.testing_method, args=(1, "a"), kwargs={"k": self.record})
        records = f"test.queue.job({self.record.id},)"
        self.assertEqual(
            job.func_string, f"{records}.testing_method(1, 'a', k={records})"
        )

    def test_func_carries_the_uuid_of_the_job(self):
        job = Job(self.record.return_context)
        self.assertEqual(job.func.__self__.env.context.get("job_uuid"), job.uuid)
        self.assertEqual(job.perform()["job_uuid"], job.uuid)

    def test_read_only_properties(self):
        job = Job(self.record.testing_method)
        for name in ("env", "user_id"):
            with self.subTest(name), self.assertRaises(AttributeError):
                setattr(job, name, self.env)

    def test_description(self):
        self.assertEqual(
            Job(self.record.testing_method, description="Given").description, "Given"
        )
        self.assertEqual(
            Job(self.record.testing_method).description, "Return what was given."
        )
        self.assertEqual(
            Job(self.record.without_docstring).description,
            "test.queue.job.without_docstring",
        )

    def test_wrong_types_name_what_was_given(self):
        for name, value in (
            ("priority", "high"),
            ("max_retries", "many"),
            ("description", 5),
            ("channel", 5),
            ("identity_key", 5),
            ("eta", object()),
        ):
            with self.subTest(name), self.assertRaisesRegex(Exception, name):
                Job(self.record.testing_method, **{name: value}).store()


@tagged("post_install", "-at_install")
class TestEta(JobCase):
    def eta(self, value):
        return Job(self.record.testing_method, eta=value).eta

    @freeze_time(NOW)
    def test_values(self):
        cases = (
            (None, None),
            (0, None),
            (False, None),
            ("", None),
            (60, NOW + timedelta(seconds=60)),
            (timedelta(hours=2), NOW + timedelta(hours=2)),
            (datetime(2030, 1, 2, 3), datetime(2030, 1, 2, 3)),
        )
        for value, expected in cases:
            with self.subTest(value=value):
                self.assertEqual(self.eta(value), expected)

    def test_date_and_text_work_when_stored(self):
        for value, expected in (
            (date(2030, 1, 2), datetime(2030, 1, 2)),
            ("2030-01-02 03:04:05", datetime(2030, 1, 2, 3, 4, 5)),
        ):
            with self.subTest(value=value):
                self.assertEqual(self.row(self.make_job(eta=value)).eta, expected)

    def test_now_comes_from_the_name_in_the_module(self):
        with mock.patch("odoo.addons.queue_job.job.datetime", autospec=True) as mocked:
            mocked.now.return_value = NOW
            job = Job(self.record.testing_method, eta=60)
            job.set_started()
            job.set_done()
        self.assertIs(job_module.datetime, datetime)
        self.assertEqual(job.date_created, NOW)
        self.assertEqual(job.eta, NOW + timedelta(seconds=60))
        self.assertEqual((job.date_started, job.date_done), (NOW, NOW))


@tagged("post_install", "-at_install")
class TestPerform(JobCase):
    def test_result_is_kept_and_returned(self):
        job = Job(self.record.testing_method, args=("o",), kwargs={"k": "v"})
        self.assertEqual(job.perform(), (("o",), {"k": "v"}))
        self.assertEqual(job.result, (("o",), {"k": "v"}))
        self.assertEqual((job.retry, job.state), (1, "pending"))

    def test_other_errors_propagate(self):
        job = Job(self.record.raise_error, args=("key",))
        with self.assertRaises(KeyError):
            job.perform()
        self.assertEqual(job.retry, 1)

    def test_last_try_fails(self):
        job = Job(self.record.raise_retryable, args=("busy",), max_retries=3)
        for _try in range(2):
            with self.assertRaisesRegex(RetryableJobError, "busy"):
                job.perform()
        with self.assertRaises(FailedJobError) as caught:
            job.perform()
        self.assertEqual(str(caught.exception), "Max. retries (3) reached: busy")
        self.assertIsInstance(caught.exception.__cause__, RetryableJobError)
        self.assertEqual(job.retry, 3)

    def test_no_limit(self):
        job = Job(self.record.raise_retryable, max_retries=0)
        for _try in range(10):
            with self.assertRaises(RetryableJobError):
                job.perform()
        self.assertEqual(job.retry, 10)

    def test_ignored_retry_is_not_counted_whatever_the_limit(self):
        job = Job(
            self.record.raise_retryable, kwargs={"ignore_retry": True}, max_retries=1
        )
        for _try in range(3):
            with self.assertRaises(RetryableJobError):
                job.perform()
        self.assertEqual(job.retry, 0)

    def test_method_and_hook_are_looked_up_when_run(self):
        job = Job(self.env["queue.job"]._test_job)
        with mock.patch(
            "odoo.addons.queue_job.models.queue_job.QueueJob._test_job",
            return_value="mocked",
        ):
            self.assertEqual(job.perform(), "mocked")

    def test_allow_commit_runs_in_a_temporary_environment(self):
        self.assertTrue(Job(self.record.commit_inside_allowed).job_config.allow_commit)
        job = Job(self.record.return_cursors)
        with mock.patch("odoo.addons.queue_job.job.Job.in_temporary_env") as temporary:
            temporary.return_value = mock.MagicMock()
            job.perform()
        temporary.assert_called_once_with()
        job = Job(self.record.testing_method)
        with mock.patch("odoo.addons.queue_job.job.Job.in_temporary_env") as temporary:
            job.perform()
        temporary.assert_not_called()

    def test_temporary_environment_binds_every_recordset(self):
        user = self.make_user("temporary")
        other = self.record.with_user(user).with_context(lang="en_US")
        job = Job(
            self.record.testing_method,
            args=(other, [other], {"deep": (other,)}),
            kwargs={"k": {"deep": [other]}},
        )
        with job.in_temporary_env():
            cr = job.env.cr
            self.assertIsNot(cr, self.env.cr)
            found = [
                job.args[0],
                job.args[1][0],
                job.args[2]["deep"][0],
                job.kwargs["k"]["deep"][0],
            ]
            for records in found:
                self.assertEqual(records, other)
                self.assertIs(records.env.cr, cr)
                self.assertEqual(records.env.uid, user.id)
                self.assertFalse(records.env.su)
                self.assertEqual(records.env.context, other.env.context)
        self.assertIs(job.env.cr, self.env.cr)
        self.assertIs(job.args[0].env.cr, self.env.cr)


@tagged("post_install", "-at_install")
class TestRetrySeconds(JobCase):
    def seconds(self, method, *tries):
        job = Job(method)
        seconds = []
        for retry in tries:
            job.retry = retry
            seconds.append(job._get_retry_seconds())
        return seconds

    def test_default(self):
        self.assertEqual(self.seconds(self.record.testing_method, 0, 1, 5), [600] * 3)

    def test_pattern(self):
        self.assertEqual(
            self.seconds(self.record.with_retry_pattern, 1, 2, 3, 4, 5, 9),
            [60, 180, 10, 10, 300, 300],
        )

    def test_pattern_that_starts_late(self):
        self.assertEqual(
            self.seconds(self.record.with_late_retry_pattern, 1, 2, 3, 4),
            [600, 600, 180, 180],
        )

    def test_explicit_seconds_win(self):
        job = Job(self.record.with_retry_pattern)
        self.assertEqual(job._get_retry_seconds(123), 123)
        self.assertEqual(job._get_retry_seconds(0), 600)

    def test_pair_is_random_between_both(self):
        with mock.patch(
            "odoo.addons.queue_job.job.randint", return_value=15
        ) as randint:
            self.assertEqual(
                self.seconds(self.record.with_random_retry_pattern, 1), [15]
            )
            self.assertEqual(
                Job(self.record.testing_method)._get_retry_seconds((1, 2)), 15
            )
            self.assertEqual(
                Job(self.record.testing_method)._get_retry_seconds([3, 4]), 15
            )
        self.assertEqual(
            [call.args for call in randint.call_args_list], [(10, 20), (1, 2), (3, 4)]
        )


@tagged("post_install", "-at_install")
class TestMoves(JobCase):
    @freeze_time(NOW)
    def test_set_enqueued(self):
        job = Job(self.record.testing_method)
        job.worker_pid = 5
        job.date_started = NOW
        job.set_enqueued()
        self.assertEqual((job.state, job.date_enqueued), ("enqueued", NOW))
        self.assertIsNone(job.date_started)
        self.assertIsNone(job.worker_pid)

    @freeze_time(NOW)
    def test_set_started(self):
        job = self.make_job()
        with mock.patch("os.getpid", return_value=99999):
            job.set_started()
        self.assertEqual((job.state, job.date_started), ("started", NOW))
        self.assertEqual(job.worker_pid, 99999)
        lock = self.env["queue.job.lock"].search(
            [("queue_job_id", "=", job.db_record().id)]
        )
        self.assertEqual(lock.id, job.db_record().id)
        self.assertNotEqual(os.getpid(), 99999)

    @freeze_time(NOW)
    def test_set_done(self):
        job = self.make_job()
        job.set_failed(exc_info="info", exc_name="name", exc_message="message")
        job.date_started = NOW - timedelta(seconds=90)
        job.set_done(result="the result")
        self.assertEqual(
            (job.state, job.date_done, job.result), ("done", NOW, "the result")
        )
        self.assertEqual((job.exc_name, job.exc_info), (None, None))
        self.assertEqual(job.exc_message, "message")
        self.assertEqual(job.exec_time, 90.0)
        job.set_done()
        self.assertEqual(job.result, "the result")

    @freeze_time(NOW)
    def test_set_cancelled(self):
        job = self.make_job()
        job.set_cancelled(result="not needed")
        self.assertEqual(
            (job.state, job.date_cancelled, job.result),
            ("cancelled", NOW, "not needed"),
        )

    def test_set_failed(self):
        job = self.make_job()
        job.set_failed(exc_info="info", exc_name="name")
        job.set_failed(exc_info=None, exc_message="message")
        self.assertEqual(
            (job.state, job.exc_info, job.exc_name, job.exc_message),
            ("failed", "info", "name", "message"),
        )

    def test_set_pending(self):
        job = self.make_job(eta=datetime(2030, 1, 1))
        job.set_started()
        job.set_failed(exc_info="info")
        job.date_done = job.date_cancelled = job.date_enqueued = NOW
        job.retry = 3
        job.set_pending(result="again", reset_retry=False)
        self.assertEqual((job.state, job.retry, job.result), ("pending", 3, "again"))
        for name in (
            "date_enqueued",
            "date_started",
            "date_done",
            "date_cancelled",
            "worker_pid",
        ):
            self.assertFalse(getattr(job, name), name)
        self.assertEqual((job.eta, job.exc_info), (datetime(2030, 1, 1), "info"))
        job.set_pending()
        self.assertEqual((job.retry, job.result), (0, "again"))

    @freeze_time(NOW)
    def test_postpone(self):
        job = self.make_job()
        job.set_failed(exc_name="name", exc_info="info")
        job.postpone(result="later", seconds=30)
        self.assertEqual(job.eta, NOW + timedelta(seconds=30))
        self.assertEqual(
            (job.result, job.exc_name, job.exc_info), ("later", None, None)
        )
        job.postpone()
        self.assertEqual(job.eta, NOW + timedelta(seconds=600))
        self.assertEqual(job.result, "later")

    def test_on_fail_calls_the_hook(self):
        job = Job(self.record.with_fail_hook, args=("name",))
        self.assertEqual(job.on_fail_method_name, "fail_hook")
        job.on_fail({"exc_name": "E", "exc_message": "m", "exc_info": "i"})
        self.assertEqual(self.record.name, "E: m")

    def test_on_fail_without_hook_does_nothing(self):
        job = Job(self.record.testing_method)
        self.assertFalse(job.on_fail_method_name)
        job.on_fail({"exc_name": "E"})

    def test_lock_record_is_added_once(self):
        job = self.make_job()
        job.add_lock_record()
        job.add_lock_record()
        locks = self.env["queue.job.lock"].search(
            [("queue_job_id", "=", job.db_record().id)]
        )
        self.assertEqual(locks.ids, job.db_record().ids)

    def test_lock_needs_a_started_job(self):
        job = self.make_job()
        job.add_lock_record()
        self.assertFalse(job.lock())
        job.set_started()
        job.store()
        self.assertTrue(job.lock())

    def test_lock_of_a_job_that_is_not_stored(self):
        self.assertFalse(Job(self.record.testing_method).lock())


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
class TestIdentityFunctions(JobCase):
    def job(self, records=None, args=(), kwargs=None, **properties):
        records = self.record if records is None else records
        return Job(records.testing_method, args=args, kwargs=kwargs, **properties)

    def test_exact_key(self):
        other = self.model.create({"name": "two"})
        job = self.job(other | self.record, (1, "a"), {"z": 1, "b": 2})
        hasher = hashlib.sha1()
        hasher.update(b"test.queue.job")
        hasher.update(b"testing_method")
        hasher.update(str(sorted([self.record.id, other.id])).encode())
        hasher.update(b"(1, 'a')")
        hasher.update(b"[('b', 2), ('z', 1)]")
        self.assertEqual(identity_exact(job), hasher.hexdigest())
        self.assertEqual(identity_exact_hasher(job).hexdigest(), hasher.hexdigest())

    def test_hasher_can_be_extended(self):
        hasher = identity_exact_hasher(self.job())
        before = hasher.hexdigest()
        hasher.update(b"more")
        self.assertNotEqual(hasher.hexdigest(), before)

    def test_only_the_call_takes_part(self):
        user = self.make_user("identity")
        base = identity_exact(self.job(args=(1,)))
        same = self.job(
            self.record.with_user(user).with_context(lang="en_US"),
            (1,),
            eta=60,
            priority=1,
            channel="root.sub",
        )
        self.assertEqual(identity_exact(same), base)
        self.assertNotEqual(identity_exact(self.job(args=(2,))), base)
        self.assertNotEqual(identity_exact(self.job(kwargs={"a": 1})), base)

    def test_package_exports_it(self):
        from odoo.addons import queue_job

        self.assertIs(queue_job.identity_exact, identity_exact)
        self.assertIs(job_module.identity_exact_hasher, identity_exact_hasher)


@tagged("post_install", "-at_install")
class TestArguments(JobCase):
    def test_arguments_come_back(self):
        cases = (
            self.record.sudo(),
            datetime(2026, 1, 2, 3, 4, 5, 678901),
            date(2026, 1, 2),
            {"a": [1, {"r": self.record, "d": date(2026, 1, 2)}]},
            None,
            "é",
            1.5,
        )
        for value in cases:
            with self.subTest(value=value):
                job = self.make_job(self.record.return_value, value)
                self.env.invalidate_all()
                self.assertEqual(self.load(job).perform(), value)

    def test_xml_comes_back(self):
        job = self.make_job(
            self.record.return_value, etree.fromstring("<a><b>é</b></a>")
        )
        self.env.invalidate_all()
        element = self.load(job).perform()
        self.assertEqual(etree.tostring(element, encoding="unicode"), "<a><b>é</b></a>")

    def test_user_and_mode_of_each_argument_are_kept(self):
        user = self.make_user("of_the_argument")
        job = self.make_job(self.record.testing_method, self.record.with_user(user))
        self.env.invalidate_all()
        loaded = self.load(job)
        self.assertEqual(
            (loaded.args[0].env.uid, loaded.args[0].env.su), (user.id, False)
        )
        self.assertEqual(loaded.recordset.env.uid, self.env.uid)

    def test_unsaved_records_are_lost(self):
        job = self.make_job(self.record.return_value, self.model.new({"name": "new"}))
        self.env.invalidate_all()
        self.assertEqual(self.load(job).args, (self.model,))

    def test_what_cannot_be_stored_is_refused_when_delayed(self):
        with self.assertRaisesRegex(TypeError, "(?s)(?=.*wrong)(?=.*object)"):
            self.record.with_delay().testing_method(wrong=object())
