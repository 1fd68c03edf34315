# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models, tools


class QueueJobFunction(models.Model):
    _inherit = "queue.job.function"

    prevent_duplicates = fields.Boolean(
        default=True,
        help="While a job of this function waits, or has failed, no second one is made "
        "for exactly the same records and arguments: whoever asks gets the one that "
        "exists. A method without job function prevents duplicates too.",
    )

    def write(self, vals):
        if not {"prevent_duplicates", "name", "model_id", "method"} & vals.keys():
            return super().write(vals)
        names = set(self.mapped("name"))
        result = super().write(vals)
        self._watch_jobs(names.union(self.mapped("name")))
        return result

    def unlink(self):
        names = self.mapped("name")
        result = super().unlink()
        self._watch_jobs(names)
        return result

    @api.private
    @tools.ormcache("name")
    def _prevents_duplicates(self, name):
        """Return whether jobs of function ``name`` have no duplicates, from the cache."""
        function = self.search([("name", "=", name)], order="id", limit=1)
        return function.prevent_duplicates if function else True

    @api.model
    def _allowing_names(self):
        """Return the names of the functions whose jobs may have duplicates."""
        allowing = self.search([("prevent_duplicates", "=", False)])
        return [
            name
            for name in allowing.mapped("name")
            if not self._prevents_duplicates(name)
        ]

    @api.model
    def _watch_jobs(self, names):
        """Let jobs that were stored while duplicates were allowed block them now."""
        preventing = [name for name in names if self.sudo()._prevents_duplicates(name)]
        if preventing:
            self.env["queue.job"].sudo()._watch_jobs_of(preventing)
