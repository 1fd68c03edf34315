# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class QueueJob(models.Model):
    _inherit = "queue.job"

    ir_cron_id = fields.Many2one(
        "ir.cron", string="Scheduled Action", readonly=True, ondelete="set null"
    )
    ir_cron_planned_at = fields.Datetime(
        string="Planned Execution",
        readonly=True,
        help="Planned time of the scheduled action; empty for a run by hand or by a trigger.",
    )

    # The last jobs of an action. Partial: other jobs have no entry.
    _ir_cron_index = models.Index("(ir_cron_id, id) WHERE ir_cron_id IS NOT NULL")
    # One job per planned time, however many nodes enqueue.
    _ir_cron_planned_at_unique = models.UniqueIndex(
        "(ir_cron_id, ir_cron_planned_at) WHERE ir_cron_planned_at IS NOT NULL"
    )
