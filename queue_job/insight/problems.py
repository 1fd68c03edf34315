# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Is all well? What an administrator should deal with now, worst first.

Each problem is a sentence with its buttons. Problems that stop all jobs come first, then those that
stops a channel or a graph, then what only makes jobs late. Nothing is a problem that ends
by itself in a moment: a deep queue that moves is none.
"""

from datetime import timedelta
from functools import cached_property

from odoo.tools import SQL

from ..sql import statements as sql
from .companies import belongs_to
from .condition import pooler_text, way_text
from .explain import paused_text
from .snapshot import duration_text

# The overview shows so many.
SHOWN = 5
# Seconds that a job runs, at least, and times as long as usual, before that is one.
LONG_RUN, LONGER = 60, 3
# Jobs that are read to find the one that runs longest, or failed ones of graphs.
RUNNING_READ, FAILED_READ = 20, 200
# Seconds after which a worker should have begun what was sent, and the runner have sent
# what nothing holds.
LATE_WORKER, LATE_RUNNER = 30, 60
# Failures of a function in a day, and of how many of its jobs, in percent.
MANY_FAILED, SHARE_FAILED = 10, 50

WARNING, DANGER = "warning", "danger"


class Problems:
    """The problems of one moment.

    :param counts: the ``ChannelCounts`` that the page shows
    :param figures: its ``channels()``, by name
    :param functions: the figures of functions over a day, see ``throughput.functions``
    """

    def __init__(self, env, counts, figures, functions=(), runs_instead=False):
        self.env = env
        self.snapshot = counts.snapshot
        self.companies = counts.companies
        self.figures = figures
        self.functions = functions
        self.runs_instead = runs_instead

    def found(self):
        """Return the problems as dicts: kind, level, text and buttons; worst first."""
        found = [
            *self._of_runner(),
            *self._paused(),
            *self._behind_failed(),
            *self._long_runs(),
            *self._graphs(),
            *self._late(),
            *self._objectives(),
            *self._failing(),
        ]
        # The order above holds among problems of one level.
        found.sort(key=lambda problem: problem["level"] != DANGER)
        return found[:SHOWN]

    @staticmethod
    def _problem(kind, level, text, *buttons):
        return {"kind": kind, "level": level, "text": text, "buttons": list(buttons)}

    def _open(self, name, domain):
        named = {"name": name, "display_name": name, "domain": domain}
        return {"label": self.env._("Open"), "action": {**self._list, **named}}

    @cached_property
    def _list(self):
        """The action that lists jobs, read once for all buttons."""
        return self.env["queue.job"]._action_list("", [], context={})

    def _open_channel(self, figures, domain):
        name = figures["name"]
        if name != "root":
            domain = [*domain, *self.env["queue.job.channel"]._domain_of(name)]
        return self._open(self.env._("Jobs of %s", name), domain)

    def _fetch(self, statement, **values):
        self.env.cr.execute(
            SQL(statement, visible=belongs_to(self.companies), **values)
        )
        return self.env.cr.fetchall()

    def _before(self, seconds):
        return self.snapshot.now - timedelta(seconds=seconds)

    def _duration(self, seconds):
        return duration_text(self.env, seconds)

    # Of all jobs ------------------------------------------------------------

    def _of_runner(self):
        way, pooler = (
            text(self.env, self.snapshot) for text in (way_text, pooler_text)
        )
        if not self.snapshot.runner and not self.runs_instead:
            yield self._problem(
                "no_runner",
                DANGER,
                self.env._("No runner is alive for this database: no job starts."),
            )
        if way:
            yield self._problem("workers", DANGER, way)
        if pooler and not self.runs_instead:
            yield self._problem("pooler", WARNING, pooler)
        if self.snapshot.modules_are_changing:
            text = self.env._(
                "Modules are being installed, upgraded or removed: no job starts before that "
                "is over."
            )
            yield self._problem("modules", WARNING, text)

    # Of some jobs -----------------------------------------------------------

    def _paused(self):
        """Find channels that are paused while jobs wait in them, the deepest queue first."""
        paused = [
            each
            for each in self.figures.values()
            if each["paused"] and (each["name"] == "root" or each["waiting"].count)
        ]
        paused.sort(key=lambda each: (each["name"] != "root", -each["waiting"].count))
        for each in paused:
            buttons = [self._open_channel(each, [("state", "=", "pending")])]
            channel = self.env["queue.job.channel"].search(
                [("complete_name", "=", each["name"])], limit=1
            )
            if channel and not each["has_fixed_pause"]:
                buttons.insert(0, self._resume(channel))
            level = DANGER if each["name"] == "root" else WARNING
            yield self._problem("paused", level, self._paused_text(each), *buttons)

    def _paused_text(self, figures):
        text = paused_text(self.env, figures["name"])
        if figures["name"] == "root":
            return f"{text} {self.env._('No job starts.')}"
        waiting = self.env._("%s jobs wait.", figures["waiting"].text)
        return f"{text} {waiting}"

    def _resume(self, channel):
        return {
            "label": self.env._("Resume"),
            "model": channel._name,
            "method": "action_resume",
            "ids": channel.ids,
        }

    def _behind_failed(self):
        """Find sequential channels that a failed job holds up."""
        for each in self.figures.values():
            if each["sequential"] and each["failed"].count and each["waiting"].count:
                text = self.env._(
                    "%(channel)s runs one job after the other, and %(count)s jobs wait behind "
                    "one that failed.",
                    channel=each["name"],
                    count=each["waiting"].text,
                )
                button = self._open_channel(each, [("state", "=", "failed")])
                yield self._problem("behind_failed", DANGER, text, button)

    def _graphs(self):
        rows = self._fetch(sql.failed_in_graphs, limit=FAILED_READ)
        if not rows:
            return
        ids = [job_id for job_id, _graph in rows]
        count = len({graph for _id, graph in rows})
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "queue_job.action_requeue_job"
        )
        action["context"] = {"default_jobs_domain": [("id", "in", ids)]}
        text = (
            self.env._("1 graph waits for failed jobs.")
            if count == 1
            else self.env._("%s graphs wait for failed jobs.", count)
        )
        yield self._problem(
            "graphs",
            WARNING,
            text,
            {"label": self.env._("Requeue"), "action": action},
            self._open(self.env._("Failed Jobs"), [("id", "in", ids)]),
        )

    # Of late jobs -----------------------------------------------------------

    def _long_runs(self):
        """Find jobs that run much longer than usual; first one that fills its channel."""
        rows = self._fetch(
            sql.long_running,
            before=self._before(LONG_RUN),
            since=self._before(24 * 3600),
            limit=RUNNING_READ,
        )
        found = [
            problem
            for row in rows
            if (problem := self._long_run(*row)) and problem["buttons"]
        ]
        found.sort(key=lambda problem: problem["level"] != DANGER)
        yield from found[:2]

    def _long_run(self, job_id, channel, function, started, mean, longest):
        ran = self.snapshot.seconds_since(started)
        if not mean or ran < LONGER * mean or ran < longest:
            return None
        job = self.env["queue.job"].browse(job_id)
        if not job._filtered_access("read"):
            return None
        times = round(ran / mean)
        full = self._full_channel(channel)
        action = {
            "type": "ir.actions.act_window",
            "res_model": "queue.job",
            "res_id": job_id,
            "views": [[False, "form"]],
        }
        button = {"label": self.env._("Open"), "action": action}
        known = {"function": function, "times": times, "ran": self._duration(ran)}
        if full:
            text = self.env._(
                "%(channel)s: %(count)s jobs wait %(age)s for %(function)s, which has run for "
                "%(ran)s, %(times)s times longer than usual.",
                channel=full["name"],
                count=full["waiting"].text,
                age=self._duration(self.snapshot.seconds_since(full["oldest"])),
                **known,
            )
            return self._problem("long", DANGER, text, button)
        text = self.env._(
            "%(function)s has run for %(ran)s, %(times)s times longer than usual.",
            **known,
        )
        return self._problem("long", WARNING, text, button)

    def _full_channel(self, name):
        """Return the figures of the full channel in which jobs wait for one of ``name``."""
        for settings in reversed(self.snapshot.path(name)):
            each = self.figures.get(settings.name)
            if each and each["waiting"].count and self._is_full(each):
                return each
        return None

    @staticmethod
    def _is_full(each):
        taken = each["running"].count + each["sent"].count
        return bool(each["capacity"]) and taken >= each["capacity"]

    def _late(self):
        """Find jobs that were sent and not begun, or not sent though there is room."""
        if not self.snapshot.runner or way_text(self.env, self.snapshot):
            return
        ((count, since),) = self._fetch(
            sql.sent_long_ago, before=self._before(LATE_WORKER), limit=RUNNING_READ * 5
        )
        if count:
            text = self.env._(
                "%(count)s jobs were sent to workers, the first %(age)s ago, and have not "
                "begun: all workers are busy.",
                count=count,
                age=self._duration(self.snapshot.seconds_since(since)),
            )
            button = self._open(self.env._("Sent Jobs"), [("state", "=", "enqueued")])
            yield self._problem("sent", WARNING, text, button)
            return
        for each in self._stuck():
            text = self.env._(
                "%(channel)s: %(count)s jobs wait, the oldest for %(age)s, although there is "
                "room.",
                channel=each["name"],
                count=each["waiting"].text,
                age=self._duration(self.snapshot.seconds_since(each["oldest"])),
            )
            button = self._open_channel(each, [("state", "=", "pending")])
            yield self._problem("late", WARNING, text, button)

    def _stuck(self):
        """Return the channel with jobs that nothing holds, and that are not sent.

        Only a channel below which no job waits: what is above counts the same jobs.
        """
        if self.snapshot.modules_are_changing:
            return []
        waiting = [each for each in self.figures.values() if each["waiting"].count]
        stuck = [
            each
            for each in waiting
            if self.snapshot.seconds_since(each["oldest"]) > LATE_RUNNER
            and not any(
                self._holds(self.figures.get(settings.name))
                for settings in self.snapshot.path(each["name"])
            )
            and not any(it["name"].startswith(each["name"] + ".") for it in waiting)
        ]
        stuck.sort(key=lambda each: each["oldest"])
        return stuck[:1]

    def _holds(self, each):
        return each is None or bool(
            each["stopped"]
            or each["throttle"]
            or (each["sequential"] and each["failed"].count)
            or self._is_full(each)
        )

    def _objectives(self):
        """Find channels whose oldest job should have begun, the latest one first."""
        channels = self.env["queue.job.channel"].sudo().search([("objective", ">", 0)])
        missed = []
        for channel in channels:
            each = self.figures.get(channel.complete_name)
            if each and channel._is_missed_by(each["oldest"], self.snapshot.now):
                age = self.snapshot.seconds_since(each["oldest"])
                missed.append((age - channel.objective, age, channel.objective, each))
        missed.sort(key=lambda row: -row[0])
        for _late, age, objective, each in missed[:1]:
            text = self.env._(
                "%(channel)s misses its objective: the oldest job has been ready for %(age)s, "
                "the objective is %(objective)s.",
                channel=each["name"],
                age=self._duration(age),
                objective=self._duration(objective),
            )
            button = self._open_channel(each, [("state", "=", "pending")])
            yield self._problem("objective", DANGER, text, button)

    def _failing(self):
        """Find functions of which most jobs fail."""
        rows = [
            row
            for row in self.functions
            if row["failed"] >= MANY_FAILED
            and 100 * row["failed"] >= SHARE_FAILED * (row["failed"] + row["done"])
        ]
        rows.sort(key=lambda row: -row["failed"])
        for row in rows[:1]:
            text = self.env._(
                "%(function)s: %(failed)s of %(count)s jobs failed in the last 24 hours.",
                function=row["function"],
                failed=row["failed"],
                count=row["failed"] + row["done"],
            )
            domain = [
                ("state", "=", "failed"),
                ("channel_method_name", "=", row["function"]),
            ]
            button = self._open(self.env._("Failed Jobs"), domain)
            yield self._problem("failing", WARNING, text, button)
