# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Snapshot of the queue as the runner sees it: channels, slots, the elected session."""

from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

import babel.dates

from odoo.sql_db import db_connect
from odoo.tools import SQL, babel_locale_parse
from odoo.tools.misc import get_lang

from ..channels import (
    ROOT,
    ChannelRecord,
    DatabaseTree,
    database_capacity,
    full_name,
)
from ..configuration import dormant_after
from ..jobrunner.connection import PG_ADVISORY_LOCK_ID
from ..sql import statements as sql
from ..states import FAILED, PENDING

# More running jobs than any channel has slots.
RUNNING_LIMIT = 5000
# Of the jobs that hold another, so many are read to name some.
LOOKED_AT = 100
_ORDER = SQL(sql.part("rank"))


class Blocking(NamedTuple):
    """The jobs that a job waits for; ``ids`` are the first ones, those that failed before."""

    count: int = 0
    failed: int = 0
    ids: tuple | list = ()


class Runner(NamedTuple):
    """The session that dispatches; its name is empty where another role of PostgreSQL has it."""

    name: str
    since: datetime | None
    address: str | None


class Condition(NamedTuple):
    """The condition that the runner elected last has recorded.

    ``trouble`` is how its requests to workers fail, as ``jobrunner.dispatch`` names it,
    None while they are answered.
    """

    name: str
    is_pooled: bool
    trouble: str | None
    status: int | None
    address: str | None
    since: datetime | None


class Snapshot:
    """The queue at this moment; each part is read once, when first asked for.

    Reads all jobs, with any rights: it returns ids and numbers, and the caller names
    only jobs that the reader may see.

    :param alone: whether one job is asked about, and may cost more
    """

    COUNT_LIMIT = 1000

    def __init__(self, env, alone=True):
        self.env = env
        self.alone = alone
        self.now = datetime.now()
        self._blocking = {}
        self._failed = {}
        self._earlier = {}
        env["queue.job"].flush_model()

    def _fetch(self, statement, **values):
        self.env.cr.execute(SQL(statement, **values))
        return self.env.cr.fetchall()

    def _fetch_from_primary(self, statement, **values):
        """Ask the server that is written to: a replica has locks of its own."""
        if not self.env.cr.readonly:
            return self._fetch(statement, **values)
        with db_connect(self.env.cr.dbname).cursor() as cr:
            cr.execute(SQL(statement, **values))
            return cr.fetchall()

    def seconds_since(self, date):
        return (self.now - date).total_seconds() if date else 0

    # Runner -----------------------------------------------------------------

    @cached_property
    def runner(self):
        """The :class:`Runner` that dispatches the jobs of this database, None without one."""
        high, low = PG_ADVISORY_LOCK_ID >> 32, PG_ADVISORY_LOCK_ID & 0xFFFFFFFF
        rows = self._fetch_from_primary(sql.elected_runner, high=high, low=low)
        if not rows:
            return None
        name, since, address = rows[0]
        return Runner((name or "").removeprefix("queue_job runner "), since, address)

    @cached_property
    def condition(self):
        """The :class:`Condition` of the runner, None where none was elected yet."""
        rows = self._fetch(sql.read_condition)
        return Condition(*rows[0]) if rows else None

    @cached_property
    def listening_runner(self):
        """The :class:`Runner` that is woken by the next job here, None without one.

        It serves other databases, and this one is dormant; or it does not serve this one.
        """
        rows = self._fetch_from_primary(sql.listening_runner)
        if not rows or not dormant_after():
            return None
        name, since, address = rows[0]
        return Runner(name.removeprefix("queue_job runner "), since, address)

    @cached_property
    def modules_are_changing(self):
        return self._fetch(sql.modules_changing)[0][0]

    def backends(self, job):
        """Return the PostgreSQL processes that work for a job that was stopped."""
        if not job.date_stopped:
            return []
        rows = self._fetch_from_primary(sql.backends_of_job, job=job.id)
        return [pid for (pid,) in rows]

    # Channels ---------------------------------------------------------------

    def path(self, channel):
        """Return the settings of a channel and those above it, the root first."""
        names = full_name(channel).split(".")
        return [
            self.settings(".".join(names[:depth])) for depth in range(1, len(names) + 1)
        ]

    def settings(self, name):
        """Return what applies to a channel."""
        return self._tree.settings.of(name)

    def is_pause_fixed(self, name):
        """Return whether the configuration pauses a channel, so that its record cannot."""
        return bool(self.configured.get(name, {}).get("paused"))

    @cached_property
    def _tree(self):
        """The channels of this database, without jobs."""
        root_capacity = self.env["queue.job.channel"]._default_root_capacity()
        records = self.records.values()
        limit = database_capacity(self.env.cr.dbname)
        return DatabaseTree(None, self.configured, records, root_capacity, limit)

    @cached_property
    def _busy_tree(self):
        """The same with the running jobs in it."""
        for job_id, name, state, _date in self._running:
            self._place(job_id, name, state)
        return self._tree

    def _place(self, job_id, channel, state, priority=0, date=None, eta=None):
        eta = eta.timestamp() if eta else None
        row = (channel, str(job_id), job_id, date or None, priority, eta, state)
        return self._tree.place(self.env.cr.dbname, *row)

    def _place_pending(self, job):
        return self._place(
            *(job.id, job.channel, PENDING, job.priority, job.date_created, job.eta)
        )

    def why_not(self, job):
        """Return the :class:`Reason` why the channels let a pending job wait, or None.

        Few of the other pending jobs are in the tree: whether a better one comes before
        is answered by :meth:`is_behind`.
        """
        now = self.now.timestamp()
        own = self._place_pending(job)
        for node in self._busy_tree and own.channel.path:
            channel = self.settings(node.fullname)
            if channel.sequential:
                for job_id in self.failed_in(channel):
                    self._place(job_id, channel.name, FAILED)
                earlier = self.earlier_with_eta(job, channel)
                if earlier:
                    self._place_pending(job.browse(earlier[0]).sudo())
            node.wait_until(now + self.throttled_for(channel))
        return own.channel.why_not(own, now)

    @cached_property
    def configured(self):
        return self.env["queue.job.channel"]._settings_of_configuration()

    @cached_property
    def records(self):
        channels = self.env["queue.job.channel"].sudo()
        channels.flush_model()
        rows = self._fetch(sql.channel_records)
        return {row[0]: ChannelRecord(*row) for row in rows}

    @staticmethod
    def spellings(name):
        """Return how jobs may spell this very channel."""
        return [name, name.removeprefix(ROOT + ".")] if name != ROOT else [ROOT, ""]

    def _is_below(self, channel, name):
        full = full_name(channel)
        return full == name or full.startswith(name + ".")

    def holders(self, channel):
        """Return ``(id, state)`` of the jobs that run in a channel and below, started first."""
        return [
            (job_id, state)
            for job_id, name, state, _date in self._running
            if self._is_below(name, channel.name)
        ]

    @cached_property
    def _running(self):
        return self._fetch(sql.jobs_in_progress, limit=RUNNING_LIMIT)

    def failed_in(self, channel):
        """Return the ids of jobs that failed in this very channel, a few at most."""
        if channel.name in self._failed:
            return self._failed[channel.name]
        rows = self._fetch(
            sql.failed_in_channel,
            names=self.spellings(channel.name),
            is_root=channel.name == ROOT,
            limit=LOOKED_AT,
        )
        self._failed[channel.name] = [job_id for (job_id,) in rows]
        return self._failed[channel.name]

    def throttled_for(self, channel):
        """Return the seconds until a throttled channel may start a job, 0 when it may."""
        if not channel.throttle:
            return 0
        since = self.now - timedelta(seconds=channel.throttle)
        dates = [
            date
            for _id, name, _state, date in self._running
            if self._is_below(name, channel.name)
        ]
        names = {name for name in self.records if self._is_below(name, channel.name)}
        names.update(
            spelling for name in list(names) for spelling in self.spellings(name)
        )
        dates += [
            date
            for (date,) in self._fetch(sql.last_start, names=list(names), since=since)
        ]
        last = max(filter(None, dates), default=None)
        return max((last - since).total_seconds(), 0) if last else 0

    # Other jobs -------------------------------------------------------------

    def blocking_parents(self, job):
        """Return what a job waits for."""
        if job.id not in self._blocking:
            ids = [i for i in job._prefetch_ids if i] or job.ids
            self._blocking.update((job_id, Blocking()) for job_id in [*ids, job.id])
            self._blocking.update(self._read_blocking(ids))
        return self._blocking[job.id]

    def _read_blocking(self, ids):
        """Return ``{job id: Blocking}`` of the jobs that others hold back."""
        found, beyond = {}, {}
        rows = self._fetch(sql.blocking_parents, ids=list(ids), limit=LOOKED_AT)
        for child, joint, parent, state, count, failed in rows:
            # Two joints may have a parent in common.
            found.setdefault(child, {})[parent] = state
            not_read = (max(count - LOOKED_AT, 0), max(failed - LOOKED_AT, 0))
            beyond.setdefault(child, {})[joint] = not_read
        return {
            child: Blocking(
                len(states) + sum(count for count, _failed in beyond[child].values()),
                list(states.values()).count(FAILED)
                + sum(failed for _count, failed in beyond[child].values()),
                list(states),
            )
            for child, states in found.items()
        }

    def earlier_with_eta(self, job, channel):
        """Return ``(id, eta)`` of a better job of this very channel that waits for its eta."""
        key = (job.id, channel.name)
        if key not in self._earlier:
            rows = self._fetch(
                sql.earlier_with_eta,
                order=_ORDER,
                now=self.now,
                names=self.spellings(channel.name),
                rank=self._rank(job),
            )
            self._earlier[key] = rows[0] if rows else None
        return self._earlier[key]

    def count_before(self, job, channel):
        """Return how many jobs that may run come before ``job`` in a channel and below.

        Counts up to one more than ``COUNT_LIMIT``.
        """
        rows = self._fetch(
            sql.count_before,
            order=_ORDER,
            plain=[
                name
                for name in self._plain_channels
                if self._is_below(name, channel.name)
            ],
            timed=[
                name
                for name in self._timed_channels
                if self._is_below(name, channel.name)
            ],
            rank=self._rank(job),
            now=self.now,
            limit=self.COUNT_LIMIT + 1,
        )
        return rows[0][0]

    def is_behind(self, job, channel):
        """Return whether a job that may run comes before ``job`` in a channel and below.

        Costs one query for any number of jobs.
        """
        rank = self._rank(job)
        return any(
            head < rank
            for name, head in self._first_ranks
            if self._is_below(name, channel.name)
        )

    @cached_property
    def _first_ranks(self):
        rows = self._fetch(
            sql.first_of_channels,
            order=_ORDER,
            plain=self._plain_channels,
            timed=self._timed_channels,
            now=self.now,
        )
        return [(name, tuple(rank)) for name, *rank in rows]

    @cached_property
    def _plain_channels(self):
        return self._channels_with(sql.plain_channels)

    @cached_property
    def _timed_channels(self):
        return self._channels_with(sql.timed_channels)

    def _channels_with(self, statement):
        return [name for (name,) in self._fetch(statement) if name is not None]

    def _rank(self, job):
        # Without a date a job comes before all with one.
        return (job.priority or 0, job.date_created or datetime(1970, 1, 1), job.id)


def duration_text(env, seconds):
    """Return seconds as words of the reader's language, such as "5 minutes"."""
    locale = babel_locale_parse(get_lang(env).code)
    delta = timedelta(seconds=max(seconds, 0))
    return babel.dates.format_timedelta(delta, locale=locale, threshold=1.2)
