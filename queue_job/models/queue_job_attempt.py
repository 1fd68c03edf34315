# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.tools import SQL

from ..utils import SHORT_TEXT, storable_text

POSTPONED = "postponed"
FAILED = "failed"
DEAD = "dead"
# Of a job that is tried for ever, the last ones are enough to see why.
KEPT = 50


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


class QueueJob(models.Model):
    _inherit = "queue.job"

    attempt_ids = fields.One2many(
        "queue.job.attempt",
        "job_id",
        string="Attempts",
        readonly=True,
        help="The tries that did not end as done, the last one first.",
    )

    def _keep_attempt(self, outcome, number, error):
        """Keep the error of the try that just ended; the state is written after.

        Plain SQL, so that it works when the ORM is what failed; the caller
        commits.

        :param number: of the try
        :param error: dict of exc_name, exc_message and exc_info
        """
        limits = {
            "exc_name": SHORT_TEXT,
            "exc_message": SHORT_TEXT,
            "exc_info": 4 * SHORT_TEXT,
        }
        texts = [storable_text(error.get(name), limits[name]) for name in limits]
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO queue_job_attempt (
                    job_id, function, run_number, number, outcome, worker_pid,
                    date_started, date_ended, exc_name, exc_message, exc_info
                )
                SELECT id, channel_method_name, run_number, %s, %s, worker_pid,
                    date_started, clock_timestamp() AT TIME ZONE 'UTC', %s, %s, %s
                FROM queue_job WHERE id = %s
                """,
                *(number, outcome, *texts, self.id or None),
            )
        )
        self.env.cr.execute(
            SQL(
                """
                DELETE FROM queue_job_attempt WHERE job_id = %(job)s AND id <= (
                    SELECT id FROM queue_job_attempt WHERE job_id = %(job)s
                    ORDER BY id DESC OFFSET %(kept)s LIMIT 1
                )
                """,
                job=self.id or None,
                kept=KEPT,
            )
        )
        self.invalidate_recordset(["attempt_ids"])
