# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Why a job is not running, in one sentence.

The runner decides in memory, in another process; all that it decides from is in
the database: the jobs, the records of the channels, the configuration, and the
lock of the election. The same rules are applied here to the one job asked about.
Causes come in the order in which a person should deal with them: first those that
stop everything, last those that pass with time alone.

A list of jobs costs the queries of one job: they share one snapshot.

Overridden by other modules, as methods of ``queue.job``: ``_explain_runner`` and
``_late_text``.
"""

import textwrap
from datetime import datetime

from odoo.tools import format_datetime

from ..channels import channel as rules
from ..states import (
    CANCELLED,
    ENQUEUED,
    FAILED,
    PENDING,
    STARTED,
    WAIT_DEPENDENCIES,
)
from .condition import pooler_text, way_text
from .snapshot import LOOKED_AT, duration_text

# A sentence names so many jobs, and says how many more there are.
NAMED = 3
# Letters of a reason in a list.
REASON_LENGTH = 200
# Seconds after which a worker should have begun what was sent to it.
LONG_SENT = 10
# Seconds within which the runner of a dormant database is awake.
WAKING = 10
# Seconds after which a job that nothing holds should have been sent.
LONG_NEXT = 60

INFO, WARNING, DANGER = "info", "warning", "danger"


def explain(job, snapshot):
    """Return why a job is not running, False where its state needs no reason."""
    by_state = _BY_STATE.get(job.state)
    return by_state(job, snapshot) if by_state and job._origin else False


def reason(job):
    """Return why a job failed, or why it is not running, in a line."""
    if job.state == FAILED:
        error = (job.exc_name or "").rpartition(".")[2]
        text = ": ".join(filter(None, [error, (job.exc_message or "").strip()]))
    elif job.state in (WAIT_DEPENDENCIES, PENDING, ENQUEUED):
        text = (job.explanation or {}).get("text", "")
    else:
        text = job.result if job.state == CANCELLED else ""
    line = (text or "").strip().split("\n")[0]
    return textwrap.shorten(line, REASON_LENGTH, placeholder="…")


def explanation(job, kind, level, text, jobs=None, count=None):
    """Return an explanation: a sentence, and as text with the names of ``jobs``.

    Named are only jobs that the reader may see; where the reader sees none of them,
    the sentence says that there are some.

    :param count: how many jobs there are, when ``jobs`` are some of them
    """
    jobs = jobs or job.browse()
    count = count or len(jobs)
    seen = jobs[:LOOKED_AT]._filtered_access("read")[:NAMED]
    named = [
        {"id": job.id, "name": job.name or job.uuid, "state": job.state} for job in seen
    ]
    more = count - len(named)
    if more and not named:
        hidden = (
            job.env._("a job that you may not see.")
            if more == 1
            else job.env._("%s jobs that you may not see.", more)
        )
        text = f"{text} {hidden}"
    sentence = text
    if named:
        names = ", ".join(job["name"] for job in named)
        more_text = job.env._("%(names)s and %(count)s more", names=names, count=more)
        text = f"{text} {more_text if more else names}"
    return {
        "kind": kind,
        "level": level,
        "sentence": sentence,
        "text": text,
        "jobs": named,
        "more": more,
    }


# By state ---------------------------------------------------------------


def explain_wait_dependencies(job, snapshot):
    blocking = snapshot.blocking_parents(job)
    if blocking.failed:
        return explanation(
            job,
            "dependency_failed",
            DANGER,
            job.env._(
                "Waits for a job that failed, and will wait until that is requeued, "
                "set to done or cancelled:"
            ),
            job.browse(blocking.ids[: blocking.failed]),
            blocking.failed,
        )
    if blocking.count:
        return explanation(
            job,
            "dependencies",
            INFO,
            job.env._("Waits until these jobs are done:"),
            job.browse(blocking.ids),
            blocking.count,
        )
    return job._explain_runner(snapshot) or explanation(
        job,
        "dependencies",
        WARNING,
        job.env._(
            "All jobs it waited for are over: the runner will notice that within minutes."
        ),
    )


def explain_pending(job, snapshot):
    return (
        explain_eta(job, snapshot)
        or explain_held(job, snapshot)
        or job._explain_runner(snapshot)
        or explain_way(job, snapshot)
        or explain_modules(job, snapshot)
        or explain_channel(job, snapshot)
        or explain_line(job, snapshot)
    )


def explain_enqueued(job, snapshot):
    seconds = snapshot.seconds_since(job.date_enqueued)
    if seconds < LONG_SENT:
        text = job.env._("A worker was asked to run it just now.")
        return explanation(job, "sent", INFO, text)
    # Without the runner that sent it, it is not sent again.
    held_up = job._explain_runner(snapshot) or explain_way(job, snapshot)
    return held_up or explanation(
        job,
        "sent",
        WARNING,
        job.env._(
            "Sent to a worker %s ago, which has not begun: all workers are busy, or it is "
            "behind other jobs of its run.",
            duration_text(job.env, seconds),
        ),
    )


def explain_started(job, snapshot):
    duration = duration_text(job.env, snapshot.seconds_since(job.date_started))
    if job.worker_pid:
        text = job.env._(
            "Has been running for %(duration)s, in process %(process)s.",
            duration=duration,
            process=job.worker_pid,
        )
    else:
        text = job.env._("Has been running for %s.", duration)
    if not job._explain_runner(snapshot):
        return explanation(job, "running", INFO, text)
    gone = job.env._("No runner is alive, so nobody notices if its worker is gone.")
    return explanation(job, "running", WARNING, f"{text} {gone}")


def explain_cancelled(job, snapshot):
    """Explain that the work of a job that was stopped is still going on."""
    if not snapshot.backends(job):
        return False
    return explanation(
        job,
        "stopping",
        WARNING,
        job.env._(
            "Stopped %(duration)s ago, and its worker (process %(process)s) still computes. "
            "What it does is not kept.",
            duration=duration_text(job.env, snapshot.seconds_since(job.date_stopped)),
            process=job.worker_pid or "?",
        ),
    )


# Of a pending job, in this order ----------------------------------------


def explain_eta(job, snapshot):
    if not job.eta or job.eta <= snapshot.now:
        return None
    values = {
        "date": format_datetime(job.env, job.eta),
        "duration": duration_text(job.env, -snapshot.seconds_since(job.eta)),
    }
    if job.retry:
        text = job.env._(
            "Will be tried again on %(date)s, in %(duration)s, after an error.",
            **values,
        )
    else:
        text = job.env._("Not before %(date)s, in %(duration)s.", **values)
    return explanation(job, "eta", INFO, text)


def explain_held(job, snapshot):
    """Explain that an earlier run, which was stopped, has not ended."""
    if not snapshot.backends(job):
        return None
    return explanation(
        job,
        "stopping",
        WARNING,
        job.env._(
            "Waits until the worker of the run that was stopped has ended: no run begins "
            "beside another."
        ),
    )


def explain_runner(job, snapshot):
    if snapshot.runner:
        return None
    if is_being_woken(job, snapshot):
        text = job.env._("The runner is being woken: this database was dormant.")
        return explanation(job, "waking", INFO, text)
    pooler = pooler_text(job.env, snapshot)
    if pooler:
        text = job.env._("No runner is alive for this database, so no job starts.")
        return explanation(job, "no_runner", DANGER, f"{text} {pooler}")
    return explanation(
        job,
        "no_runner",
        DANGER,
        job.env._(
            "No runner is alive for this database, so no job starts. The server log names "
            "the cause. The usual ones: queue_job is not in server_wide_modules of the "
            "server's configuration, or the runner is connected through a pooler that "
            "passes no session locks on."
        ),
    )


def is_being_woken(job, snapshot):
    """Return whether a pending job has just become ready in a dormant database."""
    since = max(filter(None, (job.date_created, job.eta)), default=None)
    return (
        job.state == PENDING
        and since is not None
        and snapshot.seconds_since(since) < WAKING
        and snapshot.listening_runner is not None
    )


def explain_way(job, snapshot):
    """Explain why the runner does not get its requests to the workers."""
    text = way_text(job.env, snapshot)
    return explanation(job, "workers", DANGER, text) if text else None


def explain_modules(job, snapshot):
    if not snapshot.modules_are_changing:
        return None
    return explanation(
        job,
        "modules",
        WARNING,
        job.env._(
            "Modules are being installed, upgraded or removed: no job starts before that "
            "is over."
        ),
    )


def explain_channel(job, snapshot):
    """Explain the rule of a channel by which the job waits."""
    reason_of_channel = snapshot.why_not(job)
    by_rule = _BY_RULE.get(reason_of_channel and reason_of_channel.rule)
    if not by_rule:
        return None
    return by_rule(job, snapshot, snapshot.settings(reason_of_channel.channel.fullname))


def explain_paused(job, _snapshot, channel):
    return explanation(job, "paused", WARNING, paused_text(job.env, channel.name))


def paused_text(env, name):
    """Return that a channel is paused, until when, by whom and why."""
    domain = [("complete_name", "=", name)]
    record = env["queue.job.channel"].sudo().search(domain, limit=1)
    if not record.pause_text:
        return env._("The channel %s is paused.", name)
    return env._(
        "The channel %(channel)s is paused %(pause)s.",
        channel=name,
        pause=record.pause_text,
    )


def explain_throttled(job, snapshot, channel):
    return explanation(
        job,
        "throttled",
        INFO,
        job.env._(
            "The channel %(channel)s starts a job every %(throttle)s: next in "
            "%(duration)s. %(line)s",
            channel=channel.name,
            throttle=duration_text(job.env, channel.throttle),
            duration=duration_text(job.env, snapshot.throttled_for(channel)),
            line=line_text(job, snapshot, channel),
        ).strip(),
    )


def explain_behind_failed(job, snapshot, channel):
    return explanation(
        job,
        "sequential",
        DANGER,
        job.env._(
            "The channel %s runs one job after the other and is held up by a job that "
            "failed. Requeue it, set it to done or cancel it:",
            channel.name,
        ),
        job.browse(snapshot.failed_in(channel)),
    )


def explain_behind_eta(job, snapshot, channel):
    job_id, eta = snapshot.earlier_with_eta(job, channel)
    return explanation(
        job,
        "sequential_eta",
        WARNING,
        job.env._(
            "The channel %(channel)s runs one job after the other, and an earlier one waits "
            "until %(date)s:",
            channel=channel.name,
            date=format_datetime(job.env, eta),
        ),
        job.browse(job_id),
    )


def explain_full(job, snapshot, channel):
    line = line_text(job, snapshot, channel)
    text = (
        job.env._("The only slot of the channel %s is taken.", channel.name)
        if channel.capacity == 1
        else job.env._(
            "All %(count)s slots of the channel %(channel)s are taken.",
            count=channel.capacity,
            channel=channel.name,
        )
    )
    return explanation(
        job,
        "full",
        INFO,
        " ".join(filter(None, [text, line, job.env._("Running:")])),
        job.browse(job_id for job_id, _state in snapshot.holders(channel)),
    )


def explain_line(job, snapshot):
    path = snapshot.path(job.channel)
    line = line_text(job, snapshot, path[-1])
    if line:
        return explanation(job, "line", INFO, line)
    due = max(job.date_created or datetime.min, job.eta or datetime.min)
    if snapshot.seconds_since(due) < LONG_NEXT:
        return explanation(
            job, "next", INFO, job.env._("Next in line: it starts in a moment.")
        )
    return explanation(job, "next", WARNING, job._late_text(snapshot, due))


def late_text(job, snapshot):
    """Return where to look when nothing in this database holds the job."""
    pooler = pooler_text(job.env, snapshot)
    if pooler:
        return pooler
    return job.env._(
        "Next in line, and nothing in this database holds it. If it stays so, look "
        'in the log of the server with the runner (%s) for "exception in GET": workers may '
        "be out of reach, or refuse http_auth_user and http_auth_password. Or what is "
        "configured for all databases is full.",
        snapshot.runner.name or "?",
    )


def line_text(job, snapshot, channel):
    """Return how many jobs come before this one, nothing when there are none."""
    if not snapshot.alone:
        # To count for each row of a list would be too much.
        is_behind = snapshot.is_behind(job, channel)
        return job.env._("Other jobs come before it.") if is_behind else ""
    count = snapshot.count_before(job, channel)
    if not count:
        return ""
    if count > snapshot.COUNT_LIMIT:
        return job.env._("More than %s jobs come before it.", snapshot.COUNT_LIMIT)
    if count == 1:
        return job.env._("One job comes before it.")
    return job.env._("%s jobs come before it.", count)


_BY_RULE = {
    rules.PAUSED: explain_paused,
    rules.BEHIND_FAILED: explain_behind_failed,
    rules.BEHIND_ETA: explain_behind_eta,
    rules.FULL: explain_full,
    rules.THROTTLED: explain_throttled,
}
_BY_STATE = {
    WAIT_DEPENDENCIES: explain_wait_dependencies,
    PENDING: explain_pending,
    ENQUEUED: explain_enqueued,
    STARTED: explain_started,
    CANCELLED: explain_cancelled,
}
