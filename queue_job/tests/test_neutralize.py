# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What Odoo's neutralization of a copied database does with the jobs in it."""

from odoo.modules.neutralize import get_neutralization_queries
from odoo.tests import tagged

from .test_explain import ExplainCase
from .test_migrations import CHANNELS_OF_19, MigrationCase


def neutralize(cr):
    for query in get_neutralization_queries(["queue_job"]):
        cr.execute(query)


@tagged("post_install", "-at_install")
class TestNeutralization(ExplainCase):
    def neutralize(self):
        self.env.flush_all()
        neutralize(self.env.cr)
        self.env.invalidate_all()

    def test_nothing_starts_and_the_form_says_why(self):
        job = self.job("root.sub")
        self.neutralize()
        self.assertTrue(self.root.paused)
        self.assertEqual(job.state, "pending")
        self.assert_explained(job, "paused", "root")

    def test_resumed_as_a_whole(self):
        job = self.job("root.sub")
        self.neutralize()
        self.root.action_resume()
        self.assert_explained(job, "next")

    def test_copy_of_a_copy(self):
        self.neutralize()
        self.neutralize()
        self.assertTrue(self.root.paused)


@tagged("post_install", "-at_install")
class TestNeutralizationBeforeTheUpdate(MigrationCase):
    def test_channels_without_the_column(self):
        """Of OCA's addon, whose database is copied to try the switch."""
        self.cr.execute(CHANNELS_OF_19)
        self.cr.execute(
            "INSERT INTO queue_job_channel (name, complete_name, parent_id) "
            "VALUES ('root', 'root', NULL), ('sub', 'root.sub', 1)"
        )
        neutralize(self.cr)
        self.assertEqual(
            self.fetch("SELECT name, paused FROM queue_job_channel ORDER BY id"),
            [("root", True), ("sub", None)],
        )
