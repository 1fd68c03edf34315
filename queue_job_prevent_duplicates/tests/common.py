# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the tests of this addon share. The jobs call ``write`` of a partner."""

import os
from contextlib import contextmanager
from logging import INFO
from unittest import mock

from odoo import SUPERUSER_ID, api
from odoo.modules.registry import DummyRLock, Registry
from odoo.tests import TransactionCase

from odoo.addons.queue_job.executor_run import RunExecutor

LOGGER = "odoo.addons.queue_job_prevent_duplicates.models.queue_job"
NO_DELAY = "QUEUE_JOB__NO_DELAY"


class DuplicatesCase(TransactionCase):
    """Jobs in the transaction of the test."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Developers may run the suite with the variable set.
        cls.startClassPatcher(mock.patch.dict(os.environ))
        os.environ.pop(NO_DELAY, None)
        cls.jobs = cls.env["queue.job"]
        cls.partner = cls.env["res.partner"].create({"name": "One"})
        cls.before = cls.jobs.search([])

    def stored(self):
        """Return the rows of this test, oldest first, read anew."""
        self.env.flush_all()
        self.env.invalidate_all()
        return (self.jobs.search([]) - self.before).sorted("id")

    def ask(self, value="x", **properties):
        """Ask for a job and return it."""
        return self.partner.with_delay(**properties).write({"ref": value})

    def move(self, job, state):
        """Change the state as the runner does: by SQL."""
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE queue_job SET state = %s WHERE uuid = %s", (state, job.uuid)
        )
        self.env.invalidate_all()

    def make_function(self, **values):
        return self.env["queue.job.function"].create(
            {
                "model_id": self.env["ir.model"]._get_id("res.partner"),
                "method": "write",
                **values,
            }
        )

    @contextmanager
    def prevented(self, *values):
        """Fail unless exactly one line for each of ``values`` is logged in the block."""
        with self.assertLogs(LOGGER, INFO) as logs:
            yield
        lines = [
            f"INFO:{LOGGER}:A job already exists for domain [('state', 'not in', "
            "['started', 'done', 'cancelled']), ('func_string', '=', "
            f"{f'''res.partner({self.partner.id},).write({{'ref': '{value}'}})'''!r})]"
            for value in values
        ]
        self.assertEqual(logs.output, lines)


class CommittedCase(TransactionCase):
    """Jobs in transactions of their own, committed, and removed at the end.

    The cursor of the test case stays idle: work with :meth:`new_env`.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.startClassPatcher(mock.patch.dict(os.environ))
        os.environ.pop(NO_DELAY, None)
        # The thread of the tests holds the lock that other threads ask for.
        cls.startClassPatcher(mock.patch.object(Registry, "_lock", DummyRLock()))

    def setUp(self):
        super().setUp()
        with self.new_env() as env:
            self.known_jobs = env["queue.job"].search([]).ids
            self.partner_id = env["res.partner"].create({"name": "One"}).id
        self.addCleanup(self._remove_committed)

    def _remove_committed(self):
        with self.new_env() as env:
            env["queue.job"].search([("id", "not in", self.known_jobs)]).unlink()
            env["res.partner"].browse(self.partner_id).unlink()

    @contextmanager
    def new_env(self):
        """Give an environment on its own cursor, committed at the end."""
        with self.registry.cursor() as cr:
            yield api.Environment(cr, SUPERUSER_ID, {})

    def partner(self, env):
        return env["res.partner"].browse(self.partner_id)

    def ask(self, env, value="x", **properties):
        """Ask for a job; return its uuid."""
        return self.partner(env).with_delay(**properties).write({"ref": value}).uuid

    def take_snapshot(self, env):
        env.cr.execute("SELECT count(*) FROM queue_job")

    def move(self, uuid, state):
        """Change the state as the runner does: by SQL, committed."""
        with self.registry.cursor() as cr:
            cr.execute("UPDATE queue_job SET state = %s WHERE uuid = %s", (state, uuid))

    def states(self):
        """Return ``{uuid: state}`` of the jobs of this test."""
        with self.new_env() as env:
            rows = env["queue.job"].search([("id", "not in", self.known_jobs)])
            return {row.uuid: row.state for row in rows}

    def claim(self, env, uuid):
        return RunExecutor._claim(env, uuid)[1]
