# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class QueueJobRunner(models.Model):
    """The condition of the runner that was elected last; one row.

    The runner writes it, by SQL: when it is elected, when its requests to the workers
    begin to fail, and when they are answered again.
    """

    _name = "queue.job.runner"
    _description = "Condition of the Job Runner"
    _log_access = False

    name = fields.Char(required=True, help="Node and process.")
    is_pooled = fields.Boolean(
        help="A pooler stands between the runner and PostgreSQL."
    )
    trouble = fields.Char(
        help="Kind of failure of its requests, empty while they are answered."
    )
    status = fields.Integer(help="HTTP status of the failed requests.")
    address = fields.Char(help="Where the requests go.")
    since = fields.Datetime()
