# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Log what is not accepted any more, when the methods of all addons are known."""

from odoo import SUPERUSER_ID, api


def migrate(cr, version):
    if version:
        env = api.Environment(cr, SUPERUSER_ID, {})
        env["queue.job.function"]._log_refused_methods()
