# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the tests of this addon share. The jobs call ``write`` of a partner."""

from contextlib import contextmanager
from logging import INFO

from odoo.addons.queue_job.tests.committed_case import CommittedCase, DelayCase

LOGGER = "odoo.addons.queue_job_prevent_duplicates.models.queue_job"


class DuplicatesCase(DelayCase):
    """Jobs in the transaction of the test."""

    prevents_duplicates = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
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


class CommittedPartnerCase(CommittedCase):
    """Committed jobs of a committed partner."""

    prevents_duplicates = True
    committed_models = ("queue.job", "res.partner")

    def setUp(self):
        super().setUp()
        with self.new_env() as env:
            self.partner_id = env["res.partner"].create({"name": "One"}).id

    def record_in(self, env):
        return env["res.partner"].browse(self.partner_id)

    def ask(self, env, value="x", **properties):
        """Ask for a job; return its uuid."""
        return self.record_in(env).with_delay(**properties).write({"ref": value}).uuid
