# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import hashlib

from odoo import api, fields, models
from odoo.modules.module import get_manifest

from ..sql import statements as sql


class QueueJobDeploy(models.Model):
    """When a registry was loaded with versions of modules that were not seen before.

    Processes of two releases run side by side while one is rolled out: each set of
    versions is recorded once, so that they do not take turns.
    """

    _name = "queue.job.deploy"
    _description = "Deploy"
    _log_access = False
    _order = "date DESC, id DESC"
    _rec_name = "date"

    fingerprint = fields.Char(required=True)
    date = fields.Datetime(required=True)

    _fingerprint_uniq = models.UniqueIndex("(fingerprint)")

    def _register_hook(self):
        super()._register_hook()
        if not self.env.cr.readonly:
            values = {"fingerprint": self._fingerprint()}
            self.env.cr.execute(sql.record_deploy, values)

    @api.model
    def _fingerprint(self):
        """Return a digest of the installed modules and the versions of their code."""
        modules = self.env["ir.module.module"].sudo()
        names = modules.search([("state", "=", "installed")]).mapped("name")
        versions = [f"{name} {self._version(name)}" for name in sorted(names)]
        return hashlib.sha256("\n".join(versions).encode()).hexdigest()

    @api.model
    def _version(self, name):
        return get_manifest(name).get("version", "")

    @api.model
    def _last_deploy(self):
        """Return when the last deploy was, False where only one release was seen."""
        dates = self.sudo().search([], limit=2).mapped("date")
        return dates[0] if len(dates) > 1 else False
