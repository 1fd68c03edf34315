# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How long the jobs of one function take, and how many end well.

Durations are those of the jobs of the function's channel that were done last, a bounded
number: exact for a function that makes up a part of them, and cheap at a million jobs.
"""

from datetime import datetime

from odoo.tools import SQL

from ..sql import statements as sql
from .companies import belongs_to, companies_seen

# Jobs of the channel that are read for durations, and of each kind that waits.
READ, WAITING_READ = 10_000, 5_000
# Seconds that part the bars of the histogram.
EDGES = (0.01, 0.1, 0.5, 1, 5, 10, 60, 300, 3600)
HOURS = 24


def figures(env, function, channel):
    """Return the figures of a function as a dict.

    :param function: name such as ``<res.partner>.export``
    :param channel: complete name of its channel
    :return: ``count``, ``mean``, ``longest``, ``percentiles`` (50, 95, 99) in seconds or
        None; ``histogram``: one count more than ``EDGES``; ``waiting``; ``hours``:
        ``[done, failed]`` of the last 24 hours, the oldest first
    """
    env["queue.job"].flush_model()
    values = {
        "function": function,
        "channel": channel,
        "visible": belongs_to(companies_seen(env)),
    }
    count, mean, longest, percentiles, bars = _fetch(
        env, sql.durations_of_function, limit=READ, edges=list(EDGES), **values
    )[0]
    histogram = [0] * (len(EDGES) + 1)
    for place, number in (bars or {}).items():
        histogram[int(place)] = number
    hours = [[0, 0] for _hour in range(HOURS)]
    for age, done, failed in _fetch(
        env, sql.hours_of_function, now=datetime.now(), **values
    ):
        if 0 <= age < HOURS:
            hours[HOURS - 1 - age] = [done, failed]
    ((waiting,),) = _fetch(env, sql.waiting_of_function, limit=WAITING_READ, **values)
    return {
        "count": count,
        "mean": mean,
        "longest": longest,
        "percentiles": percentiles or [None, None, None],
        "edges": list(EDGES),
        "histogram": histogram,
        "waiting": waiting,
        "hours": hours,
    }


def durations(env, function, channel):
    """Return ``(count, percentiles)`` of a function: its 50th, 95th and 99th, in seconds."""
    count, _mean, _longest, percentiles, _bars = _fetch(
        env,
        sql.durations_of_function,
        limit=READ,
        edges=list(EDGES),
        function=function,
        channel=channel,
        visible=belongs_to(companies_seen(env)),
    )[0]
    return count, percentiles or [None, None, None]


def _fetch(env, statement, **values):
    env.cr.execute(SQL(statement, **values))
    return env.cr.fetchall()
