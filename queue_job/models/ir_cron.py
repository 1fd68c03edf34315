# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, models


class IrCron(models.Model):
    _inherit = "ir.cron"

    @api.model
    def _commit_progress(self, processed=0, *, remaining=None, deactivate=False):
        """Make a step with this progress, inside a job that may commit.

        Return the seconds that are left, as Odoo does.
        """
        current = self._current_job()
        commit = super()._commit_progress
        if not current:
            return commit(processed, remaining=remaining, deactivate=deactivate)
        with current.undone_by_errors():
            current.prepare_step(processed, remaining)
            left = commit(processed, remaining=remaining, deactivate=deactivate)
        return current.end_step(left)
