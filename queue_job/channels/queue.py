# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The jobs a channel holds, and the order they wait in."""

import heapq
from collections import namedtuple
from functools import total_ordering

from .priority_queue import PriorityQueue

JobSortingKey = namedtuple("JobSortingKey", "eta priority date_created seq")


def rank_of(priority, date_created, seq):
    """Return what sorts jobs that may run now.

    No priority counts as 0, no date is before all dates (B14).
    """
    return (priority or 0, date_created is not None, date_created or 0, seq)


@total_ordering
class ChannelJob:
    """A job as the channels see it: where it belongs and what ranks it.

    Equality and hash are identity. Two jobs compare by eta, then rank; one
    with an eta does not compare with one without.
    """

    __slots__ = (
        "__weakref__",
        "_date_created",
        "_eta",
        "_priority",
        "_seq",
        "channel",
        "db_name",
        "function",
        "rank",
        "ready_at",
        "timed",
        "uuid",
    )

    def __init__(self, db_name, channel, uuid, seq, date_created, priority, eta):
        self.db_name = db_name
        self.channel = channel
        self.uuid = uuid
        self._seq = seq
        self._date_created = date_created
        self._priority = priority
        self._eta = eta
        self.rank = rank_of(priority, date_created, seq)
        # The stored eta; ``eta`` is forgotten once it is due.
        self.timed = eta or None
        # Model and method, when known: the key of its expected duration.
        self.function = None
        # UNIX time from which it waits, when known; its eta comes first.
        self.ready_at = None

    def __repr__(self):
        return f"<ChannelJob {self.uuid}>"

    def __eq__(self, other):
        return self is other

    def __hash__(self):
        return id(self)

    def __lt__(self, other):
        if self._eta is None and other._eta is None:
            return self.rank < other.rank
        return (self._eta, self.rank) < (other._eta, other.rank)

    @property
    def seq(self):
        return self._seq

    @property
    def date_created(self):
        return self._date_created

    @property
    def priority(self):
        return self._priority

    @property
    def eta(self):
        return self._eta

    @property
    def waits_since(self):
        """UNIX time from which the job could have run, None when that is not known."""
        return self.timed or self.ready_at

    def set_no_eta(self):
        self._eta = None

    def sorting_key(self):
        """Deprecated."""
        return JobSortingKey(self._eta, self._priority, self._date_created, self._seq)

    def sorting_key_ignoring_eta(self):
        return self._priority, self._date_created, self._seq


class ChannelQueue:
    """The jobs that wait in a channel; those with an eta wait apart.

    A job whose eta has come competes by rank, as if it had had none.
    """

    def __init__(self, sequential=False):
        self._queue = PriorityQueue()
        self._eta_queue = PriorityQueue()
        # Jobs of the main queue that had an eta.
        self._due = set()
        self.sequential = sequential

    def __len__(self):
        return len(self._queue) + len(self._eta_queue)

    def __contains__(self, job):
        return job in self._queue or job in self._eta_queue

    def __iter__(self):
        yield from self._queue
        yield from self._eta_queue

    def add(self, job):
        (self._eta_queue if job.eta else self._queue).add(job)

    def remove(self, job):
        self._queue.remove(job)
        self._eta_queue.remove(job)
        self._due.discard(job)

    def first(self, now):
        """Return the best job whose eta is not to come, None if there is none."""
        while self._eta_queue and self._eta_queue[0].eta <= now:
            job = self._eta_queue.pop()
            job.set_no_eta()
            self._queue.add(job)
            self._due.add(job)
        return self._queue[0] if self._queue else None

    def holds_back(self, job):
        """Return whether ``job`` would overtake one that waits for its eta.

        Only in a sequential queue, whose order is its promise.
        """
        if job is None or not self.sequential or not self._eta_queue:
            return False
        return min(waiting.rank for waiting in self._eta_queue) < job.rank

    def peek(self, now):
        """Return the job that ``pop`` would return, and leave it here."""
        job = self.first(now)
        return None if self.holds_back(job) else job

    def pop(self, now):
        """Return the best job that may run at ``now`` and forget it, or None."""
        job = self.peek(now)
        if job is not None:
            self.remove(job)
        return job

    def get_wakeup_time(self, wakeup_time=0):
        """Return the smaller of ``wakeup_time`` and the first eta; 0 is none."""
        if not self._eta_queue:
            return wakeup_time
        eta = self._eta_queue[0].eta
        return min(wakeup_time, eta) if wakeup_time else eta

    def best(self, count):
        """Return the best jobs that wait for no eta, best first."""
        return heapq.nsmallest(count, self._queue, key=_rank)

    @property
    def head(self):
        """The best job known to wait for no eta, None if there is none."""
        return self._queue[0] if self._queue else None

    def rests_until(self, moment):
        """Return whether no job here may start before ``moment``."""
        return not self._queue and (
            not self._eta_queue or self._eta_queue[0].eta > moment
        )

    @property
    def plain_count(self):
        """How many jobs here were stored without an eta."""
        return len(self._queue) - len(self._due)

    @property
    def timed_count(self):
        """How many jobs here have an eta to come."""
        return len(self._eta_queue)

    @property
    def due_count(self):
        """How many jobs here had an eta that has come."""
        return len(self._due)

    def plain(self):
        """Return the jobs that were stored without an eta, best first."""
        return sorted((job for job in self._queue if not job.timed), key=_rank)

    def timed(self):
        """Return the jobs whose eta is to come, next first."""
        return sorted(self._eta_queue, key=_eta_and_seq)


def _rank(job):
    return job.rank


def _eta_and_seq(job):
    return job.eta, job.seq
