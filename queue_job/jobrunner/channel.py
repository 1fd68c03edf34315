# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Channels: which job may run, and which of those is the best.

A channel is a node of a tree. Its capacity bounds how many jobs of the channel
and of everything below it run at once, so a job runs only when each node
from its own up to the root has room. Jobs wait in their own channel and
nowhere else. Picking walks down the tree, passes over every node that is full,
paused, waiting for its throttle or held up by a failure, and takes the best
head of what is left: the best job of the whole tree that may run, whatever
was free or full when it arrived (B18).

Running jobs count in each node of their way up. A slot is a member of
``_running``; a run of several jobs holds one slot, that of its first job.

A node may have a twin in another tree (``shared``): the runner keeps one tree
for each database, with the settings of the database's own channel records,
and one tree of what is configured for the whole process. A job runs when both
have room, so a configured capacity counts over all databases.
"""

import logging

from .channel_config import as_flag, as_seconds
from .jobs import ChannelQueue

_logger = logging.getLogger(__package__ + ".channels")


class Channel:
    """A node of the tree: its limits, what waits in it, what runs below it."""

    def __init__(
        self, name, parent, capacity=None, sequential=False, throttle=0, paused=False
    ):
        self.name = name
        self.parent = parent
        if parent is not None:
            parent.children[name] = self
        self.children = {}
        self.shared = None
        self._queue = ChannelQueue()
        self._running = set()
        self._failed = set()
        self._held = set()
        self._pause_until = 0
        self.capacity = capacity
        self.throttle = throttle
        self.paused = paused
        self.sequential = sequential

    def __str__(self):
        capacity = self.capacity or "∞"
        paused = ",paused" if self.paused else ""
        return (
            f"{self.fullname}(C:{capacity},Q:{len(self._queue)},"
            f"R:{len(self._running)},F:{len(self._failed)}{paused})"
        )

    def __repr__(self):
        return f"<Channel {self}>"

    @property
    def sequential(self):
        return self._queue.sequential

    @sequential.setter
    def sequential(self, value):
        self._queue.sequential = value

    @property
    def fullname(self):
        return f"{self.parent.fullname}.{self.name}" if self.parent else self.name

    @property
    def has_jobs(self):
        """Whether jobs wait, run or have failed here, or run below."""
        return bool(self._queue or self._running or self._failed or self._held)

    @property
    def path(self):
        """This channel and those above it, up to the root."""
        channel = self
        while channel is not None:
            yield channel
            channel = channel.parent

    @property
    def is_throttled(self):
        """Whether each start here is followed by a wait."""
        return bool(self._throttled())

    def configure(self, config):
        """Apply an entry of a configuration; options not in it are reset."""
        capacity = config.get("capacity")
        sequential = as_flag(config.get("sequential", False))
        if sequential and capacity != 1:
            raise ValueError("A sequential channel must have a capacity of 1")
        self.throttle = as_seconds(config.get("throttle", 0))
        self.paused = as_flag(config.get("paused", False))
        self.capacity = capacity
        self.sequential = sequential
        if not self.throttle:
            self._pause_until = 0

    def get_subchannel_by_name(self, name):
        return self.children.get(name)

    # Moves of a job ---------------------------------------------------------

    def set_pending(self, job):
        """Let ``job`` wait here."""
        if job in self._queue:
            return
        self._give_back(job)
        self._failed.discard(job)
        self._held.discard(job)
        self._queue.add(job)
        _logger.debug("job %s marked pending in channel %s", job.uuid, self)

    def set_running(self, job):
        """Let ``job`` hold a slot here and above."""
        if job in self._running:
            return
        self._queue.remove(job)
        self._failed.discard(job)
        self._held.discard(job)
        for channel in self.path:
            channel._running.add(job)
            if channel.shared is not None:
                channel.shared._running.add(job)
        _logger.debug("job %s marked running in channel %s", job.uuid, self)

    def set_failed(self, job):
        """Keep ``job`` as failed; that holds up a sequential channel."""
        if job in self._failed:
            return
        self._queue.remove(job)
        self._give_back(job)
        self._held.discard(job)
        self._failed.add(job)
        _logger.debug("job %s marked failed in channel %s", job.uuid, self)

    def set_done(self, job):
        self.remove(job)
        _logger.debug("job %s marked done in channel %s", job.uuid, self)

    def remove(self, job):
        """Forget ``job``."""
        self._queue.remove(job)
        self._give_back(job)
        self._failed.discard(job)
        self._held.discard(job)

    def hold(self, job):
        """Keep a job that is locked elsewhere: it has no slot, and no job of a
        sequential channel overtakes it."""
        self.remove(job)
        self._held.add(job)

    def board(self, job):
        """Take ``job`` out of the queue without a slot: it rides in a run."""
        self._queue.remove(job)

    def _give_back(self, job):
        for channel in self.path:
            channel._running.discard(job)
            if channel.shared is not None:
                channel.shared._running.discard(job)

    # Choosing ---------------------------------------------------------------

    def has_capacity(self):
        """Return whether one more job may run in this very channel."""
        if self.paused or (self.sequential and (self._failed or self._held)):
            return False
        if self.capacity and len(self._running) >= self.capacity:
            return False
        return self.shared is None or self.shared.has_capacity()

    def slots(self, limit):
        """Return how many slots the narrowest channel of the path has in all."""
        for channel in self.path:
            for node in (channel, channel.shared):
                if node is not None and node.capacity:
                    limit = min(limit, node.capacity)
        return max(limit, 1)

    def best(self, now):
        """Return the best job, of this channel and below, that may run at ``now``.

        The channels above are not asked. Nothing is changed.
        """
        # The wait first: one that is over is forgotten in a full channel too.
        if self._is_throttling(now) or not self.has_capacity():
            return None
        best = self._queue.first(now)
        for child in self.children.values():
            job = child.best(now)
            if job is not None and (best is None or job.rank < best.rank):
                best = job
        return None if self._queue.holds_back(best) else best

    def start(self, job, now):
        """Give ``job`` a slot and begin the waits of throttled channels."""
        self.set_running(job)
        for node in self._throttled():
            node._pause_until = now + node.throttle

    def cancel_start(self, job, now):
        """Undo :meth:`start` at ``now``: the job did not start."""
        self.remove(job)
        for node in self._throttled():
            if node._pause_until == now + node.throttle:
                node._pause_until = 0

    def _throttled(self):
        """Return the channels that wait after a start here, with their twins."""
        nodes = [node for channel in self.path for node in (channel, channel.shared)]
        return [node for node in nodes if node is not None and node.throttle]

    def get_jobs_to_run(self, now):
        """Yield the jobs to run, best first; each has got its slot."""
        while True:
            job = self.best(now)
            if job is None:
                return
            job.channel.start(job, now)
            yield job

    def get_wakeup_time(self, wakeup_time=0):
        """Return when time alone may let a job run; 0 is never.

        A channel without room is woken by the end of a job.
        """
        if not self.has_capacity():
            return wakeup_time
        shared = self.shared._pause_until if self.shared is not None else 0
        deadline = max(self._pause_until, shared)
        if deadline:
            return min(wakeup_time, deadline) if wakeup_time else deadline
        wakeup_time = self._queue.get_wakeup_time(wakeup_time)
        for child in self.children.values():
            wakeup_time = child.get_wakeup_time(wakeup_time)
        return wakeup_time

    def _is_throttling(self, now):
        """Return whether the wait after the last start is not over; forget it if it is."""
        for node in (self, self.shared):
            if node is not None and node._pause_until:
                if node._pause_until > now:
                    return True
                node._pause_until = 0
        return False
