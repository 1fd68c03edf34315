# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import os
from unittest import mock

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.tests.committed_case import NO_DELAY
from odoo.addons.queue_job.tests.common import trap_jobs

from .common import JobCase


@tagged("post_install", "-at_install")
class TestAutoDelay(JobCase):
    def test_call_returns_a_stored_job(self):
        job = self.record.delay_me(1, key="k")
        self.assertIsInstance(job, Job)
        row = self.row(job)
        self.assertEqual(
            (row.method_name, list(row.args), row.kwargs),
            ("delay_me", [1], {"key": "k"}),
        )

    def test_job_performs_the_original(self):
        job = self.record.delay_me(1, key="k")
        self.assertEqual(self.load(job).perform(), (1, "k"))

    def test_options(self):
        job = self.record.delay_me_with_options(7)
        row = self.row(job)
        self.assertEqual((row.priority, row.name), (1, "options for 7"))

    def test_without_options_the_properties_are_the_default_ones(self):
        self.assertEqual(self.row(self.record.delay_me(1)).priority, 10)

    def test_runs_at_once_without_the_context_key(self):
        for context in ({}, {"auto_delay_when_asked": False}):
            with self.subTest(context):
                record = self.record.with_context(**context)
                self.assertEqual(record.delay_me_when_asked(5), 5)

    def test_delays_with_the_context_key(self):
        job = self.record.with_context(auto_delay_when_asked=True).delay_me_when_asked(
            5
        )
        self.assertEqual(self.load(job).perform(), 5)

    def test_runs_at_once_inside_a_job(self):
        self.assertEqual(
            self.record.with_context(job_uuid="any").delay_me(1), (1, None)
        )

    def test_delays_inside_a_job_that_asks_for_a_second_one(self):
        """A module sets the key to False for that; a key of any value was enough."""
        for value in (False, None, ""):
            with self.subTest(value):
                job = self.record.with_context(job_uuid=value).delay_me(1)
                self.assertEqual(self.load(job).perform(), (1, None))

    @mute_logger("odoo.addons.queue_job.utils")
    def test_runs_at_once_without_delay(self):
        self.assertEqual(
            self.record.with_context(queue_job__no_delay=True).delay_me(1), (1, None)
        )
        with mock.patch.dict(os.environ, {NO_DELAY: "1"}):
            self.assertEqual(self.record.delay_me(2), (2, None))

    def test_wrapper_looks_like_the_original(self):
        wrapper = type(self.record).delay_me
        self.assertEqual(wrapper.__name__, "delay_me")
        self.assertEqual(wrapper.__doc__, wrapper.origin.__doc__)
        self.assertEqual(wrapper.origin(self.record, 1), (1, None))

    def test_trapped(self):
        with trap_jobs() as trap:
            self.record.delay_me_with_options(7)
            trap.assert_jobs_count(1, only=self.record.delay_me_with_options)
            trap.assert_enqueued_job(
                self.record.delay_me_with_options,
                args=(7,),
                properties={"priority": 1, "description": "options for 7"},
            )
