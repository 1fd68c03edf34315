# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

POSTPONED = "postponed"
FAILED = "failed"
DEAD = "dead"
STOPPED = "stopped"


class QueueJobAttempt(models.Model):
    """A try of a job that did not end as done, with its error.

    So an error is not lost by the retry that follows it. A job that is done at
    its first try has no row here. The runner writes the rows of dead jobs.
    """

    _name = "queue.job.attempt"
    _description = "Attempt of a Job"
    _log_access = False
    _order = "id DESC"
    _rec_name = "number"

    job_id = fields.Many2one("queue.job", required=True, index=True, ondelete="cascade")
    function = fields.Char(string="Job Function")
    run_number = fields.Integer(help="How often the job had been claimed by a worker.")
    number = fields.Integer(string="Try")
    outcome = fields.Selection(
        [
            (POSTPONED, "Tried again later"),
            (FAILED, "Failed"),
            (DEAD, "Worker vanished"),
            (STOPPED, "Stopped"),
        ],
        required=True,
    )
    date_started = fields.Datetime(string="Started")
    date_ended = fields.Datetime(string="Ended")
    seconds = fields.Float(string="Ran", compute="_compute_seconds")
    worker_pid = fields.Integer()
    exc_name = fields.Char(string="Exception")
    exc_message = fields.Char(string="Message")
    exc_info = fields.Text(string="Traceback")

    _date_ended_index = models.Index("(date_ended)")

    @api.depends("date_started", "date_ended")
    def _compute_seconds(self):
        for attempt in self:
            ended, started = attempt.date_ended, attempt.date_started
            attempt.seconds = (
                max((ended - started).total_seconds(), 0) if ended and started else 0
            )
