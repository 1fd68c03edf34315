# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import datetime, timedelta

from odoo.tests import tagged

from odoo.addons.queue_job.delay import Delayable, DelayableRecordset, group
from odoo.addons.queue_job.job import Job, identity_exact
from odoo.addons.queue_job.tests.alone import without_extensions

from .common import JobCase


@tagged("post_install", "-at_install")
class TestWithDelay(JobCase):
    def test_with_delay_stores_at_once_and_returns_the_job(self):
        job = self.record.with_delay().testing_method(1, k=2)

        self.assertIsInstance(job, Job)
        row = self.row(job)
        self.assertEqual(row.uuid, job.uuid)
        self.assertEqual(job.db_record(), row)

    def test_row_of_a_call_without_properties(self):
        job = self.record.with_delay().testing_method(1, k=2)

        row = self.row(job)
        self.assertRecordValues(
            row,
            [
                {
                    "state": "pending",
                    "name": "Return what was given.",
                    "model_name": "test.queue.job",
                    "method_name": "testing_method",
                    "func_string": f"test.queue.job({self.record.id},).testing_method(1, k=2)",
                    "channel": "root",
                    "channel_method_name": "<test.queue.job>.testing_method",
                    "priority": 10,
                    "max_retries": 5,
                    "retry": 0,
                    "eta": False,
                    "identity_key": False,
                    "graph_uuid": False,
                    "user_id": self.env.uid,
                    "company_id": self.env.company.id,
                    "result": False,
                    "date_enqueued": False,
                    "date_started": False,
                    "date_done": False,
                    "date_cancelled": False,
                }
            ],
        )
        self.assertTrue(row.date_created)
        self.assertEqual(row.records, self.record)
        self.assertEqual(list(row.args), [1])
        self.assertEqual(row.kwargs, {"k": 2})

    def test_with_delay_takes_the_properties_in_positional_order(self):
        eta = datetime(2030, 1, 1, 12)
        job = self.record.with_delay(
            3, eta, 7, "Described", "root.sub", "key"
        ).testing_method()

        self.assertRecordValues(
            self.row(job),
            [
                {
                    "priority": 3,
                    "eta": eta,
                    "max_retries": 7,
                    "name": "Described",
                    "channel": "root.sub",
                    "identity_key": "key",
                }
            ],
        )

    def test_delayable_takes_the_properties_in_positional_order(self):
        delayable = self.record.delayable(3, 60, 7, "Described", "root.sub", "key")
        delayable._generated_job = True  # not to be delayed

        values = [getattr(delayable, name) for name in Delayable._properties]
        self.assertEqual(values, [3, 60, 7, "Described", "root.sub", "key"])

    def test_unknown_property_is_refused(self):
        for entry in (self.record.with_delay, self.record.delayable):
            with self.subTest(entry.__name__), self.assertRaises(TypeError):
                entry(prioritty=1)

    def test_zero_is_a_priority_and_a_limit(self):
        job = self.record.with_delay(priority=0, max_retries=0).testing_method()
        row = self.row(job)
        self.assertEqual((row.priority, row.max_retries), (0, 0))

    def test_channel_need_not_exist(self):
        job = self.record.with_delay(channel="root.unheard.of").testing_method()
        self.assertEqual(self.row(job).channel, "root.unheard.of")

    def test_channel_comes_from_the_job_function(self):
        records = self.env["test.queue.channel"]
        channels = {
            method_name: getattr(records.with_delay(), method_name)().channel
            for method_name in (
                "without_channel",
                "in_sub_channel",
                "in_sub_sub_channel",
            )
        }
        self.assertEqual(
            channels,
            {
                "without_channel": "root",
                "in_sub_channel": "root.sub",
                "in_sub_sub_channel": "root.sub.subsub",
            },
        )

    def test_field_cannot_be_delayed(self):
        with self.assertRaisesRegex(AttributeError, "method"):
            self.record.with_delay().name()

    def test_unknown_method_cannot_be_delayed(self):
        with self.assertRaises(AttributeError):
            self.record.with_delay().there_is_no_such_method()

    def test_unknown_name_is_refused_at_the_call_only(self):
        delayed = self.record.with_delay()
        call = delayed.there_is_no_such_method
        with self.assertRaises(AttributeError):
            call()
        delayed.delayable._generated_job = True  # was prepared for nothing

    def test_overridden_orm_method_can_be_delayed(self):
        job = self.record.with_delay().mapped("name")
        self.assertEqual(self.load(job).perform(), ["one"])

    def test_empty_recordset_can_delay(self):
        job = self.model.with_delay().testing_method()
        self.assertFalse(self.row(job).records)

    def test_repr_names_model_and_ids(self):
        delayed = DelayableRecordset(self.record)
        delayed.delayable._generated_job = True
        expected = f"DelayableRecordset(test.queue.job({self.record.id},))"
        self.assertEqual((str(delayed), repr(delayed)), (expected, expected))
        self.assertEqual(delayed.recordset, self.record)

    def test_create_log_is_not_posted(self):
        job = self.record.with_delay().testing_method()
        self.assertFalse(self.row(job).message_ids)
        self.assertFalse(self.row(job).message_follower_ids)

    def test_method_found_under_another_name_keeps_that_name(self):
        job = self.record.with_delay().return_value_alias(5)
        self.assertEqual(self.row(job).method_name, "return_value_alias")
        self.assertEqual(self.load(job).perform(), 5)


@tagged("post_install", "-at_install")
class TestWhoMayDelay(JobCase):
    def assert_can_delay(self, login, groups):
        user = self.make_user(login, groups)
        job = self.record.with_user(user).with_delay().testing_method()
        row = self.row(job)
        self.assertEqual(row.user_id, user)
        self.assertEqual(row.records.env.uid, user.id)
        self.assertFalse(row.records.env.su)

    def test_internal_user_delays(self):
        self.assert_can_delay("delay_internal", "base.group_user")

    def test_portal_user_delays(self):
        self.assert_can_delay("delay_portal", "base.group_portal")

    def test_public_user_delays(self):
        self.assert_can_delay("delay_public", "base.group_public")

    def test_portal_user_gets_the_job_of_a_twin(self):
        user = self.make_user("delay_twin", "base.group_portal")
        twin = self.record.with_delay(identity_key="k").testing_method()
        job = self.record.with_user(user).with_delay(identity_key="k").testing_method()
        self.assertEqual(job.uuid, twin.uuid)

    def test_portal_user_delays_a_graph(self):
        user = self.make_user("delay_graph", "base.group_portal")
        record = self.record.with_user(user)
        first, second = (
            record.delayable().testing_method(),
            record.delayable().testing_method(),
        )
        first.on_done(second).delay()
        self.assertEqual(self.row(second._generated_job).state, "wait_dependencies")


@tagged("post_install", "-at_install")
class TestIdentityKey(JobCase):
    def test_twin_blocks_in_each_waiting_state(self):
        for state in ("wait_dependencies", "pending", "enqueued"):
            with self.subTest(state):
                twin = self.make_job(identity_key=f"key {state}")
                self.row(twin).state = state
                job = self.record.with_delay(
                    identity_key=f"key {state}"
                ).testing_method()
                self.assertEqual(job.uuid, twin.uuid)
                self.assertEqual(
                    self.job_model.search_count(
                        [("identity_key", "=", f"key {state}")]
                    ),
                    1,
                )

    def test_finished_or_started_job_does_not_block(self):
        for state in ("started", "done", "failed", "cancelled"):
            with self.subTest(state):
                other = self.make_job(identity_key=f"key {state}")
                self.row(other).state = state
                job = self.record.with_delay(
                    identity_key=f"key {state}"
                ).testing_method()
                self.assertNotEqual(job.uuid, other.uuid)
                self.assertEqual(self.row(job).state, "pending")

    def test_empty_string_is_no_key(self):
        one = self.record.with_delay(identity_key="").testing_method()
        other = self.record.with_delay(identity_key="").testing_method()
        self.assertNotEqual(one.uuid, other.uuid)

    def test_key_of_a_function_is_computed_from_the_job(self):
        job = self.record.with_delay(
            identity_key=lambda job: f"k{job.args}"
        ).testing_method(1)
        self.assertEqual(self.row(job).identity_key, "k(1,)")

    def test_twin_of_another_user_and_company_blocks(self):
        user = self.make_user("twin_other")
        twin = self.record.with_delay(identity_key=identity_exact).testing_method(1)
        other = self.record.with_user(user).with_delay(
            priority=1, eta=60, channel="root.sub"
        )
        other.delayable.identity_key = identity_exact
        self.assertEqual(other.testing_method(1).uuid, twin.uuid)

    def test_long_keys_are_compared_whole(self):
        one = self.record.with_delay(identity_key="x" * 5000 + "1").testing_method()
        other = self.record.with_delay(identity_key="x" * 5000 + "2").testing_method()
        self.assertNotEqual(one.uuid, other.uuid)


@tagged("post_install", "-at_install")
class TestQueryCounts(JobCase):
    def setUp(self):
        super().setUp()
        without_extensions(self.addCleanup, self.job_model, "create")
        # Fill what a running server has warm: settings, access, companies.
        for key in (None, "warm"):
            self.record.with_delay(identity_key=key).testing_method()
        group(*(self.record.delayable().testing_method() for _i in range(2))).delay()
        self.env.flush_all()

    def test_one_call_is_one_query(self):
        with self.assertQueryCount(1):
            self.record.with_delay().testing_method(1, k=2)

    def test_one_call_with_an_identity_key_is_two_queries(self):
        with self.assertQueryCount(2):
            self.record.with_delay(identity_key="a key").testing_method(1, k=2)

    def test_group_of_a_thousand_is_fewer_than_twenty_queries(self):
        delayables = [self.record.delayable().testing_method(i) for i in range(1000)]
        before = self.env.cr.sql_log_count
        group(*delayables).delay()
        self.env.flush_all()
        self.assertLess(self.env.cr.sql_log_count - before, 20)
        graph_uuid = delayables[0]._generated_job.graph_uuid
        self.assertEqual(
            self.job_model.search_count([("graph_uuid", "=", graph_uuid)]), 1000
        )

    def test_group_before_group_is_fewer_than_twenty_queries(self):
        first = [self.record.delayable().testing_method(i) for i in range(100)]
        second = [self.record.delayable().testing_method(i) for i in range(100)]
        before = self.env.cr.sql_log_count
        group(*first).on_done(group(*second)).delay()
        self.env.flush_all()
        self.assertLess(self.env.cr.sql_log_count - before, 20)


@tagged("post_install", "-at_install")
class TestEtaProperty(JobCase):
    def test_eta_as_timedelta_is_stored_from_now(self):
        before = datetime.now().replace(microsecond=0)
        job = self.record.with_delay(eta=timedelta(hours=1)).testing_method()
        self.assertGreaterEqual(self.row(job).eta, before + timedelta(hours=1))
        self.assertLess(self.row(job).eta, before + timedelta(hours=1, minutes=1))
