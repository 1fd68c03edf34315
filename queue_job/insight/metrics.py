# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Metrics of a database without a runner, from the statistics that the screens show.

Names are those of the runner's page where the figure is the same. Figures that only a runner has,
such as counters by outcome of a request, are left out.
"""

from datetime import datetime

from ..exposition import Page
from . import throughput
from .channel_counts import ChannelCounts, seconds_since

# By series: the key of the channel's figures, and the purpose.
GAUGES = {
    "queue_job_running": ("running", "Running jobs of the channel and below."),
    "queue_job_waiting": ("waiting", "Jobs that are ready; counted up to a limit."),
    "queue_job_failed": ("failed", "Failed jobs of the channel and below."),
}


def metrics_page(env, is_openmetrics=False):
    """Return the page of metrics of a database; a few statements, with the rights of env."""
    page = Page(is_openmetrics)
    database = env.cr.dbname
    channels = [
        ({"database": database, "channel": name}, figures)
        for name, figures in sorted(ChannelCounts(env).channels().items())
    ]
    page.gauge(
        "queue_job_capacity",
        "Jobs of the channel that may run at once; +Inf: no limit.",
        [(labels, it["capacity"] or float("inf")) for labels, it in channels],
    )
    for name, (key, purpose) in GAUGES.items():
        page.gauge(name, purpose, [(labels, it[key].count) for labels, it in channels])
    page.gauge(
        "queue_job_oldest_ready_seconds",
        "How long the oldest ready job has been ready.",
        [
            (labels, float(max(seconds_since(it["oldest"]) or 0, 0)))
            for labels, it in channels
        ],
    )
    page.gauge(
        "queue_job_paused",
        "1: the channel, or one above it, is paused.",
        [(labels, it["stopped"]) for labels, it in channels],
    )
    done, failed = _ended_in_last_hour(env)
    labels = {"database": database}
    page.gauge(
        "queue_job_done_last_hour", "Jobs done in the last hour.", [(labels, done)]
    )
    page.gauge(
        "queue_job_failed_last_hour",
        "Jobs failed in the last hour.",
        [(labels, failed)],
    )
    return page.text()


def _ended_in_last_hour(env):
    points = throughput.series(env, datetime.now(), 60, 60, with_newest=False)
    return [sum(point[side] for point in points) for side in (0, 1)]
