# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Wait time and duration of jobs, and the states that a job went through."""

from datetime import datetime, timedelta

from odoo import fields
from odoo.tools import SQL

from ..sql import statements as sql
from ..states import (
    CANCELLED,
    DONE,
    FAILED,
    PENDING,
    STARTED,
    WAIT_DEPENDENCIES,
    WAITING,
)

# The order of steps at the same moment.
_RANKS = ("created", "requeued", PENDING, "enqueued", STARTED)


def durations(jobs):
    """Return ``{job: (seconds waited, seconds run)}``."""
    now = datetime.now()
    attempts = _attempts(jobs)
    requeued = _requeue_dates(jobs)
    released = _release_dates(jobs)
    found = {}
    for job in jobs:
        own = attempts.get(job.id, [])
        could_run = [
            *(job.date_created, job.eta, requeued.get(job.id)),
            *(released.get(job.id), *(attempt.date_ended for attempt in own)),
        ]
        found[job] = (_waited(job, now, could_run), _ran(job, now, own))
    return found


def _ran(job, now, attempts):
    if job.state == STARTED and job.date_started:
        return max((now - job.date_started).total_seconds(), 0)
    if job.state == FAILED:
        return attempts[-1].seconds if attempts else 0
    return job.exec_time if job.state == DONE else 0


def _waited(job, now, could_run):
    """Return the seconds before the last start in which a job could have run.

    :param could_run: dates before which it could not: the last one before the start
        counts, those after it are of what came later
    """
    if job.state == WAIT_DEPENDENCIES:
        return 0
    end = (
        now
        if job.state in WAITING
        else job.date_started or job.date_cancelled or job.date_done
    )
    began = job.date_started and end
    dates = [date for date in could_run if date and not (began and date > began)]
    return max((end - max(dates)).total_seconds(), 0) if end and dates else 0


def _attempts(jobs):
    """Return ``{job id: attempts, the last one last}``."""
    # A list of jobs needs no traceback of any attempt.
    attempts = jobs.env["queue.job.attempt"].search_fetch(
        [("job_id", "in", jobs.ids)],
        ["job_id", "date_started", "date_ended"],
        order="id",
    )
    return {job.id: list(own) for job, own in attempts.grouped("job_id").items()}


def _requeue_dates(jobs):
    """Return ``{job id: date}`` of the last time that a user requeued the job."""
    moves = jobs.env["queue.job.move"].sudo()
    return {
        job.id: date
        for job, date in moves._read_group(
            [("job_id", "in", jobs.ids), ("state", "=", PENDING)],
            ["job_id"],
            ["date:max"],
        )
    }


def _release_dates(jobs):
    """Return ``{job id: date}`` of the end of the last job that it waited for."""
    linked = jobs.filtered("graph_uuid").ids
    if not linked:
        return {}
    return dict(jobs.env.execute_query(SQL(sql.release_dates, jobs=linked)))


def timeline(job):
    """Return the steps in order: kind, label, date, and seconds until the next one.

    The seconds of the last step are those until now, None when it is over.
    """
    steps = sorted(_timeline_steps(job), key=_timeline_key)
    ends = [date for date, *_rest in steps[1:]] + [_timeline_end(job)]
    return [
        {
            "kind": kind,
            "label": label,
            "date": fields.Datetime.to_string(date),
            "seconds": max((end - date).total_seconds(), 0) if end else None,
        }
        for (date, kind, label), end in zip(steps, ends, strict=True)
    ]


def _timeline_key(step):
    date, kind, _label = step
    return date, _RANKS.index(kind) if kind in _RANKS else len(_RANKS)


def _timeline_end(job):
    return None if job.state in (DONE, CANCELLED, FAILED) else datetime.now()


def _start_label(job):
    """Return what the last start is called: it has a number when there were others."""
    last = job.attempt_ids.filtered(
        lambda attempt: attempt.date_started == job.date_started
    )
    number = last[:1].number or job.retry + (job.state == STARTED)
    if number and job.attempt_ids - last:
        return job.env._("Try %s started", number)
    return job.env._("Started")


def _timeline_steps(job):
    """Return ``(date, kind, label)`` of what is known, in no order."""
    moves = job.env["queue.job.move"].sudo().search([("job_id", "in", job.ids)])
    by_user = {(move.date, move.state): _move_label(job, move) for move in moves}
    steps = [
        (date, "requeued" if state == PENDING else state, label)
        for (date, state), label in by_user.items()
    ]
    for date, state, label in (
        (job.date_done, DONE, job.env._("Done")),
        (job.date_cancelled, CANCELLED, job.env._("Cancelled")),
    ):
        if (date, state) not in by_user:
            steps.append((date, state, label))
    labels = dict(
        job.env["queue.job.attempt"]._fields["outcome"]._description_selection(job.env)
    )
    for attempt in job.attempt_ids:
        if attempt.date_started != job.date_started:
            label = job.env._("Try %s started", attempt.number)
            steps.append((attempt.date_started, STARTED, label))
        steps.append((attempt.date_ended, attempt.outcome, labels[attempt.outcome]))
    steps += [
        (_sent_at(job, steps), "enqueued", job.env._("Sent to a worker")),
        (job.date_started, STARTED, _start_label(job)),
    ]
    if job.state == PENDING and job.eta and job.eta <= datetime.now():
        steps.append((job.eta, PENDING, job.env._("Due")))
    # No clock is right to the microsecond: the creation comes first.
    first = job.date_created or datetime.min
    steps = [(max(step[0], first), *step[1:]) for step in steps if step[0]]
    created = (job.date_created, "created", job.env._("Created"))
    return [created, *steps] if job.date_created else steps


def _sent_at(job, steps):
    """Return when the job was sent: the runner writes whole seconds, cut off.

    After what is known to have come before, within that second.
    """
    sent = job.date_enqueued
    if not sent:
        return None
    before = [
        date
        for date, *_rest in steps
        if date and date < (job.date_started or sent + timedelta(seconds=1))
    ]
    return max([sent, *before])


def _move_label(job, move):
    """Return what a user did, with the name of the user."""
    name = move.user_id.name or job.env._("a deleted user")
    if move.state == PENDING:
        return job.env._("Requeued by %s", name)
    if move.state == DONE:
        return job.env._("Set to done by %s", name)
    return job.env._("Cancelled by %s", name)
