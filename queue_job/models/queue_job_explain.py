# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Why a job is not running, in one sentence.

The runner decides in memory, in another process; what it decides from is all in
the database: the jobs, the records of the channels, the configuration, and the
lock that says who dispatches. The same rules are applied here to the one job
that somebody asks about. What holds it is told in the order in which a person
should deal with it: first what stops everything, last what time alone will do.

A list of jobs costs the queries of one job: what they share is read once.
"""

import textwrap
from datetime import datetime

from odoo import api, fields, models
from odoo.tools import format_datetime

from ..channels import channel as channel_rules
from ..states import ENQUEUED, FAILED, PENDING, WAIT_DEPENDENCIES
from .queue_job_situation import LOOKED_AT, Situation, duration_text

# A sentence names so many jobs, and says how many more there are.
NAMED = 3
# Letters of a reason in a list.
REASON_LENGTH = 200
# Seconds after which a worker should have begun what was sent to it.
LONG_SENT = 10
# Seconds after which a job that nothing holds should have been sent.
LONG_NEXT = 60

INFO, WARNING, DANGER = "info", "warning", "danger"


class QueueJob(models.Model):
    _inherit = "queue.job"

    explanation = fields.Json(
        compute="_compute_explanation",
        help="Why the job is not running, as a sentence and the jobs that it speaks of.",
    )
    reason = fields.Char(
        compute="_compute_reason", help="Why the job failed, or why it is not running."
    )

    @api.depends("state", "channel", "eta", "priority", "date_created")
    @api.depends_context("uid", "allowed_company_ids", "lang", "tz")
    def _compute_explanation(self):
        situation = Situation(self.env, alone=len(self) == 1)
        for job in self:
            explain = getattr(job, f"_explain_{job.state}", None)
            job.explanation = explain(situation) if explain and job._origin else False

    @api.depends("state", "exc_message", "exc_name", "result")
    @api.depends_context("uid", "allowed_company_ids", "lang", "tz")
    def _compute_reason(self):
        for job in self:
            if job.state == FAILED:
                error = (job.exc_name or "").rpartition(".")[2]
                text = ": ".join(filter(None, [error, (job.exc_message or "").strip()]))
            elif job.state in (WAIT_DEPENDENCIES, PENDING, ENQUEUED):
                text = (job.explanation or {}).get("text", "")
            else:
                text = job.result if job.state == "cancelled" else ""
            line = (text or "").strip().split("\n")[0]
            job.reason = textwrap.shorten(line, REASON_LENGTH, placeholder="…")

    def _explanation(self, kind, level, text, jobs=None, count=None):
        """Return an explanation: a sentence, and as text with the names of ``jobs``.

        Named are only jobs that the reader may see; where he sees none of them,
        the sentence tells that there are some.

        :param count: how many jobs there are, when ``jobs`` are some of them
        """
        jobs = jobs or self.browse()
        count = count or len(jobs)
        seen = jobs[:LOOKED_AT]._filtered_access("read")[:NAMED]
        named = [
            {"id": job.id, "name": job.name or job.uuid, "state": job.state}
            for job in seen
        ]
        more = count - len(named)
        if more and not named:
            hidden = (
                self.env._("a job that you may not see.")
                if more == 1
                else self.env._("%s jobs that you may not see.", more)
            )
            text = f"{text} {hidden}"
        sentence = text
        if named:
            names = ", ".join(job["name"] for job in named)
            more_text = self.env._(
                "%(names)s and %(count)s more", names=names, count=more
            )
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

    def _explain_wait_dependencies(self, situation):
        blocking = situation.blocking_parents(self)
        if blocking.failed:
            return self._explanation(
                "dependency_failed",
                DANGER,
                self.env._(
                    "Waits for a job that failed, and will wait until that is requeued, "
                    "set to done or cancelled:"
                ),
                self.browse(blocking.ids[: blocking.failed]),
                blocking.failed,
            )
        if blocking.count:
            return self._explanation(
                "dependencies",
                INFO,
                self.env._("Waits until these jobs are done:"),
                self.browse(blocking.ids),
                blocking.count,
            )
        return self._explain_runner(situation) or self._explanation(
            "dependencies",
            WARNING,
            self.env._(
                "All jobs it waited for are over: the runner will notice that within minutes."
            ),
        )

    def _explain_pending(self, situation):
        steps = (
            self._explain_eta,
            self._explain_runner,
            self._explain_modules,
            self._explain_channel,
            self._explain_line,
        )
        return next(filter(None, (step(situation) for step in steps)))

    def _explain_enqueued(self, situation):
        seconds = situation.seconds_since(self.date_enqueued)
        if seconds < LONG_SENT:
            text = self.env._("A worker was asked to run it just now.")
            return self._explanation("sent", INFO, text)
        # Whoever sent it is gone, and nobody else will send it again.
        return self._explain_runner(situation) or self._explanation(
            "sent",
            WARNING,
            self.env._(
                "Sent to a worker %s ago, which has not begun: all workers are busy, or it is "
                "behind other jobs of its run.",
                duration_text(self.env, seconds),
            ),
        )

    def _explain_started(self, situation):
        duration = duration_text(self.env, situation.seconds_since(self.date_started))
        if self.worker_pid:
            text = self.env._(
                "Has been running for %(duration)s, in process %(process)s.",
                duration=duration,
                process=self.worker_pid,
            )
        else:
            text = self.env._("Has been running for %s.", duration)
        if not self._explain_runner(situation):
            return self._explanation("running", INFO, text)
        gone = self.env._(
            "No runner is alive, so nobody notices if its worker is gone."
        )
        return self._explanation("running", WARNING, f"{text} {gone}")

    # Of a pending job, in this order ----------------------------------------

    def _explain_eta(self, situation):
        if not self.eta or self.eta <= situation.now:
            return None
        values = {
            "date": format_datetime(self.env, self.eta),
            "duration": duration_text(self.env, -situation.seconds_since(self.eta)),
        }
        if self.retry:
            text = self.env._(
                "Will be tried again on %(date)s, in %(duration)s, after an error.",
                **values,
            )
        else:
            text = self.env._("Not before %(date)s, in %(duration)s.", **values)
        return self._explanation("eta", INFO, text)

    def _explain_runner(self, situation):
        if situation.runner:
            return None
        return self._explanation(
            "no_runner",
            DANGER,
            self.env._(
                "No runner is alive for this database, so no job starts. The server log names "
                "the cause. The usual ones: queue_job is not in server_wide_modules of the "
                "server's configuration, or the runner is connected through a pooler that "
                "passes no session locks on."
            ),
        )

    def _explain_modules(self, situation):
        if not situation.modules_are_changing:
            return None
        return self._explanation(
            "modules",
            WARNING,
            self.env._(
                "Modules are being installed, upgraded or removed: no job starts before that "
                "is over."
            ),
        )

    def _explain_channel(self, situation):
        """Explain the rule of a channel by which the job waits."""
        reason = situation.why_not(self)
        explain = {
            channel_rules.PAUSED: self._explain_paused,
            channel_rules.BEHIND_FAILED: self._explain_behind_failed,
            channel_rules.BEHIND_ETA: self._explain_behind_eta,
            channel_rules.FULL: self._explain_full,
            channel_rules.THROTTLED: self._explain_throttled,
        }.get(reason and reason.rule)
        if not explain:
            return None
        return explain(situation, situation.settings(reason.channel.fullname))

    def _explain_paused(self, _situation, channel):
        text = self.env._("The channel %s is paused.", channel.name)
        return self._explanation("paused", WARNING, text)

    def _explain_throttled(self, situation, channel):
        return self._explanation(
            "throttled",
            INFO,
            self.env._(
                "The channel %(channel)s starts a job every %(throttle)s: next in "
                "%(duration)s. %(line)s",
                channel=channel.name,
                throttle=duration_text(self.env, channel.throttle),
                duration=duration_text(self.env, situation.throttled_for(channel)),
                line=self._line_text(situation, channel),
            ).strip(),
        )

    def _explain_behind_failed(self, situation, channel):
        return self._explanation(
            "sequential",
            DANGER,
            self.env._(
                "The channel %s runs one job after the other and is held up by a job that "
                "failed. Requeue it, set it to done or cancel it:",
                channel.name,
            ),
            self.browse(situation.failed_in(channel)),
        )

    def _explain_behind_eta(self, situation, channel):
        job_id, eta = situation.earlier_with_eta(self, channel)
        return self._explanation(
            "sequential_eta",
            WARNING,
            self.env._(
                "The channel %(channel)s runs one job after the other, and an earlier one waits "
                "until %(date)s:",
                channel=channel.name,
                date=format_datetime(self.env, eta),
            ),
            self.browse(job_id),
        )

    def _explain_full(self, situation, channel):
        line = self._line_text(situation, channel)
        text = (
            self.env._("The only slot of the channel %s is taken.", channel.name)
            if channel.capacity == 1
            else self.env._(
                "All %(count)s slots of the channel %(channel)s are taken.",
                count=channel.capacity,
                channel=channel.name,
            )
        )
        return self._explanation(
            "full",
            INFO,
            " ".join(filter(None, [text, line, self.env._("Running:")])),
            self.browse(job_id for job_id, _state in situation.holders(channel)),
        )

    def _explain_line(self, situation):
        path = situation.path(self.channel)
        line = self._line_text(situation, path[-1])
        if line:
            return self._explanation("line", INFO, line)
        due = max(self.date_created or datetime.min, self.eta or datetime.min)
        if situation.seconds_since(due) < LONG_NEXT:
            return self._explanation(
                "next", INFO, self.env._("Next in line: it starts in a moment.")
            )
        return self._explanation("next", WARNING, self._late_text(situation, due))

    def _late_text(self, situation, due):
        """Return where to look when nothing in this database holds the job.

        :param due: since when it could have started
        """
        return self.env._(
            "Next in line, and nothing in this database holds it. If it stays so, look "
            'in the log of the server with the runner (%s) for "exception in GET": workers may '
            "be out of reach, or refuse http_auth_user and http_auth_password. Or what is "
            "configured for all databases is full.",
            situation.runner.name or "?",
        )

    def _line_text(self, situation, channel):
        """Return how many jobs come before this one, nothing when there are none."""
        if not situation.alone:
            # To count for each row of a list would be too much.
            is_behind = situation.is_behind(self, channel)
            return self.env._("Other jobs come before it.") if is_behind else ""
        count = situation.count_before(self, channel)
        if not count:
            return ""
        if count > situation.COUNT_LIMIT:
            return self.env._(
                "More than %s jobs come before it.", situation.COUNT_LIMIT
            )
        if count == 1:
            return self.env._("One job comes before it.")
        return self.env._("%s jobs come before it.", count)
