# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How long a job has waited and run, and through which states it went."""

from datetime import datetime, timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ..states import (
    CANCELLED,
    DONE,
    FAILED,
    PENDING,
    STARTED,
    WAIT_DEPENDENCIES,
    WAITING,
)

# When the last parent of each job ended. A joint is gone through once.
_RELEASED = """
WITH own AS MATERIALIZED (
    SELECT child_id, parent_id, joint FROM queue_job_dependency WHERE child_id = ANY(%(jobs)s)
), passed AS (
    SELECT d.joint, max(COALESCE(p.date_done, p.date_cancelled)) AS ended
    FROM queue_job_dependency d JOIN queue_job p ON p.id = d.parent_id
    WHERE d.joint IN (SELECT joint FROM own) GROUP BY d.joint
)
SELECT child_id, max(COALESCE(passed.ended, p.date_done, p.date_cancelled))
FROM own LEFT JOIN passed USING (joint) LEFT JOIN queue_job p ON p.id = own.parent_id
GROUP BY child_id
"""
# The order of steps at the same moment.
_RANKS = ("created", "requeued", PENDING, "enqueued", STARTED)


class QueueJob(models.Model):
    _inherit = "queue.job"

    waited = fields.Float(
        string="Waited (s)",
        compute="_compute_durations",
        aggregator=None,
        help="Seconds in which the job could have run before its last start; until now if it "
        "waits.",
    )
    ran = fields.Float(
        string="Ran (s)",
        compute="_compute_durations",
        aggregator=None,
        help="Seconds of the last run; until now if it runs.",
    )
    tries = fields.Char(
        compute="_compute_tries", help="The number of the try, and of how many."
    )
    timeline = fields.Json(
        compute="_compute_timeline", help="The states the job went through, and when."
    )

    @api.depends(
        "state", "date_created", "eta", "date_started", "date_done", "date_cancelled"
    )
    def _compute_durations(self):
        now = datetime.now()
        attempts = self._attempts()
        requeued = self._requeue_dates()
        released = self._release_dates()
        for job in self:
            own = attempts.get(job.id, [])
            could_run = [
                *(job.date_created, job.eta, requeued.get(job.id)),
                *(released.get(job.id), *(attempt.date_ended for attempt in own)),
            ]
            job.waited = job._waited(now, could_run)
            if job.state == STARTED and job.date_started:
                job.ran = max((now - job.date_started).total_seconds(), 0)
            elif job.state == FAILED:
                job.ran = own[-1].seconds if own else 0
            else:
                job.ran = job.exec_time if job.state == DONE else 0

    def _waited(self, now, could_run):
        """Return the seconds before the last start in which this job could have run.

        :param could_run: dates before which it could not: the last one before the start
            counts, those after it are of what came later
        """
        if self.state == WAIT_DEPENDENCIES:
            return 0
        end = (
            now
            if self.state in WAITING
            else self.date_started or self.date_cancelled or self.date_done
        )
        began = self.date_started and end
        dates = [date for date in could_run if date and not (began and date > began)]
        return max((end - max(dates)).total_seconds(), 0) if end and dates else 0

    def _attempts(self):
        """Return ``{job id: attempts, the last one last}``."""
        # A list of jobs needs no traceback of any try.
        attempts = self.env["queue.job.attempt"].search_fetch(
            [("job_id", "in", self.ids)],
            ["job_id", "date_started", "date_ended"],
            order="id",
        )
        return {job.id: list(own) for job, own in attempts.grouped("job_id").items()}

    def _requeue_dates(self):
        """Return ``{job id: date}`` of the last time that a user requeued the job."""
        moves = self.env["queue.job.move"].sudo()
        return {
            job.id: date
            for job, date in moves._read_group(
                [("job_id", "in", self.ids), ("state", "=", PENDING)],
                ["job_id"],
                ["date:max"],
            )
        }

    def _release_dates(self):
        """Return ``{job id: date}`` of the end of the last job that it waited for."""
        linked = self.filtered("graph_uuid").ids
        if not linked:
            return {}
        return dict(self.env.execute_query(SQL(_RELEASED, jobs=linked)))

    @api.depends("retry", "max_retries", "state")
    def _compute_tries(self):
        for job in self:
            # A try is counted when it has ended.
            number = job.retry + (job.state == STARTED)
            job.tries = f"{number} / {job.max_retries or '∞'}"

    # Timeline ---------------------------------------------------------------

    @api.depends(
        *("state", "date_created", "eta", "date_enqueued", "date_started"),
        *("date_done", "date_cancelled", "attempt_ids"),
    )
    @api.depends_context("lang")
    def _compute_timeline(self):
        for job in self:
            job.timeline = job._timeline()

    def _timeline(self):
        """Return the steps in order: kind, label, date, and seconds until the next one.

        The seconds of the last step are those until now, None when it is over.
        """
        steps = sorted(self._timeline_steps(), key=self._timeline_key)
        ends = [date for date, *_rest in steps[1:]] + [self._timeline_end()]
        return [
            {
                "kind": kind,
                "label": label,
                "date": fields.Datetime.to_string(date),
                "seconds": max((end - date).total_seconds(), 0) if end else None,
            }
            for (date, kind, label), end in zip(steps, ends, strict=True)
        ]

    @staticmethod
    def _timeline_key(step):
        date, kind, _label = step
        return date, _RANKS.index(kind) if kind in _RANKS else len(_RANKS)

    def _timeline_end(self):
        return None if self.state in (DONE, CANCELLED, FAILED) else datetime.now()

    def _start_label(self):
        """Return what the last start is called: it has a number when there were others."""
        last = self.attempt_ids.filtered(
            lambda attempt: attempt.date_started == self.date_started
        )
        number = last[:1].number or self.retry + (self.state == STARTED)
        if number and self.attempt_ids - last:
            return self.env._("Try %s started", number)
        return self.env._("Started")

    def _timeline_steps(self):
        """Return ``(date, kind, label)`` of what is known, in no order."""
        moves = self.env["queue.job.move"].sudo().search([("job_id", "in", self.ids)])
        by_user = {(move.date, move.state): self._move_label(move) for move in moves}
        steps = [
            (date, "requeued" if state == PENDING else state, label)
            for (date, state), label in by_user.items()
        ]
        for date, state, label in (
            (self.date_done, DONE, self.env._("Done")),
            (self.date_cancelled, CANCELLED, self.env._("Cancelled")),
        ):
            if (date, state) not in by_user:
                steps.append((date, state, label))
        labels = dict(
            self.env["queue.job.attempt"]
            ._fields["outcome"]
            ._description_selection(self.env)
        )
        for attempt in self.attempt_ids:
            if attempt.date_started != self.date_started:
                label = self.env._("Try %s started", attempt.number)
                steps.append((attempt.date_started, STARTED, label))
            steps.append((attempt.date_ended, attempt.outcome, labels[attempt.outcome]))
        steps += [
            (self._sent_at(steps), "enqueued", self.env._("Sent to a worker")),
            (self.date_started, STARTED, self._start_label()),
        ]
        if self.state == PENDING and self.eta and self.eta <= datetime.now():
            steps.append((self.eta, PENDING, self.env._("Due")))
        # No clock is right to the microsecond: the creation comes first.
        first = self.date_created or datetime.min
        steps = [(max(step[0], first), *step[1:]) for step in steps if step[0]]
        created = (self.date_created, "created", self.env._("Created"))
        return [created, *steps] if self.date_created else steps

    def _sent_at(self, steps):
        """Return when the job was sent: the runner writes whole seconds, cut off.

        After what is known to have come before, within that second.
        """
        sent = self.date_enqueued
        if not sent:
            return None
        before = [
            date
            for date, *_rest in steps
            if date and date < (self.date_started or sent + timedelta(seconds=1))
        ]
        return max([sent, *before])

    def _move_label(self, move):
        """Return what a user did, with the name of the user."""
        name = move.user_id.name or self.env._("a deleted user")
        if move.state == PENDING:
            return self.env._("Requeued by %s", name)
        if move.state == DONE:
            return self.env._("Set to done by %s", name)
        return self.env._("Cancelled by %s", name)
