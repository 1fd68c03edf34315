# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models
from odoo.tools import SQL

from ..states import STATES


class QueueJobMove(models.Model):
    """A move of a job by a user: requeued, set to done, cancelled.

    The dates of a job are those of its last run: its timeline reads here what came before.
    """

    _name = "queue.job.move"
    _description = "Move of a Job by a User"
    _log_access = False
    _order = "id"
    _rec_name = "date"

    job_id = fields.Many2one("queue.job", required=True, index=True, ondelete="cascade")
    user_id = fields.Many2one("res.users", ondelete="set null")
    date = fields.Datetime(required=True)
    state = fields.Selection(STATES, required=True)


class QueueJob(models.Model):
    _inherit = "queue.job"

    def _record_move(self, state):
        """Flush a move, and record that the current user made it, at the date of the row."""
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO queue_job_move (job_id, user_id, date, state)
                SELECT id, %(user)s, COALESCE(
                    CASE state WHEN 'done' THEN date_done
                        WHEN 'cancelled' THEN date_cancelled END,
                    clock_timestamp() AT TIME ZONE 'UTC'
                ), %(state)s
                FROM queue_job WHERE id = ANY(%(jobs)s)
                """,
                user=self.env.uid,
                state=state,
                jobs=list(self.ids),
            )
        )
