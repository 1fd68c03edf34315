# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Attempts of chosen functions and users are profiled until a date."""

from contextlib import nullcontext
from datetime import datetime, timedelta
from unittest.mock import patch

from odoo.exceptions import UserError, ValidationError
from odoo.tests import tagged

from odoo.addons.queue_job.worker import Kind, WorkerDoors, perform

from .common import JobCase

PROFILER = "odoo.addons.queue_job.models.queue_job.Profiler"


@tagged("post_install", "-at_install")
class TestProfiler(JobCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        name = "<test.queue.job>.return_value"
        functions = cls.env["queue.job.function"]
        cls.function = functions.search([("name", "=", name)]) or functions.create(
            {"name": name}
        )
        cls.user = cls.make_user(cls, "profiled", "base.group_system")

    def enable(self, **values):
        until = datetime.now() + timedelta(hours=1)
        self.function.write(
            {"profiling_enabled": True, "profiling_until": until, **values}
        )

    def profiled(self, user=None):
        """Perform a job; return the description of its profile, or None."""
        record = self.record.with_user(user) if user else self.record
        job = record.with_delay().return_value("x")
        with patch(PROFILER, return_value=nullcontext()) as profiler:
            outcome = perform(WorkerDoors, self.env, self.load(job))
        self.assertIs(outcome.kind, Kind.DONE)
        self.job = job
        return profiler.call_args and profiler.call_args.kwargs["description"]

    def test_nothing_is_profiled_by_default(self):
        self.assertIsNone(self.profiled())

    def test_attempt_is_profiled(self):
        self.enable()
        self.assertEqual(
            self.profiled(),
            f"queue.job {self.job.uuid} - <test.queue.job>.return_value",
        )

    def test_user_of_the_job_counts(self):
        self.enable(profiling_user_ids=self.user.ids)
        self.assertIsNone(self.profiled())
        self.assertTrue(self.profiled(self.user))

    def test_until_a_date(self):
        self.enable(profiling_until=datetime.now() - timedelta(seconds=1))
        self.assertIsNone(self.profiled())
        with self.assertRaises(ValidationError):
            self.function.profiling_until = False

    def test_module_of_oca_takes_over(self):
        self.enable()
        modules = {*self.registry._init_modules, "queue_job_profiler"}
        with patch.object(self.registry, "_init_modules", modules):
            self.assertIsNone(self.profiled())
            self.assertFalse(self.nodes())
        self.assertTrue(self.nodes())

    def nodes(self):
        """Return what the form of a job function shows of the profiler."""
        arch, _view = self.function._get_view(view_type="form")
        return arch.xpath("//field[@name='profiling_enabled']")

    def test_button_opens_the_profile(self):
        job = self.row(self.record.with_delay().return_value("x"))
        self.assertFalse(job.job_is_profiled)
        with self.assertRaises(UserError):
            job.action_view_profile()
        name = f"queue.job {job.uuid} - <test.queue.job>.return_value"
        profile = self.env["ir.profile"].create({"name": name, "session": name})
        job.invalidate_recordset()
        self.assertTrue(job.job_is_profiled)
        action = job.action_view_profile()
        self.assertEqual(
            (action["res_model"], action["res_id"]), ("ir.profile", profile.id)
        )
