# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.tools import SQL


class QueueJobCronStart(models.Model):
    """When a cron worker last started a job of a throttled channel.

    The jobs cannot tell: one that was postponed has forgotten its start.
    Written under the lock of the turn.
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
        # The clock was set back when a start is later than now: it holds nothing back.
        self.env.cr.execute(
            SQL(
                "SELECT channel, started FROM queue_job_cron_start "
                "WHERE started <= EXTRACT(EPOCH FROM clock_timestamp())"
            )
        )
        return dict(self.env.cr.fetchall())

    @api.model
    def _remember(self, channels, now):
        """Remember a start in each of ``channels``, names from the root on."""
        for channel in channels:
            self.env.cr.execute(
                SQL(
                    "INSERT INTO queue_job_cron_start (channel, started) VALUES (%s, %s) "
                    "ON CONFLICT (channel) DO UPDATE SET started = excluded.started",
                    *(channel, now),
                )
            )
