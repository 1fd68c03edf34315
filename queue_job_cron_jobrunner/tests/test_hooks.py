# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import TransactionCase, tagged

from ..hooks import uninstall_hook


@tagged("post_install", "-at_install")
class TestUninstallation(TransactionCase):
    def test_copies_of_the_runner_cron_go_with_the_addon(self):
        """They would fail once a day for ever; archived ones, if somebody woke them."""
        crons = self.env["ir.cron"].with_context(active_test=False)
        crons._set_runner_count(3)
        crons._set_runner_count(2)
        runners = crons.search([("queue_job_runner", "=", True)])
        self.assertEqual(len(runners), 3)
        actions = runners.ir_actions_server_id
        others = crons.search([]) - runners
        uninstall_hook(self.env)
        self.assertFalse(runners.exists() or actions.exists())
        self.assertEqual(others.exists(), others)
