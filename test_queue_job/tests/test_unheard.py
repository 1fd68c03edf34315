# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What holds where the ORM writes each move of a job holds where SQL writes it.

Almost everywhere nobody listens, while the models of this addon do: so the tests
of acquiring, running and storing are repeated as if those were not there.
"""

from unittest import mock

from odoo.tests import tagged

from odoo.addons.queue_job.controllers.main import RunJobController

from . import (
    test_executor,
    test_job_row,
    test_pitfalls,
    test_runjob,
    test_runjob_in_transaction,
)
from .common import JobCase, Unheard


def _repeat(module, *names):
    """Make a case of this module of each case of another one."""
    for name in names:
        case = type(
            f"{name}Unheard",
            (Unheard, getattr(module, name)),
            {"__module__": __name__, "allow_inherited_tests_method": True},
        )
        globals()[case.__name__] = tagged("post_install", "-at_install")(case)


_repeat(
    test_executor,
    "TestAcquireDataOfTests",
    "TestRunInPlace",
    "TestOutcomeAfterConflict",
)
_repeat(test_job_row, "TestStoreAgain", "TestLinks", "TestBareRows")
_repeat(test_pitfalls, "TestPitfallsOfRuns")
_repeat(test_runjob, "TestAcquire", "TestRunJob")
_repeat(test_runjob_in_transaction, "TestAcquireStep", "TestPerformStep", "TestRunStep")


@tagged("post_install", "-at_install")
class TestWhoLooksAtTheRow(Unheard, JobCase):
    def enqueued(self):
        row = self.row(self.make_job(self.record.return_value, 5))
        row.write({"state": "enqueued"})
        self.env.flush_all()
        return row

    def acquire(self, row):
        self.assertFalse(self.job_model._has_write_overrides())
        with mock.patch.object(self.env.cr, "commit", self.env.flush_all):
            return RunJobController._acquire_job(self.env, row.uuid)

    def test_row_that_was_looked_at_shows_each_move(self):
        row = self.enqueued()
        self.assertEqual((row.state, row.date_started), ("enqueued", False))
        job = self.acquire(row)
        self.assertEqual((row.state, row.date_started), ("started", job.date_started))
        self.assertEqual(row.worker_pid, job.worker_pid)
        RunJobController._runjob(self.env, job)
        self.assertEqual((row.state, row.result, row.retry), ("done", "5", 1))

    def test_store_values_hook_is_asked_at_each_move(self):
        def values(records, job):
            return {"additional_info": f"is {job.state}"}

        self.patch(type(self.model), "_job_store_values", values)
        row = self.enqueued()
        self.assertEqual(row.additional_info, "is pending")
        job = self.acquire(row)
        self.assertEqual(self.row(job).additional_info, "is started")
        RunJobController._runjob(self.env, job)
        self.assertEqual(self.row(job).additional_info, "is done")

    def test_specific_store_values_hook_is_asked_at_each_move(self):
        self.patch(type(self.model), "_job_store_values", lambda records, job: {})
        hook = "_job_store_values_for_return_value"

        def values(records, job):
            return {"additional_info": f"is {job.state}"}

        with mock.patch.object(type(self.model), hook, values, create=True):
            job = self.acquire(self.enqueued())
        self.assertEqual(self.row(job).additional_info, "is started")
