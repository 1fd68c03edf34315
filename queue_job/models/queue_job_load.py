# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What each channel has to do: running, waiting and failed jobs, counted cheaply.

Counts go over the partial indexes of the states, and stop at a bound: how many more there
are is an estimate, from the statistics that PostgreSQL keeps of state and channel
together. No statement here grows with the number of jobs.
"""

from datetime import datetime

from odoo.tools import SQL

from ..channels import full_name
from ..jobrunner.statements import (
    FAILED_CHANNELS,
    PLAIN_CHANNELS,
    RANK,
    TIMED_CHANNELS,
)
from .queue_job_companies import belongs_to
from .queue_job_estimate import Estimates, Number
from .queue_job_situation import Situation

# Rows that all channels together may cost one count, and one channel at most.
BUDGET = 12_000
MOST = 5_000
LEAST = 500
# Priorities of a channel of which the oldest job is looked up.
PRIORITIES = 50

_PLAIN = SQL("state = 'pending' AND eta IS NULL")
_DUE = SQL(
    "state = 'pending' AND eta IS NOT NULL AND eta <= (now() AT TIME ZONE 'UTC')"
)
_LATER = SQL(
    "state = 'pending' AND eta IS NOT NULL AND eta > (now() AT TIME ZONE 'UTC')"
)
_FAILED = SQL("state = 'failed'")
_PRIORITY = SQL("COALESCE(priority, 0)")


class Load:
    """The load of the channels at this moment.

    :param companies: ids of the companies whose jobs are counted, None for all;
        jobs of no company always count
    """

    def __init__(self, env, companies=None):
        self.env = env
        self.companies = companies
        self.situation = Situation(env)
        self.estimates = Estimates(env)
        env["queue.job"].flush_model()

    def channels(self, names=()):
        """Return the figures of each channel, with what is below it, as dicts by name.

        All channels that have a record, are configured, or have such jobs.

        :param names: more channels to tell about
        """
        own = self._own()
        records = self.situation._records
        every = {"root", *names, *filter(None, records), *self.situation._stated, *own}
        for name in list(every):
            parts = name.split(".")
            every.update(".".join(parts[:depth]) for depth in range(1, len(parts)))
        found = {name: self._figures_of(name, own) for name in every}
        for name in sorted(found, key=lambda name: -name.count(".")):
            above = name.rpartition(".")[0]
            if above:
                self._add_below(found[above], found[name])
        return found

    def _own(self):
        """Return ``{name: {key: Number or date}}`` of what is in each channel itself."""
        own = {}

        def add(channel, key, value):
            figures = own.setdefault(full_name(channel), {})
            if isinstance(value, Number):
                figures[key] = figures.get(key, Number()) + value
            elif value is not None:
                figures[key] = min(figures.get(key, value), value)

        for channel, state, count in self._running():
            add(channel, "running" if state == "started" else "sent", Number(count))
        for channel, key, number in self._pending():
            add(channel, key, number)
        for channel, number in self._failed().items():
            add(channel, "failed", number)
        for channel, number in self._depending():
            add(channel, "depending", number)
        for channel, date in self._oldest():
            add(channel, "oldest", date)
        for channel, date in self._oldest_due():
            add(channel, "oldest", date)
        return own

    def _figures_of(self, name, own):
        numbers = own.get(name, {})
        settings = self.situation.settings(name)
        path = self.situation.path(name)
        return {
            "name": name,
            "capacity": settings.capacity,
            "sequential": settings.sequential,
            "throttle": settings.throttle,
            "paused": settings.paused,
            "stopped": any(channel.paused for channel in path),
            "has_fixed_pause": self.situation.is_pause_fixed(name),
            "oldest": numbers.get("oldest"),
            **{
                key: numbers.get(key, Number())
                for key in (
                    "running",
                    "sent",
                    "waiting",
                    "later",
                    "depending",
                    "failed",
                )
            },
        }

    def _add_below(self, above, below):
        for key in ("running", "sent", "waiting", "later", "depending", "failed"):
            above[key] = above[key] + below[key]
        dates = [date for date in (above["oldest"], below["oldest"]) if date]
        above["oldest"] = min(dates, default=None)

    # Statements -------------------------------------------------------------

    def _fetch(self, statement):
        self.env.cr.execute(statement)
        return self.env.cr.fetchall()

    @property
    def _visible(self):
        return belongs_to(self.companies)

    def _running(self):
        return self._fetch(
            SQL(
                """
                SELECT channel, state, count(*)::int FROM (
                    SELECT channel, state, company_id FROM queue_job
                    WHERE state IN ('enqueued', 'started') LIMIT %s
                ) AS job WHERE %s GROUP BY 1, 2
                """,
                MOST,
                self._visible,
            )
        )

    def _channels_with(self, statement):
        """Return the channels that have such jobs; None stands for no channel."""
        return [name for (name,) in self._fetch(statement)]

    def _count(self, names, condition):
        """Return ``{channel: Number}`` of such jobs of all companies."""

        def looked_at(match, limit):
            # No column: where the index alone will do, the table is not read.
            return SQL(
                "SELECT FROM queue_job WHERE %s AND %s LIMIT %s",
                *(condition, match, limit),
            )

        (counts,) = self._counts(names, looked_at, SQL("TRUE"))
        return counts

    def _count_of_companies(self, names, state, *conditions):
        """Return ``{channel: Number}`` of such jobs for each of the conditions on a state.

        Looks at all jobs that the companies have in the state, once: an index finds
        them, so that the many jobs of another company hide none.
        """

        def looked_at(match, limit):
            jobs = SQL(
                "SELECT state, eta FROM queue_job WHERE state = %s AND %s AND company_id",
                *(state, match),
            )
            return SQL(
                "(%s = ANY(%s) LIMIT %s) UNION ALL (%s IS NULL LIMIT %s)",
                *(jobs, list(self.companies), limit, jobs, limit),
            )

        return self._counts(names, looked_at, *conditions)

    def _counts(self, names, looked_at, *conditions):
        if not names:
            return [{} for _condition in conditions]
        bound = min(max(BUDGET // len(names), LEAST), MOST)
        counts = SQL(", ").join(
            SQL("(count(*) FILTER (WHERE %s))::int", such) for such in conditions
        )
        rows = self._fetch(
            SQL(
                """
                SELECT asked.channel, seen.*
                FROM unnest(%(names)s::varchar[]) AS asked(channel) CROSS JOIN LATERAL (
                    SELECT count(*)::int, %(counts)s FROM (%(named)s) AS job
                ) AS seen
                UNION ALL
                SELECT NULL, count(*)::int, %(counts)s FROM (%(nameless)s) AS job
                WHERE array_position(%(names)s::varchar[], NULL) IS NOT NULL
                """,
                names=list(names),
                counts=counts,
                named=looked_at(SQL("channel = asked.channel"), bound + 1),
                nameless=looked_at(SQL("channel IS NULL"), bound + 1),
            )
        )
        return [
            {
                channel: Number(min(numbers[place], bound), seen <= bound)
                for channel, seen, *numbers in rows
                if numbers[place] or seen > bound
            }
            for place in range(len(conditions))
        ]

    def _failed(self):
        """Return ``{channel: Number}`` of the jobs that failed."""
        names = self._channels_with(FAILED_CHANNELS)
        if self.companies is not None:
            (counts,) = self._count_of_companies(names, "failed", _FAILED)
            return counts
        return {
            channel: number.or_about(self.estimates.of("failed", channel))
            for channel, number in self._count(names, _FAILED).items()
        }

    def _pending(self):
        """Return ``(channel, key, Number)`` of pending jobs, ``waiting`` or for ``later``."""
        plain = self._channels_with(PLAIN_CHANNELS)
        timed = self._channels_with(TIMED_CHANNELS)
        if self.companies is None:
            counts = [
                self._count(names, such)
                for names, such in ((plain, _PLAIN), (timed, _DUE), (timed, _LATER))
            ]
        else:
            counts = self._count_of_companies(
                {*plain, *timed}, "pending", _PLAIN, _DUE, _LATER
            )
        rows = []
        for channel in set().union(*counts):
            plain, due, later = (count.get(channel, Number()) for count in counts)
            if self.companies is None and not (plain.exact and later.exact):
                plain, later = self._about_pending(channel, plain, due, later)
            rows += [(channel, "waiting", plain), (channel, "waiting", due)]
            rows.append((channel, "later", later))
        return rows

    def _about_pending(self, channel, plain, due, later):
        """Return the estimates of jobs without eta and of those for later.

        What is known is how many are pending. Where both counts stopped, the
        channel is taken for like the others.
        """
        total = self.estimates.of("pending", channel)
        if not due.exact:
            return plain, later
        if later.exact:
            return plain.or_about(total - due.count - later.count), later
        if plain.exact:
            return plain, later.or_about(total - due.count - plain.count)
        share = self.estimates.share_without_eta
        return (
            plain.or_about(total * share),
            later.or_about(total * (1 - share) - due.count),
        )

    def _depending(self):
        """Return ``(channel, Number)`` of the jobs that wait for others."""
        rows = self._fetch(
            SQL(
                """
                SELECT channel, count(*)::int,
                    (count(*) FILTER (WHERE %s))::int FROM (
                    SELECT channel, company_id FROM queue_job
                    WHERE state = 'wait_dependencies' LIMIT %s
                ) AS job GROUP BY 1
                """,
                self._visible,
                LEAST * 2 + 1,
            )
        )
        if sum(count for _channel, count, _visible in rows) <= LEAST * 2:
            return [
                (channel, Number(visible))
                for channel, _count, visible in rows
                if visible
            ]
        if self.companies is None:
            estimates = self.estimates.channels_in("wait_dependencies")
            if any(estimates.values()):
                return [
                    (channel, Number(count, False, True))
                    for channel, count in estimates.items()
                    if count
                ]
        # Those beyond what was looked at may be in each of the channels.
        return [(channel, Number(visible, False)) for channel, _count, visible in rows]

    def _oldest(self):
        """Return ``(channel, date)`` of the job without eta that waits longest.

        The index is ordered by priority, then date: the first job of each
        priority is looked up. For one company only it is not known by
        index, and only the first job of each is asked.
        """
        names = self._channels_with(PLAIN_CHANNELS)
        if not names:
            return []
        first = SQL(
            """
            SELECT %s AS priority, date_created, company_id FROM queue_job WHERE %s AND
            """,
            _PRIORITY,
            _PLAIN,
        )
        order = SQL("ORDER BY %s LIMIT 1", SQL(RANK))
        rows = []
        for match, source in (
            (
                SQL("channel = asked.channel"),
                SQL("unnest(%s::varchar[]) AS asked(channel)", names),
            ),
            (
                SQL("channel IS NULL"),
                SQL("(SELECT NULL AS channel WHERE %s) AS asked", None in names),
            ),
        ):
            rows += self._fetch(
                SQL(
                    """
                    SELECT asked.channel, min(seen.date_created)
                    FROM %(source)s CROSS JOIN LATERAL (
                        WITH RECURSIVE first AS (
                            (SELECT job.*, 1 AS depth FROM (%(first)s %(match)s %(order)s) AS job)
                            UNION ALL
                            SELECT job.*, first.depth + 1 FROM first CROSS JOIN LATERAL (
                                %(first)s %(match)s AND %(priority)s > first.priority %(order)s
                            ) AS job WHERE first.depth < %(depth)s
                        )
                        SELECT date_created FROM first WHERE %(visible)s
                    ) AS seen GROUP BY 1
                    """,
                    source=source,
                    first=first,
                    match=match,
                    order=order,
                    priority=_PRIORITY,
                    depth=PRIORITIES,
                    visible=self._visible,
                )
            )
        return rows

    def _oldest_due(self):
        """Return ``(channel, eta)`` of the job that has waited longest since its eta."""
        channels = self._channels_with(TIMED_CHANNELS)
        names = [name for name in channels if name is not None]
        if not names:
            return []
        return self._fetch(
            SQL(
                """
                SELECT asked.channel, job.eta FROM unnest(%s::varchar[]) AS asked(channel)
                CROSS JOIN LATERAL (
                    SELECT eta, company_id FROM queue_job
                    WHERE %s AND channel = asked.channel ORDER BY eta, id LIMIT 1
                ) AS job WHERE %s
                """,
                names,
                _DUE,
                self._visible,
            )
        )


def seconds_since(date):
    return max((datetime.now() - date).total_seconds(), 0) if date else None
