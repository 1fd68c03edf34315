# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from ..sql import statements as sql
from ..store import keys


class QueueJobKey(models.Model):
    """The reservation of a key for a job; see ``store/keys.py``."""

    _name = "queue.job.key"
    _description = "Queue Job Key"
    _log_access = False
    _rec_name = "key"

    kind = fields.Char(required=True, readonly=True)
    # sha256: an index entry is bounded, a key is not.
    digest = fields.Char(required=True, readonly=True)
    key = fields.Text(required=True, readonly=True)
    job_uuid = fields.Char(required=True, readonly=True, index=True)
    transaction = fields.Char(
        readonly=True, help="Who made it, while it is not committed."
    )
    callers = fields.Char(
        readonly=True, help="Transactions of refused callers that took no key lock."
    )

    _digest_uniq = models.UniqueIndex("(digest, kind)")

    def init(self):
        # Once only, because that waits for all transactions that have taken an id.
        self.env.cr.execute(sql.does_key_sequence_end)
        if self.env.cr.rowcount:
            self.env.cr.execute(sql.cycle_key_sequence)

    @api.autovacuum
    def _gc_reservations(self):
        """Delete what is left where jobs were changed past the triggers."""
        keys.sweep(self.env.cr)
