# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta

from odoo import fields, models


class QueueJobPause(models.TransientModel):
    """Pause a channel for a while: one button for each span."""

    _name = "queue.job.pause"
    _description = "Pause a Channel of Jobs"

    channel_id = fields.Many2one("queue.job.channel", required=True, ondelete="cascade")
    reason = fields.Char(help="Shown wherever the channel is.")

    def pause_quarter(self):
        return self._pause(fields.Datetime.now() + timedelta(minutes=15))

    def pause_hour(self):
        return self._pause(fields.Datetime.now() + timedelta(hours=1))

    def pause_day(self):
        """Pause until the day of the user ends."""
        now = fields.Datetime.context_timestamp(self, fields.Datetime.now())
        midnight = (now + timedelta(days=1)).replace(
            hour=0, minute=0, second=0, microsecond=0, tzinfo=None
        )
        zone = now.tzinfo
        local = zone.localize(midnight) if hasattr(zone, "localize") else midnight
        offset = local.utcoffset() or timedelta()
        return self._pause(midnight - offset)

    def pause_until_resumed(self):
        return self._pause(False)

    def _pause(self, until):
        for wizard in self:
            wizard.channel_id.pause(until, wizard.reason)
        return {"type": "ir.actions.act_window_close"}
