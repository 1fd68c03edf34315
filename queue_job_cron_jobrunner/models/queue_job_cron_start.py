# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from ..sql import statements as sql


class QueueJobCronStart(models.Model):
    """When a cron worker last started a job of a throttled channel.

    Not derived from the jobs: one that was postponed has forgotten its start.
    Written under the lock of picks.
    """

    _name = "queue.job.cron.start"
    _description = "Last Start in a Throttled Channel"
    _log_access = False
    _rec_name = "channel"

    channel = fields.Char(required=True, readonly=True)
    started = fields.Float(
        digits=False, required=True, readonly=True, help="UNIX time."
    )

    _channel_uniq = models.UniqueIndex("(channel)")

    @api.model
    def _last_starts(self):
        self.env.cr.execute(sql.last_starts)
        return dict(self.env.cr.fetchall())

    @api.model
    def _remember(self, channels, now):
        """Remember a start in each of ``channels``, names from the root on."""
        if channels:
            values = {"channels": channels, "now": now}
            self.env.cr.execute(sql.remember_starts, values)
