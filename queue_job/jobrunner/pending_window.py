# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The waiting jobs of one database: those that may run soon, not all of them.

Of each channel the runner keeps a window: the first jobs in the order in which
they run, and the first ones by eta. A window is complete up to its bound, the
rank of the last job it read; without a bound nothing else waits. So the best
job of a channel is known as long as it does not rank behind the bound, and
jobs behind the bound need no room. When the jobs up to the
bound are used up the next ones are read, from the bound on.

Known limit: of jobs whose eta has come, a channel sees a window in the order
of their etas; only within it they compete by priority.
"""

import time
from datetime import datetime, timezone
from sys import intern

from ..states import PENDING
from .rows import RowGuard

# Jobs read of each channel at once, of either kind: a fraction of a second of
# work, some tens of kilobytes.
WINDOW = 500


class Window:
    """The bounds up to which the jobs of a channel are kept.

    ``names`` are the ways in which jobs write the name of the channel. A bound
    of None means that all are kept.
    """

    def __init__(self, channel):
        self.channel = channel
        self.names = set()
        self.plain_bound = None
        self.timed_bound = None

    def accepts(self, row):
        if row.eta:
            return self.timed_bound is None or (row.eta, row.id) <= self.timed_bound
        return self.plain_bound is None or row.rank <= self.plain_bound

    def lacks_plain(self):
        """Return whether a job that is not kept may be the best."""
        if self.plain_bound is None:
            return False
        head = self.channel._queue.head
        return head is None or head.rank > self.plain_bound

    def lacks_timed(self, limit):
        """Return whether the next eta may be that of a job that is not kept."""
        if self.timed_bound is None:
            return False
        queue = self.channel._queue
        return not queue.timed_count and queue.due_count < limit // 2


def _beyond(before, bound):
    """Return the next bound, None when reading on leads no further.

    That happens behind dates that are out of range.
    """
    return None if bound is None or bound <= before else bound


def _created_at(row):
    """Return the UNIX time at which a job was created, None without a date."""
    created = row.date_created
    if not isinstance(created, datetime):
        return None
    return created.replace(tzinfo=timezone.utc).timestamp()


class PendingJobs:
    """The windows of one database, over its tree.

    :param in_flight: uuids that stay untouched: they are in open requests
    :param suspended: uuids that are not to be chosen for a while
    """

    def __init__(self, db, tree, in_flight, suspended=(), guard=None, limit=WINDOW):
        self._db = db
        self._tree = tree
        self._in_flight = in_flight
        self._suspended = suspended
        self._guard = guard or RowGuard(db.db_name, db.fail_unusable)
        self._limit = limit
        self._windows = {}
        # Windows of which more jobs wait than are kept.
        self._partial = set()

    def load(self):
        """Read all windows anew and forget waiting jobs that are not in them."""
        self._windows, self._partial = {}, set()
        names = self._db.waiting_channels()
        for name in names:
            self._window(name)
        plain = self._db.candidates(names, self._limit)
        timed = self._db.timed_candidates(names, self._limit)
        self._forget_except({row.uuid for row in plain} | {row.uuid for row in timed})
        for row in (*plain, *timed):
            self._place(row)
        for window in self._windows.values():
            window.plain_bound = self._plain_bound(plain, window)
            window.timed_bound = self._timed_bound(timed, window)
            self._note(window)

    def add(self, row):
        """Add a pending job, or forget it when it ranks behind the bound."""
        window = self._window(row.channel)
        if not window.accepts(row):
            self._tree.remove_job(row.uuid, self._db.db_name)
            return
        self._place(row, time.time())
        self._trim(window)

    def refill(self, now):
        """Read on where the best job may be one that is not kept."""
        for window in list(self._partial):
            self._refill(window, now)

    def refill_channel(self, channel, now):
        window = self._windows.get(channel)
        if window is not None:
            self._refill(window, now)

    @property
    def is_partial(self):
        """Whether more jobs wait than are kept."""
        return bool(self._partial)

    def waiting(self, channel):
        """Return how many jobs of the channel wait, at least."""
        window = self._windows.get(channel)
        count = len(channel._queue)
        if window is not None and window.plain_bound is not None:
            count += self._limit
        return count

    def _refill(self, window, now):
        window.channel._queue.first(now)
        while window.lacks_timed(self._limit):
            rows = self._db.timed_candidates(
                window.names, self._limit, window.timed_bound
            )
            window.timed_bound = _beyond(
                window.timed_bound, self._timed_bound(rows, window)
            )
            self._place_all(rows)
            window.channel._queue.first(now)
        while window.lacks_plain():
            rows = self._db.candidates(window.names, self._limit, window.plain_bound)
            window.plain_bound = _beyond(
                window.plain_bound, self._plain_bound(rows, window)
            )
            self._place_all(rows)
        self._note(window)

    def _note(self, window):
        """Record whether all of a window is kept."""
        if window.plain_bound is None and window.timed_bound is None:
            self._partial.discard(window)
        else:
            self._partial.add(window)

    def _window(self, name):
        channel = self._tree._channel_for_job(name)
        window = self._windows.get(channel)
        if window is None:
            window = self._windows[channel] = Window(channel)
        window.names.add(name)
        return window

    def _plain_bound(self, rows, window):
        """Return the rank up to which all jobs are among ``rows``, None for all."""
        ends = self._ends(rows, window)
        return min((row.rank for row in ends), default=None)

    def _timed_bound(self, rows, window):
        ends = self._ends(rows, window)
        return min(((row.eta, row.id) for row in ends), default=None)

    def _ends(self, rows, window):
        """Return the last row of each name that has more rows than were read."""
        by_name = {}
        for row in rows:
            if row.channel in window.names:
                by_name.setdefault(row.channel, []).append(row)
        return [found[-1] for found in by_name.values() if len(found) >= self._limit]

    def _place_all(self, rows):
        for row in rows:
            self._place(row)

    def partial(self):
        """Return ``{channel: names}`` where more jobs wait than are kept."""
        return {window.channel: window.names for window in self._partial}

    def _place(self, row, ready_at=None):
        if row.uuid in self._in_flight or row.uuid in self._suspended:
            return
        job = self._guard.place(self._place_usable, row)
        if job is not None and job.ready_at is None:
            job.ready_at = ready_at or _created_at(row)

    def _place_usable(self, row):
        job = self._tree.place(self._db.db_name, *row[:6], PENDING)
        job.function = row.function and intern(row.function)
        return job

    def _forget_except(self, uuids):
        for channel in self._tree.channels():
            for job in list(channel._queue):
                if job.uuid not in uuids:
                    channel.remove(job)

    def _trim(self, window):
        """Forget what ranks last when the window has grown to twice its size."""
        queue = window.channel._queue
        if queue.plain_count > 2 * self._limit:
            jobs = queue.plain()
            window.plain_bound = jobs[self._limit - 1].rank
            for job in jobs[self._limit :]:
                queue.remove(job)
        if queue.timed_count > 2 * self._limit:
            jobs = queue.timed()
            last = jobs[self._limit - 1]
            window.timed_bound = (last.eta, last.seq)
            for job in jobs[self._limit :]:
                queue.remove(job)
        self._note(window)
