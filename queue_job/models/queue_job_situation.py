# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the runner decides from, read from the database: channels, slots, who dispatches."""

from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

import babel.dates

from odoo.sql_db import db_connect
from odoo.tools import babel_locale_parse
from odoo.tools.misc import get_lang

from ..channels import ROOT, ChannelRecord, DatabaseTree, full_name
from ..jobrunner import statements
from ..jobrunner.connection import PG_ADVISORY_LOCK_ID
from ..jobrunner.statements import RANK
from ..states import FAILED, PENDING, STARTED

# More running jobs than any channel has slots.
RUNNING_LIMIT = 5000
# Of the jobs that hold another, so many are looked at to name some.
LOOKED_AT = 100

# What holds jobs back, failed ones first. Each joint is gone through once, gives so many
# (or one job of a large graph would leave no room for the next), and tells how many it
# has and how many of them failed.
_BLOCKING = """
WITH own AS MATERIALIZED (
    SELECT child_id, parent_id, joint FROM queue_job_dependency WHERE child_id = ANY(%(ids)s)
), behind_joint AS MATERIALIZED (
    SELECT d.joint, p.id, p.state,
        row_number() OVER (
            PARTITION BY d.joint ORDER BY p.state = 'failed' DESC, p.id
        ) AS place,
        count(*) OVER (PARTITION BY d.joint) AS count,
        count(*) FILTER (WHERE p.state = 'failed') OVER (PARTITION BY d.joint) AS failed
    FROM queue_job_dependency d JOIN queue_job p ON p.id = d.parent_id
    WHERE d.joint IN (SELECT joint FROM own) AND d.parent_id IS NOT NULL
      AND p.state NOT IN ('done', 'cancelled')
)
SELECT child_id, joint, id, state, count, failed FROM (
    SELECT own.child_id, joint, b.id, b.state, b.count, b.failed
    FROM own JOIN behind_joint b USING (joint) WHERE b.place <= %(limit)s
    UNION ALL
    SELECT own.child_id, NULL, p.id, p.state, 0, 0
    FROM own JOIN queue_job p ON p.id = own.parent_id
    WHERE own.joint IS NULL AND p.state NOT IN ('done', 'cancelled')
) AS blocking
ORDER BY state = 'failed' DESC, id
"""

_RUNNER = """
SELECT activity.application_name, activity.backend_start AT TIME ZONE 'UTC',
    host(activity.client_addr)
FROM pg_locks lock LEFT JOIN pg_stat_activity activity ON activity.pid = lock.pid
WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 1
  AND lock.classid = %(high)s AND lock.objid = %(low)s
  AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_BEFORE = f"""
SELECT count(*) FROM (
    SELECT FROM unnest(%(plain)s::varchar[]) AS asked(channel) CROSS JOIN LATERAL (
        SELECT FROM queue_job WHERE state = 'pending' AND eta IS NULL
          AND queue_job.channel = asked.channel AND ({RANK}) < %(rank)s LIMIT %(limit)s
    ) AS job
    UNION ALL
    SELECT FROM unnest(%(timed)s::varchar[]) AS asked(channel) CROSS JOIN LATERAL (
        SELECT FROM queue_job WHERE state = 'pending' AND eta IS NOT NULL AND eta <= %(now)s
          AND queue_job.channel = asked.channel AND ({RANK}) < %(rank)s LIMIT %(limit)s
    ) AS job
    LIMIT %(limit)s
) AS before
"""

# The first job of each channel; of those whose eta has come, one that waits longest.
_HEADS = f"""
SELECT asked.channel, job.* FROM unnest(%(plain)s::varchar[]) AS asked(channel)
CROSS JOIN LATERAL (
    SELECT {RANK} FROM queue_job
    WHERE state = 'pending' AND eta IS NULL AND queue_job.channel = asked.channel
    ORDER BY {RANK} LIMIT 1
) AS job
UNION ALL
SELECT asked.channel, job.* FROM unnest(%(timed)s::varchar[]) AS asked(channel)
CROSS JOIN LATERAL (
    SELECT {RANK} FROM (
        SELECT priority, date_created, id FROM queue_job
        WHERE state = 'pending' AND eta IS NOT NULL AND eta <= %(now)s
          AND queue_job.channel = asked.channel
        ORDER BY eta, id LIMIT 100
    ) AS due
    ORDER BY {RANK} LIMIT 1
) AS job
"""

_EARLIER_WITH_ETA = f"""
SELECT id, eta FROM queue_job
WHERE state = 'pending' AND eta IS NOT NULL AND eta > %(now)s AND channel = ANY(%(names)s)
  AND ({RANK}) < %(rank)s
ORDER BY eta, id LIMIT 1
"""

_LAST_START = """
SELECT max(date_started) FROM queue_job WHERE channel = ANY(%(names)s) AND date_done > %(since)s
"""


class Blocking(NamedTuple):
    """The jobs that a job waits for; ``ids`` are the first ones, those that failed before."""

    count: int = 0
    failed: int = 0
    ids: tuple | list = ()


class Runner(NamedTuple):
    """Who dispatches; what another role of PostgreSQL does is hidden: then the name is empty."""

    name: str
    since: datetime | None
    address: str | None


class Situation:
    """The queue at this moment; each part is read once, when first asked for.

    Reads all jobs, whoever asks: what it returns are ids and numbers, and the
    caller names only what the reader may see.

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
        self.env.cr.execute(statement, values)
        return self.env.cr.fetchall()

    def _fetch_from_primary(self, statement, **values):
        """Ask the server that is written to: a replica has locks of its own."""
        if not self.env.cr.readonly:
            return self._fetch(statement, **values)
        with db_connect(self.env.cr.dbname).cursor() as cr:
            cr.execute(statement, values)
            return cr.fetchall()

    def seconds_since(self, date):
        return (self.now - date).total_seconds() if date else 0

    # Runner -----------------------------------------------------------------

    @cached_property
    def runner(self):
        """The :class:`Runner` that dispatches the jobs of this database, None without one."""
        high, low = PG_ADVISORY_LOCK_ID >> 32, PG_ADVISORY_LOCK_ID & 0xFFFFFFFF
        rows = self._fetch_from_primary(_RUNNER, high=high, low=low)
        if not rows:
            return None
        name, since, address = rows[0]
        return Runner((name or "").removeprefix("queue_job runner "), since, address)

    @cached_property
    def modules_are_changing(self):
        return self._fetch(statements.MODULES_CHANGING)[0][0]

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
        return bool(self._stated.get(name, {}).get("paused"))

    @cached_property
    def _tree(self):
        """The channels of this database, without jobs."""
        root_capacity = self.env["queue.job.channel"]._default_root_capacity()
        records = self._records.values()
        return DatabaseTree(None, self._stated, records, root_capacity)

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
    def _stated(self):
        return self.env["queue.job.channel"]._settings_of_configuration()

    @cached_property
    def _records(self):
        channels = self.env["queue.job.channel"].sudo()
        channels.flush_model()
        rows = self._fetch(statements.CHANNEL_RECORDS)
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
        return self._fetch(
            """
            SELECT id, channel, state, date_enqueued FROM queue_job
            WHERE state IN ('enqueued', 'started') ORDER BY state = %(first)s DESC, id
            LIMIT %(limit)s
            """,
            first=STARTED,
            limit=RUNNING_LIMIT,
        )

    def failed_in(self, channel):
        """Return the ids of jobs that failed in this very channel, a few at most."""
        if channel.name in self._failed:
            return self._failed[channel.name]
        rows = self._fetch(
            "SELECT id FROM queue_job WHERE state = 'failed' AND "
            "(channel = ANY(%(names)s) OR %(is_root)s AND channel IS NULL) "
            "ORDER BY id LIMIT %(limit)s",
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
        names = {name for name in self._records if self._is_below(name, channel.name)}
        names.update(
            spelling for name in list(names) for spelling in self.spellings(name)
        )
        dates += [
            date for (date,) in self._fetch(_LAST_START, names=list(names), since=since)
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
        """Return what holds those jobs back that something does, by id."""
        found, beyond = {}, {}
        rows = self._fetch(_BLOCKING, ids=list(ids), limit=LOOKED_AT)
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
                _EARLIER_WITH_ETA,
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
            _BEFORE,
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
            for name, head in self._heads
            if self._is_below(name, channel.name)
        )

    @cached_property
    def _heads(self):
        rows = self._fetch(
            _HEADS,
            plain=self._plain_channels,
            timed=self._timed_channels,
            now=self.now,
        )
        return [(name, tuple(rank)) for name, *rank in rows]

    @cached_property
    def _plain_channels(self):
        return self._channels_with(statements.PLAIN_CHANNELS)

    @cached_property
    def _timed_channels(self):
        return self._channels_with(statements.TIMED_CHANNELS)

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
