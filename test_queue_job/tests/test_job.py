# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import hashlib
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

    def test_b3_uuid_that_no_request_carries(self):
        """The job was stored, and no worker ever took it: an empty one is none."""
        self.assertEqual(len(Job(self.record.testing_method, job_uuid="").uuid), 36)
        with self.assertRaisesRegex(ValueError, "job_uuid"):
            Job(self.record.testing_method, job_uuid="a" * 256)

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
            ("description", object()),
            ("channel", 5),
            ("identity_key", object()),
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

    def test_unsaved_records_are_refused(self):
        """They were lost: the job got an empty recordset."""
        with self.assertRaisesRegex(TypeError, "save the record first"):
            self.make_job(self.record.return_value, self.model.new({"name": "new"}))

    def test_what_cannot_be_stored_is_refused_when_delayed(self):
        with self.assertRaisesRegex(TypeError, "(?s)(?=.*wrong)(?=.*object)"):
            self.record.with_delay().testing_method(wrong=object())
