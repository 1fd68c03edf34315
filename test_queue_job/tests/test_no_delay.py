# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import os
from unittest import mock

from odoo.tests import tagged
from odoo.tools import config, mute_logger

from odoo.addons.queue_job.delay import chain, group
from odoo.addons.queue_job.tests.committed_case import NO_DELAY
from odoo.addons.queue_job.utils import must_run_without_delay

from .common import JobCase

UTILS_LOGGER = "odoo.addons.queue_job.utils"


@tagged("post_install", "-at_install")
class TestMustRunWithoutDelay(JobCase):
    def test_default_is_falsy(self):
        self.assertFalse(must_run_without_delay(self.env))

    def test_any_text_of_the_variable_counts(self):
        for value in ("1", "0", "False"):
            with self.subTest(value), mock.patch.dict(os.environ, {NO_DELAY: value}):
                with self.assertLogs(UTILS_LOGGER, level="WARNING"):
                    self.assertIs(must_run_without_delay(self.env), True)

    def test_empty_variable_is_unset(self):
        with mock.patch.dict(os.environ, {NO_DELAY: ""}):
            self.assertFalse(must_run_without_delay(self.env))

    def test_context_key_is_silent_in_tests(self):
        with self.assertNoLogs(UTILS_LOGGER, level=logging.INFO):
            env = self.env(context={"queue_job__no_delay": True})
            self.assertIs(must_run_without_delay(env), True)
            self.assertFalse(
                must_run_without_delay(self.env(context={"queue_job__no_delay": 0}))
            )

    def test_context_key_is_logged_outside_of_tests(self):
        env = self.env(context={"queue_job__no_delay": True})
        with mock.patch.dict(config._runtime_options, {"test_enable": False}):
            with self.assertLogs(UTILS_LOGGER, level=logging.INFO):
                must_run_without_delay(env)

    def test_names_of_older_series_are_ignored(self):
        for key in ("test_queue_job_no_delay", "_job_force_sync"):
            self.assertFalse(must_run_without_delay(self.env(context={key: True})))
        with mock.patch.dict(os.environ, {"TEST_QUEUE_JOB_NO_DELAY": "1"}):
            self.assertFalse(must_run_without_delay(self.env))


@tagged("post_install", "-at_install")
class TestRunWithoutDelay(JobCase):
    def setUp(self):
        super().setUp()
        self.now_record = self.record.with_context(queue_job__no_delay=True)

    def test_with_delay_runs_at_once(self):
        job = self.now_record.with_delay().write_name("at once")
        self.assertEqual(self.record.name, "at once")
        self.assertEqual((job.state, job.retry), ("pending", 1))
        self.assertFalse(job.db_record())
        self.assert_nothing_stored()

    def test_result_is_on_the_job(self):
        self.assertEqual(self.now_record.with_delay().return_value(5).result, 5)

    @mute_logger(UTILS_LOGGER)
    def test_variable(self):
        with mock.patch.dict(os.environ, {NO_DELAY: "1"}):
            self.record.with_delay().write_name("by variable")
        self.assertEqual(self.record.name, "by variable")
        self.assert_nothing_stored()

    def test_errors_reach_the_caller(self):
        with self.assertRaises(KeyError):
            self.now_record.with_delay().raise_error("key")

    def test_graph_runs_parents_first(self):
        ran = []
        self.patch(
            type(self.model), "return_value", lambda records, value: ran.append(value)
        )
        a, b, c, d = (self.now_record.delayable().return_value(name) for name in "abcd")
        chain(a, group(b, c), d).delay()
        self.assertEqual((ran[0], set(ran[1:3]), ran[3]), ("a", {"b", "c"}, "d"))
        self.assert_nothing_stored()

    def test_one_environment_of_the_graph_is_enough(self):
        one = self.record.delayable().write_name("first")
        other = self.now_record.delayable().return_value(1)
        chain(one, other).delay()
        self.assertEqual(self.record.name, "first")
        self.assertEqual([d._generated_job.retry for d in (one, other)], [1, 1])
        self.assertFalse(other._generated_job.depends_on)
        self.assert_nothing_stored()

    def test_twins_are_not_looked_up(self):
        self.record.with_delay(identity_key="key").testing_method()
        job = self.now_record.with_delay(identity_key="key").write_name("at once")
        self.assertEqual(self.record.name, "at once")
        self.assertFalse(job.db_record())
