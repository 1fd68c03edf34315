# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Done and failed jobs by minute and by function, added up as they go.

Nothing is counted when a job ends: that would cost every job. The overview, and a
scheduled action every ten minutes, add up the jobs that ended since the last time, by
index, and a job is read once for that. So a day of a million jobs is read as some
thousand rows.
"""

from datetime import datetime, timedelta

from odoo.tools import SQL

from ..sql import statements as sql
from .companies import belongs_to

# Jobs whose end is not yet committed may end before others that are.
LAG = timedelta(seconds=5)
# How far back the first reading goes, and how long figures are kept.
KEPT = timedelta(hours=26)
# Jobs that one reading adds up, about; the next one goes on.
BUDGET = 3_000


def add_up(env, now=None, budget=BUDGET):
    """Add up jobs that ended; return whether all of them are.

    One at a time: a second reader leaves it to the first, and learns whether more
    than one reading is left. The caller commits.
    """
    env.cr.execute(sql.lock_throughput)
    is_ours = env.cr.fetchone()[0]
    now = now or datetime.now()
    span = {"since": _added_until(env, now), "until": now - LAG}
    env.cr.execute(sql.end_of_budget, {**span, "budget": budget})
    edge = env.cr.fetchone()
    if is_ours:
        env.cr.execute(sql.add_up, {**span, "until": edge[0]} if edge else span)
    return not edge


def drop_old(env):
    """Delete the figures that no screen shows."""
    before = {"before": datetime.now() - KEPT}
    env.cr.execute(sql.drop_old_minutes, before)
    env.cr.execute(sql.drop_old_hours, before)


def series(env, now, minutes, width, companies=None, *, with_newest=True):
    """Return ``[done, failed]`` of each span of ``width`` minutes, the oldest first.

    :param with_newest: count jobs that are not added up yet; cheap only when
        they are few
    :param companies: ids to count, None for all; jobs of no company always count
    """
    now = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    rows = env.execute_query(
        SQL(
            sql.series,
            start=now - timedelta(minutes=minutes),
            seconds=width * 60,
            visible=belongs_to(companies),
            since=_added_until(env, now) if with_newest else now,
            until=now,
        )
    )
    spans = minutes // width
    found = [[0, 0] for _span in range(spans)]
    for span, done, failed in rows:
        if 0 <= span < spans:
            found[span] = [done, failed]
    return found


def functions(env, now, companies=None, *, with_newest=True):
    """Return the figures of each function over the last day, as dicts.

    :param with_newest: count jobs that are not added up yet, as the series does
    """
    env.cr.execute(
        SQL(
            sql.figures_of_functions,
            start=now - timedelta(days=1),
            visible=belongs_to(companies),
            since=_added_until(env, now) if with_newest else now,
            until=now,
        )
    )
    return env.cr.dictfetchall()


def _added_until(env, now):
    """Return the end of the last job that is added up."""
    env.cr.execute(sql.added_until, {"since": now - KEPT})
    return env.cr.fetchone()[0] or now - KEPT
