# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What tests of several addons share: jobs that are stored, and jobs that are committed."""

import os
from contextlib import contextmanager
from unittest import mock

from odoo import SUPERUSER_ID, api
from odoo.modules.registry import DummyRLock, Registry
from odoo.tests import TransactionCase

from ..worker.lease import claim_or_undo

NO_DELAY = "QUEUE_JOB__NO_DELAY"


class DelayCase(TransactionCase):
    """Jobs are stored, in the transaction of the test."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Developers may run the suite with the variable set.
        cls.startClassPatcher(mock.patch.dict(os.environ))
        os.environ.pop(NO_DELAY, None)


class OwnCursors:
    """Before a case: its own cursor stays idle, work is done with :meth:`new_env`."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The thread of the tests holds the lock that other threads ask for.
        cls.startClassPatcher(mock.patch.object(Registry, "_lock", DummyRLock()))

    @contextmanager
    def new_env(self, user=SUPERUSER_ID, **context):
        """Give an environment on its own cursor, committed at the end."""
        with self.registry.cursor() as cr:
            yield api.Environment(cr, user, context)


class CommittedCase(OwnCursors, DelayCase):
    """Jobs in transactions of their own, committed, and removed at the end."""

    # Models whose records are removed, if the test made them.
    committed_models = ("queue.job",)

    def setUp(self):
        super().setUp()
        with self.new_env() as env:
            self._known = {
                model: self._all(env, model).ids for model in self.committed_models
            }
        self.known_jobs = self._known["queue.job"]
        self.addCleanup(self._remove_committed)

    def _all(self, env, model):
        return env[model].with_context(active_test=False).search([])

    def _remove_committed(self):
        with self.new_env() as env:
            for model, known in self._known.items():
                (self._all(env, model) - env[model].browse(known)).unlink()

    def take_snapshot(self, env):
        env.cr.execute("SELECT FROM queue_job LIMIT 1")

    def move(self, uuid, state):
        """Do what the runner does: change the state by SQL, committed."""
        with self.registry.cursor() as cr:
            cr.execute(
                """
                UPDATE queue_job SET state = %s, date_enqueued = now() at time zone 'UTC'
                WHERE uuid = %s
                """,
                (state, uuid),
            )

    def claim(self, env, uuid):
        """Claim a job as a worker does; return the verdict."""
        return claim_or_undo(env, uuid)[1]

    def states(self):
        """Return ``{uuid: state}`` of the jobs of this test."""
        with self.new_env() as env:
            jobs = self._all(env, "queue.job") - env["queue.job"].browse(
                self.known_jobs
            )
            return {job.uuid: job.state for job in jobs}
