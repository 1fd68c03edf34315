# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class QueueJobHour(models.Model):
    """Runs of one function that ended in one hour, in one company."""

    _name = "queue.job.hour"
    _description = "Jobs of a Function in an Hour"
    _log_access = False
    _order = "hour"
    _rec_name = "hour"

    hour = fields.Datetime(required=True)
    company_id = fields.Many2one("res.company", ondelete="cascade")
    function = fields.Char(required=True)
    done = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    seconds = fields.Float(required=True, help="All runs together.")
    longest = fields.Float(required=True)

    _hour_uniq = models.UniqueIndex("(hour, function, COALESCE(company_id, 0))")
