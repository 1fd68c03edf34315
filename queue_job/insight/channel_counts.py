# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Running, waiting and failed jobs of each channel, counted cheaply.

Counts go over the partial indexes of the states, and stop at a bound: how many more there
are is an estimate, from the statistics that PostgreSQL keeps of state and channel
together. No statement here grows with the number of jobs.
"""

from datetime import datetime

from odoo.tools import SQL

from ..channels import full_name
from ..sql import statements as sql
from .companies import belongs_to
from .estimate import Estimates, Number
from .snapshot import Snapshot

# Rows that all channels together may cost one count, and one channel at most.
BUDGET = 12_000
MOST = 5_000
LEAST = 500
# Priorities of a channel of which the oldest job is looked up.
PRIORITIES = 50

_PLAIN = SQL(sql.part("plain"))
_DUE, _SCHEDULED = SQL(sql.is_due), SQL(sql.is_scheduled)
_FAILED = SQL(sql.part("is_failed"))
_NUMBERS = ("running", "sent", "waiting", "later", "depending", "failed")


class ChannelCounts:
    """The jobs of the channels at this moment.

    :param companies: ids of the companies whose jobs are counted, None for all;
        jobs of no company always count
    """

    def __init__(self, env, companies=None):
        self.env = env
        self.companies = companies
        self.snapshot = Snapshot(env)
        self.estimates = Estimates(env)
        env["queue.job"].flush_model()

    def channels(self, names=()):
        """Return the figures of each channel, its sub-channels included, as dicts by name.

        All channels that have a record, are configured, or have such jobs.

        :param names: of more channels
        """
        own = self._own()
        records = self.snapshot.records
        every = {
            "root",
            *names,
            *filter(None, records),
            *self.snapshot.configured,
            *own,
        }
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
        """Return ``{name: {key: Number or date}}`` of the jobs in each channel itself."""
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
        settings = self.snapshot.settings(name)
        path, now = self.snapshot.path(name), self.snapshot.now.timestamp()
        return {
            "name": name,
            "capacity": settings.capacity,
            "sequential": settings.sequential,
            "throttle": settings.throttle,
            "paused": settings.is_paused(now),
            "stopped": any(channel.is_paused(now) for channel in path),
            "has_fixed_pause": self.snapshot.is_pause_fixed(name),
            "oldest": numbers.get("oldest"),
            **{key: numbers.get(key, Number()) for key in _NUMBERS},
        }

    def _add_below(self, above, below):
        for key in _NUMBERS:
            above[key] = above[key] + below[key]
        dates = [date for date in (above["oldest"], below["oldest"]) if date]
        above["oldest"] = min(dates, default=None)

    # Statements -------------------------------------------------------------

    def _fetch(self, statement, **values):
        self.env.cr.execute(SQL(statement, **values))
        return self.env.cr.fetchall()

    @property
    def _visible(self):
        return belongs_to(self.companies)

    def _running(self):
        return self._fetch(
            sql.in_progress_by_channel, limit=MOST, visible=self._visible
        )

    def _channels_with(self, statement):
        """Return the channels that have such jobs; None stands for no channel."""
        return [name for (name,) in self._fetch(statement)]

    def _count(self, names, condition):
        """Return ``{channel: Number}`` of such jobs of all companies."""

        def to_count(match, limit):
            return SQL(sql.some_jobs, condition=condition, match=match, limit=limit)

        (counts,) = self._counts(names, to_count, SQL("TRUE"))
        return counts

    def _count_of_companies(self, names, state, *conditions):
        """Return ``{channel: Number}`` of such jobs for each of the conditions on a state.

        Reads all jobs that the companies have in the state, once: an index finds
        them, so that the many jobs of another company hide none.
        """
        values = {"state": state, "companies": list(self.companies)}

        def to_count(match, limit):
            return SQL(sql.some_jobs_of_companies, match=match, limit=limit, **values)

        return self._counts(names, to_count, *conditions)

    def _counts(self, names, to_count, *conditions):
        if not names:
            return [{} for _condition in conditions]
        bound = min(max(BUDGET // len(names), LEAST), MOST)
        rows = self._fetch(
            sql.count_in_channels,
            names=list(names),
            counts=SQL(", ").join(
                SQL(sql.count_such, condition=such) for such in conditions
            ),
            named=to_count(SQL(sql.of_asked_channel), bound + 1),
            nameless=to_count(SQL(sql.of_no_channel), bound + 1),
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
        names = self._channels_with(sql.failed_channels)
        if self.companies is not None:
            (counts,) = self._count_of_companies(names, "failed", _FAILED)
            return counts
        return {
            channel: number.or_about(self.estimates.of("failed", channel))
            for channel, number in self._count(names, _FAILED).items()
        }

    def _pending(self):
        """Return ``(channel, key, Number)`` of pending jobs, ``waiting`` or for ``later``."""
        plain = self._channels_with(sql.plain_channels)
        timed = self._channels_with(sql.timed_channels)
        if self.companies is None:
            counts = [
                self._count(names, such)
                for names, such in ((plain, _PLAIN), (timed, _DUE), (timed, _SCHEDULED))
            ]
        else:
            counts = self._count_of_companies(
                {*plain, *timed}, "pending", _PLAIN, _DUE, _SCHEDULED
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

        The number of pending ones is known. Where both counts stopped, the
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
        limit = LEAST * 2
        rows = self._fetch(
            sql.dependents_by_channel, visible=self._visible, limit=limit + 1
        )
        if sum(count for _channel, count, _visible in rows) <= limit:
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
        # Jobs beyond the sample may be in each of the channels.
        return [(channel, Number(visible, False)) for channel, _count, visible in rows]

    def _oldest(self):
        """Return ``(channel, date)`` of the job without eta that waits longest.

        For one company only it is not known by index, and only the first job of each
        priority is asked.
        """
        names = self._channels_with(sql.plain_channels)
        asked = [([name for name in names if name is not None], sql.of_asked_channel)]
        if None in names:
            asked.append(([None], sql.of_no_channel))
        rows = []
        for channels, match in asked:
            rows += self._fetch(
                sql.oldest_of_channels,
                names=channels,
                match=SQL(match),
                order=SQL(sql.part("rank")),
                depth=PRIORITIES,
                visible=self._visible,
            )
        return rows

    def _oldest_due(self):
        """Return ``(channel, eta)`` of the job that has waited longest since its eta."""
        channels = self._channels_with(sql.timed_channels)
        names = [name for name in channels if name is not None]
        return self._fetch(
            sql.oldest_due_of_channels, names=names, visible=self._visible
        )


def seconds_since(date):
    return max((datetime.now() - date).total_seconds(), 0) if date else None
