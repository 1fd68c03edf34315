# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The pages that the runner serves: metrics, health, readiness. From memory alone."""

import json
import time

from ..exposition import CONTENT_TYPES, OPENMETRICS, Page
from ..protocol import DONE, FAILED, POSTPONED
from .metrics import STARTED

# Seconds without a sign of life of a database after which the runner is not healthy:
# three beats of a session.
SILENCE = 30
JSON = "application/json"
# By counter, the event and its purpose.
COUNTED = {
    "queue_job_started_total": (
        STARTED,
        "Attempts that a worker began, counted when its answer arrives.",
    ),
    "queue_job_done_total": (DONE, "Attempts that ended as done."),
    "queue_job_failed_total": (FAILED, "Attempts that ended as failed."),
    "queue_job_postponed_total": (
        POSTPONED,
        "Attempts after which the job is tried again.",
    ),
}


class Pages:
    """The answers to requests.

    :param runner: a ``QueueJobRunner``: its ``sessions`` by database, ``troubles``,
        ``metrics``, ``open_requests`` and ``is_ready``
    """

    def __init__(self, runner):
        self._runner = runner

    def get(self, path, accept=""):
        """Return ``(HTTP status, content type, text)`` for a path."""
        if path == "/metrics":
            is_openmetrics = OPENMETRICS in accept
            text = self.metrics(time.time(), is_openmetrics)
            return 200, CONTENT_TYPES[is_openmetrics], text
        if path == "/health":
            faults = self.faults(time.monotonic())
            return 503 if faults else 200, JSON, _dumps(not faults, faults)
        if path == "/ready":
            is_ready = self._runner.is_ready
            return 200 if is_ready else 503, JSON, _dumps(is_ready, {})
        return 404, "text/plain", "/metrics, /health and /ready are served here\n"

    def faults(self, now):
        """Return ``{database: why it is not served}``.

        A database that another runner is elected for is served.

        :param now: seconds of the clock that cannot be set
        """
        faults = dict(self._runner.troubles)
        for name, session in self._runner.sessions.items():
            silence = now - session.db.heard_at
            if silence > SILENCE:
                faults[name] = f"no reply from PostgreSQL for {silence:.0f} s"
        return faults

    def metrics(self, now, is_openmetrics=False):
        """Return the page of metrics.

        :param now: UNIX time
        """
        page = Page(is_openmetrics)
        metrics = self._runner.metrics
        self._add_channels(page, now)
        self._add_jobs(page, metrics)
        page.histogram(
            "queue_job_wait_seconds",
            "Seconds from the time a job is ready until it is sent to a worker.",
            metrics.waits.samples(),
        )
        page.histogram(
            "queue_job_duration_seconds",
            "Seconds that an attempt took in its worker.",
            metrics.durations.samples(),
        )
        self._add_databases(page, metrics)
        self._add_snapshots(page, now)
        return page.text()

    def _add_channels(self, page, now):
        """Add the gauges of each channel that is in the tree of its database."""
        found = [
            ({"database": name, "channel": channel.fullname}, figures)
            for name, session in self._runner.sessions.items()
            for channel, figures in session.channel_figures(now)
        ]
        for name, purpose in (
            (
                "queue_job_capacity",
                "Jobs of the channel that may run at once; +Inf: no limit.",
            ),
            ("queue_job_running", "Slots of the channel and its sub-channels in use."),
            ("queue_job_waiting", "Jobs that are ready to run; counted up to a limit."),
            (
                "queue_job_oldest_ready_seconds",
                "How long the oldest ready job has been ready.",
            ),
            (
                "queue_job_failed_blocking",
                "Failed jobs that block a sequential channel.",
            ),
            ("queue_job_paused", "1: the channel is paused."),
        ):
            key = name.removeprefix("queue_job_")
            page.gauge(name, purpose, [(it, getattr(row, key)) for it, row in found])

        self._add_objectives(page, found)

    def _add_objectives(self, page, found):
        """Add the objectives; what waits in a sub-channel counts in those above it."""
        objectives = [
            ({"database": name, "channel": channel}, seconds)
            for name, session in self._runner.sessions.items()
            for channel, seconds in session.objectives.items()
        ]
        page.gauge(
            "queue_job_objective_seconds",
            "Jobs of the channel are to begin within so many seconds.",
            objectives,
        )
        page.gauge(
            "queue_job_objective_missed",
            "1: the oldest ready job should have begun by the objective.",
            [
                (
                    labels,
                    any(
                        figures.oldest_ready_seconds > seconds
                        for its, figures in found
                        if its["database"] == labels["database"]
                        and f"{its['channel']}.".startswith(f"{labels['channel']}.")
                    ),
                )
                for labels, seconds in objectives
            ],
        )

    def _add_jobs(self, page, metrics):
        for counter, (event, purpose) in COUNTED.items():
            samples = [
                ({"database": name, "channel": channel}, count)
                for name, counted in metrics.databases.items()
                for (counted_event, channel), count in counted.jobs.items()
                if counted_event == event and self._is_known(name, channel)
            ]
            page.counter(counter, purpose, samples)

    def _is_known(self, name, channel):
        session = self._runner.sessions.get(name)
        return session is None or session.tree.known(channel) is not None

    def _add_databases(self, page, metrics):
        def each(value):
            return [({"database": it.db_name}, value(it)) for it in databases]

        def each_of(label, counts):
            return [
                ({"database": it.db_name, label: key}, number)
                for it in databases
                for key, number in counts(it).items()
            ]

        databases = list(metrics.databases.values())
        page.counter(
            "queue_job_dead_total",
            "Jobs whose worker died, requeued or failed by the runner.",
            each(lambda it: it.dead),
        )
        page.counter(
            "queue_job_requests_total",
            "Requests to workers by outcome; ok: a worker answered.",
            each_of("outcome", lambda it: it.requests),
        )
        page.gauge(
            "queue_job_open_requests",
            "Requests that wait for their answer, over all databases.",
            [({"runner": "this"}, self._runner.open_requests)],
        )
        page.counter(
            "queue_job_elections_total",
            "Elections that this runner won or lost.",
            each_of("result", lambda it: it.elections),
        )
        page.counter(
            "queue_job_errors_total",
            "Errors that ended the session of a database.",
            each(lambda it: it.errors),
        )
        page.gauge(
            "queue_job_elected",
            "1: this runner dispatches the jobs of the database.",
            each(lambda it: it.db_name in self._runner.sessions),
        )

    def _add_snapshots(self, page, now):
        found = [
            ({"database": name}, session.snapshot)
            for name, session in self._runner.sessions.items()
            if session.snapshot
        ]
        page.gauge(
            "queue_job_oldest_snapshot_seconds",
            "Age of the oldest snapshot in the database: vacuum removes no younger row.",
            [(labels, float(max(now - it.since, 0))) for labels, it in found],
        )
        page.gauge(
            "queue_job_oldest_snapshot_info",
            "The session that has the oldest snapshot, and its job.",
            [
                ({**labels, "pid": it.pid, "program": it.program, "job": it.job}, 1)
                for labels, it in found
            ],
        )


def _dumps(is_well, faults):
    status = "ok" if is_well else "unavailable"
    return json.dumps({"status": status, "databases": faults}) + "\n"
