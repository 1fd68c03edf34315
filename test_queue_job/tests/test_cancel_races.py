# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A child is stored in one session while its parent is cancelled in another."""

from odoo.tests import tagged

from odoo.addons.queue_job.job import Job

from .common import CommittedJobCase

CANCELLED_WITH_PARENT = "Cancelled because a job it depends on was cancelled"


@tagged("post_install", "-at_install")
class TestCancelRaces(CommittedJobCase):
    def store_child(self, env, *parents):
        job = Job(self.record_in(env).testing_method)
        job.add_depends({Job.load(env, uuid) for uuid in parents})
        job.store()
        return job.uuid

    def cancel(self, env, uuid):
        env["queue.job"].search([("uuid", "=", uuid)]).button_cancelled()
        env.flush_all()

    def race(self, parent, other_parents=(), *, cancel_first):
        """Store a child and cancel a parent in snapshots that do not show each other."""
        with self.registry.cursor() as cr1, self.registry.cursor() as cr2:
            storing = self.env(cr=cr1)
            cancelling = self.env(cr=cr2)
            for env in (storing, cancelling):
                self.take_snapshot(env)
            child = self.store_child(storing, parent, *other_parents)
            self.cancel(cancelling, parent)
            for cr in (cr2, cr1) if cancel_first else (cr1, cr2):
                cr.commit()  # pylint: disable=invalid-commit # that is the subject
        return child

    def test_b09_child_stored_while_its_parent_is_cancelled(self):
        """The child ran, its parent never did."""
        for cancel_first in (True, False):
            with self.subTest(cancel_first=cancel_first):
                parent = self.delay("testing_method", state="pending")
                child = self.race(parent, cancel_first=cancel_first)
                row = self.columns(child, "state", "result", "date_cancelled")
                self.assertTrue(row.pop("date_cancelled"))
                self.assertEqual(
                    row, {"state": "cancelled", "result": CANCELLED_WITH_PARENT}
                )

    def test_b09_child_of_a_dependent_that_is_cancelled_too(self):
        for cancel_first in (True, False):
            with self.subTest(cancel_first=cancel_first):
                top = self.delay("testing_method", state="pending")
                with self.new_env() as env:
                    middle = self.store_child(env, top)
                with self.registry.cursor() as cr1, self.registry.cursor() as cr2:
                    storing, cancelling = self.env(cr=cr1), self.env(cr=cr2)
                    for env in (storing, cancelling):
                        self.take_snapshot(env)
                    child = self.store_child(storing, middle)
                    self.cancel(cancelling, top)
                    for cr in (cr2, cr1) if cancel_first else (cr1, cr2):
                        cr.commit()  # pylint: disable=invalid-commit
                self.assertEqual(
                    self.columns(child, "state", "result"),
                    {"state": "cancelled", "result": CANCELLED_WITH_PARENT},
                )

    def test_b09_one_of_two_parents(self):
        for cancel_first in (True, False):
            with self.subTest(cancel_first=cancel_first):
                one, other = (
                    self.delay("testing_method", state="pending") for _time in range(2)
                )
                child = self.race(one, [other], cancel_first=cancel_first)
                self.assertEqual(self.columns(child, "state")["state"], "cancelled")
                self.assertEqual(self.columns(other, "state")["state"], "pending")

    def test_b09_child_requeued_alone_runs(self):
        """Whoever requeues it wants it to run without its parent (B25)."""
        parent = self.delay("testing_method", state="pending")
        child = self.race(parent, cancel_first=True)
        with self.new_env() as env:
            env["queue.job"].search([("uuid", "=", child)]).requeue()
        self.assertEqual(self.columns(child, "state")["state"], "pending")
