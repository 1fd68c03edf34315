# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import time
from datetime import datetime, timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError
from odoo.tools import config

from ..doctor import Doctor
from ..insight import throughput
from ..insight.channel_counts import ChannelCounts, seconds_since
from ..insight.companies import companies_seen
from ..insight.explain import WAKING
from ..insight.labels import label_of
from ..insight.problems import Problems
from ..insight.snapshot import Snapshot
from ..jobrunner.config import _channels, _is_runner_enabled
from ..sql import statements as sql

# Minutes, and minutes of one point of the chart.
PERIODS = {"hour": (60, 1), "day": (1440, 15)}
# Functions in each of the two lists.
LISTED = 6


class QueueJobOverview(models.AbstractModel):
    """The overview: figures of the queue on one page.

    Numbers, and no job; only of the companies that the reader sees.
    """

    _name = "queue.job.overview"
    _description = "Overview of the Job Queue"

    @api.model
    def read_overview(self, period="hour"):
        """Return all figures of the page; one call costs a few milliseconds.

        Also adds up the jobs that ended since the last reading.

        :param period: ``hour`` or ``day``, of the chart
        """
        self._check_reader()
        started = time.monotonic()
        now = datetime.now()
        companies = companies_seen(self.env)
        minutes, width = PERIODS[period if period in PERIODS else "hour"]
        is_complete = throughput.add_up(self.env, now)
        counts = ChannelCounts(self.env, companies)
        figures = counts.channels()
        functions = throughput.functions(
            self.env, now, companies, with_newest=is_complete
        )
        runner = self._runner()
        problems = Problems(
            *(self.env, counts, figures, functions),
            runs_instead=bool(runner.get("instead")),
        )
        return {
            "runner": runner,
            "problems": problems.found(),
            "channels": self._channels(figures),
            "series": {
                "width": width,
                "points": throughput.series(
                    self.env, now, minutes, width, companies, with_newest=is_complete
                ),
                "is_complete": is_complete,
            },
            "functions": self._functions(functions),
            "has_jobs": self._has_jobs(),
            "seconds": round(time.monotonic() - started, 4),
        }

    @api.model
    def run_test_job(self):
        """Delay a job that does nothing; return the action that shows how it gets on.

        It proves that the runner, the address of the workers and a worker do their part.
        """
        self._check_reader()
        jobs = self.env["queue.job"]
        job = jobs.with_delay(description=self.env._("Test job"))._test_job()
        return {
            "type": "ir.actions.act_window",
            "res_model": "queue.job",
            "res_id": job.db_record().id,
            "views": [[False, "form"]],
        }

    @api.model
    def read_doctor(self):
        """Return the lines of the doctor for this database, as the command prints them.

        A dict for each: ``key``, ``level`` (``ok``, ``warning`` or ``error``),
        ``looked_at``, ``found`` and ``advice``. Takes some seconds when the runner's way to
        PostgreSQL or to a worker is broken.
        """
        self._check_reader()
        return [
            {
                name: value if isinstance(value, str) else self.env._(value)
                for name, value in line._asdict().items()
            }
            for line in Doctor(self.env.cr).examine()
        ]

    def _check_reader(self):
        if not self.env.su and not self.env.user.has_group(
            "queue_job.group_queue_job_manager"
        ):
            raise AccessError(
                self.env._("Only managers of the job queue see its overview.")
            )

    def _has_jobs(self):
        self.env.cr.execute(sql.has_jobs)
        return self.env.cr.fetchone()[0]

    # Channels ---------------------------------------------------------------

    def _channels(self, figures):
        records = self.env["queue.job.channel"].search_fetch([], ["complete_name"])
        by_name = {record.complete_name: record for record in records}
        none = records.browse()
        return [
            {
                **{
                    key: self._plain(value)
                    for key, value in channel.items()
                    if key != "oldest"
                },
                "id": by_name.get(channel["name"], none).id,
                "pause_text": by_name.get(channel["name"], none).pause_text or "",
                "label": channel["name"].rpartition(".")[2],
                "depth": channel["name"].count("."),
                "age": seconds_since(channel["oldest"]),
            }
            for channel in sorted(
                figures.values(), key=lambda it: it["name"].split(".")
            )
        ]

    @staticmethod
    def _plain(value):
        return value._asdict() if hasattr(value, "_asdict") else value

    # Functions --------------------------------------------------------------

    def _functions(self, rows):
        """Return the slowest functions and those that fail most, of the figures of all."""
        slow = [row for row in rows if row["average"]]
        slow.sort(key=lambda row: -row["average"])
        failing = [row for row in rows if row["failed"]]
        failing.sort(key=lambda row: -row["failed"])
        shown = {"slowest": slow[:LISTED], "failing": failing[:LISTED]}
        for row in [*shown["slowest"], *shown["failing"]]:
            row["label"] = label_of(self.env, row["function"])
        return shown

    # Runner -----------------------------------------------------------------

    @api.model
    def _runner(self):
        """Return the runner of this database, or what to check."""
        snapshot = Snapshot(self.env)
        runner, is_changing = snapshot.runner, snapshot.modules_are_changing
        if runner:
            node, _colon, pid = runner.name.rpartition(":")
            return {
                "is_alive": True,
                "node": node or runner.name or self.env._("an unknown server"),
                "pid": pid,
                "address": runner.address or "",
                "age": seconds_since(runner.since),
                "is_changing": is_changing,
                "checks": [],
            }
        instead = self._runs_instead()
        return {
            "is_alive": False,
            "instead": instead or None,
            "is_changing": is_changing,
            "checks": [] if instead else self._checks(),
        }

    def _runs_instead(self):
        """Return how the jobs are run when no runner is alive, nothing when they are not.

        A dict: ``text``, a sentence, and ``level``, ``info`` or ``warning``.
        """
        runner = Snapshot(self.env).listening_runner
        if runner is None or self._has_due_jobs():
            return {}
        text = self.env._(
            "Dormant: no job is due. The runner on %s is woken by the next one.",
            runner.name.rpartition(":")[0] or "?",
        )
        return {"text": text, "level": "info"}

    def _has_due_jobs(self):
        """Return whether a job could run that no runner has noticed for a while."""
        since = fields.Datetime.now() - timedelta(seconds=WAKING)
        domain = [
            ("state", "=", "pending"),
            ("date_created", "<", since),
            "|",
            ("eta", "=", False),
            ("eta", "<", since),
        ]
        return bool(self.env["queue.job"].sudo().search_count(domain, limit=1))

    def _checks(self):
        """Return what to check when no runner is alive, as this server sees it.

        The runner may be meant to live on another server: what is right here
        may still be wrong there.
        """
        is_loaded = "queue_job" in self._server_wide_modules()
        names = self._databases_served()
        return [
            self._check(
                "server_wide_modules",
                is_loaded,
                self.env._("queue_job is loaded server-wide"),
                self.env._(
                    "Add queue_job to server_wide_modules (option --load) and restart, for "
                    "example: server_wide_modules = base,rpc,web,queue_job"
                ),
            ),
            {
                "key": "workers",
                # A threaded server has a runner too.
                "is_right": bool(config["workers"]) or None,
                "text": self.env._("This server has workers")
                if config["workers"]
                else self.env._(
                    "This server has no workers (option --workers): its runner is a thread, "
                    "and starts only if the server does not stop after its initialisation"
                ),
            },
            self._check(
                "channels",
                _is_runner_enabled(),
                self.env._("The channels let a runner start: %s", _channels().strip()),
                self.env._(
                    "The channels are configured as %s: with root:0 this server starts no "
                    "runner. Give root a capacity, or make sure that another server has one.",
                    _channels().strip(),
                ),
            ),
            self._check(
                "database",
                names is None or self.env.cr.dbname in names,
                self.env._("This database is among those that the server serves"),
                self.env._(
                    "The option db_name does not name %s: a runner serves only what it names.",
                    self.env.cr.dbname,
                ),
            ),
        ]

    @staticmethod
    def _check(key, is_right, right, wrong):
        return {"key": key, "is_right": is_right, "text": right if is_right else wrong}

    def _server_wide_modules(self):
        modules = config["server_wide_modules"]
        return modules.split(",") if isinstance(modules, str) else modules

    def _databases_served(self):
        """Return the names that the option db_name states, None when it states none."""
        names = config["db_name"]
        names = names.split(",") if isinstance(names, str) else names
        return [name.strip() for name in names] if names else None
