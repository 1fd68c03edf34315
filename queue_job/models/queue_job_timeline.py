# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How long a job has waited and run, and through which states it went."""

from datetime import datetime

from odoo import api, fields, models

from ..states import CANCELLED, DONE, FAILED, PENDING, STARTED, WAITING


class QueueJob(models.Model):
    _inherit = "queue.job"

    waited = fields.Float(
        string="Waited (s)",
        compute="_compute_durations",
        aggregator=None,
        help="Seconds from when the job could have run until it began; until now if it waits.",
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
        failed = self._failed_runs()
        for job in self:
            waits = job.state in WAITING
            began = (
                now
                if waits
                else job.date_started or job.date_cancelled or job.date_done
            )
            # The eta of a job that was tried is that of its next try.
            due = max(filter(None, (job.date_created, waits and job.eta)), default=None)
            job.waited = max((began - due).total_seconds(), 0) if began and due else 0
            if job.state == STARTED and job.date_started:
                job.ran = max((now - job.date_started).total_seconds(), 0)
            else:
                job.ran = job.exec_time if job.state == DONE else failed.get(job.id, 0)

    def _failed_runs(self):
        """Return ``{id: seconds of the last run}`` of the jobs that failed."""
        failed = self.filtered(lambda job: job.state == FAILED)
        # A list of jobs needs no traceback of any try.
        attempts = self.env["queue.job.attempt"].search_fetch(
            [("job_id", "in", failed.ids)],
            ["job_id", "date_started", "date_ended"],
            order="id",
        )
        return {attempt.job_id.id: attempt.seconds for attempt in attempts}

    @api.depends("retry", "max_retries", "state")
    def _compute_tries(self):
        for job in self:
            # A try is counted when it has ended.
            number = job.retry + (job.state == STARTED)
            job.tries = f"{number} / {job.max_retries or '∞'}"

    # Timeline ---------------------------------------------------------------

    @api.depends(
        "state", "date_created", "eta", "date_started", "date_done", "attempt_ids"
    )
    @api.depends_context("lang")
    def _compute_timeline(self):
        for job in self:
            job.timeline = job._timeline()

    def _timeline(self):
        """Return the steps in order: kind, label, date, and seconds until the next one.

        The seconds of the last step are those until now, None when it is over.
        """
        steps = sorted(self._timeline_steps(), key=lambda step: step[0])
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

    def _timeline_end(self):
        return None if self.state in (DONE, CANCELLED, FAILED) else datetime.now()

    def _start_label(self):
        """Return what the last start is called: it has a number when there were others."""
        last = self.attempt_ids.filtered(
            lambda attempt: attempt.date_started == self.date_started
        )
        if len(self.attempt_ids) > 1 and last:
            return self.env._("Try %s started", last[:1].number)
        return self.env._("Started")

    def _timeline_steps(self):
        """Return ``(date, kind, label)`` of what is known, in no order."""
        steps = [
            (self.date_created, "created", self.env._("Created")),
            (self.date_enqueued, "enqueued", self.env._("Sent to a worker")),
            (self.date_started, STARTED, self._start_label()),
            (self.date_done, DONE, self.env._("Done")),
            (self.date_cancelled, CANCELLED, self.env._("Cancelled")),
        ]
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
        if self.state == PENDING and self.eta and self.eta <= datetime.now():
            steps.append((self.eta, PENDING, self.env._("Due")))
        return [step for step in steps if step[0]]
