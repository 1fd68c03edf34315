# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Channels: which job may run, and which of those is the best.

A channel is a node of a tree. Its capacity bounds how many jobs of the channel
and of everything below it run at once, so a job runs only when each node
from its own up to the root has room. Jobs wait in their own channel and
nowhere else. Picking walks down the tree, passes over every node that is full,
paused, waiting for its throttle or held up by a failure, and takes the best
head of what is left: the best job of the whole tree that may run, whatever
was free or full when it arrived (B18). Each node remembers what those below it
would start (:class:`~.heads.Heads`), and is notified when something changes in one.

Running jobs count in each node of their way up. A slot is a member of
``_running``; a run of several jobs holds one slot, that of its first job.

A node may have a twin in another tree (``shared``): the runner keeps one tree
for each database, with the settings of the database's own channel records,
and one tree of what is configured for the whole process. A job runs when both
have room, so a configured capacity counts over all databases.
"""

from typing import NamedTuple
from weakref import WeakSet

from .heads import Heads
from .log import logger
from .queue import ChannelQueue
from .settings import as_flag, as_seconds

# The rules that keep a job waiting, see :meth:`Channel.why_not`.
ETA = "eta"
PAUSED = "paused"
BEHIND_FAILED = "behind a failed job"
BEHIND_HELD = "behind a locked job"
BEHIND_ETA = "behind a job with an eta"
FULL = "full"
THROTTLED = "throttled"
BEHIND = "behind a better job"


class Reason(NamedTuple):
    """Why a job waits: a rule, its channel, and when time alone ends it, if it does."""

    rule: str | None
    channel: object
    until: float = 0


class ChannelFigures(NamedTuple):
    """The present figures of a channel, for metrics.

    ``capacity`` is infinite without a limit; ``waiting`` are the ready jobs that are kept in
    memory, of which the oldest has been ready for ``oldest_ready_seconds``.
    """

    capacity: float
    running: int
    waiting: int
    oldest_ready_seconds: float
    failed_blocking: int
    paused: bool


def _setting(name):
    """Return a property that has the channel asked again when it is set."""

    def setter(self, value):
        if vars(self).get(name, self) != value:
            vars(self)[name] = value
            self._changed()

    return property(lambda self: vars(self)[name], setter)


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
        self._heads = Heads()
        self._shared = None
        # Channels of other trees whose shared twin this is.
        self._sharing = WeakSet()
        self._queue = ChannelQueue()
        self._running = set()
        self._failed = set()
        self._held = set()
        self._asked_at = 0
        self._pause_until = 0
        # When a pause ends by itself.
        self.paused_until = 0
        # Of sub-channels that are not configured.
        self.capacity_default = None
        self.sequential_default = False
        self.capacity = capacity
        self.throttle = throttle
        self.paused = paused
        self.sequential = sequential

    capacity = _setting("_capacity")
    throttle = _setting("_throttle")
    paused = _setting("_paused")
    # When the wait after the last start is over.
    _pause_until = _setting("_pause_end")

    @property
    def shared(self):
        return self._shared

    @shared.setter
    def shared(self, channel):
        self._shared = channel
        if channel is not None:
            channel._sharing.add(self)
        self._changed()

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
        self._changed()

    @property
    def fullname(self):
        return f"{self.parent.fullname}.{self.name}" if self.parent else self.name

    @property
    def queue(self):
        """The jobs that wait here, a :class:`ChannelQueue`."""
        return self._queue

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
        self.capacity_default = config.get("capacity_default")
        self.sequential_default = as_flag(config.get("sequential_default", False))
        if not self.throttle:
            self.end_wait()

    def apply(self, settings):
        """Apply what applies to this channel, a :class:`ChannelSettings`."""
        if settings[1:] == (
            *(self.capacity, self.sequential, self.throttle, self.paused),
            self.paused_until,
        ):
            return
        was_paused_until = self.paused_until
        _name, self.capacity, self.sequential, self.throttle, self.paused, _until = (
            settings
        )
        self.paused_until = settings.paused_until
        if not self.throttle or was_paused_until:
            self.end_wait()
        if self.paused_until:
            self.wait_until(self.paused_until)
        logger.debug("Configured channel by its record: %s", self)

    def get_subchannel_by_name(self, name):
        return self.children.get(name)

    def forget_child(self, name):
        self._heads.forget(self.children.pop(name))

    def _changed(self):
        """Have this channel asked again, and those that share its limits."""
        for channel in (self, *self._sharing):
            while channel.parent is not None:
                channel.parent._heads.changed(channel)
                channel = channel.parent

    def rests_until(self, moment):
        """Return whether no job here runs, waits for less than that, or is held.

        A wait after the last start counts too: a tree that is made anew does not know it.
        """
        return not (self._running or self._held) and (
            self._pause_until < moment and self._queue.rests_until(moment)
        )

    # Moves of a job ---------------------------------------------------------

    def set_pending(self, job):
        """Let ``job`` wait here."""
        if job in self._queue:
            return
        self._give_back(job)
        self._failed.discard(job)
        self._held.discard(job)
        self._queue.add(job)
        self._changed()
        logger.debug("job %s marked pending in channel %s", job.uuid, self)

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
                channel.shared._changed()
        self._changed()
        logger.debug("job %s marked running in channel %s", job.uuid, self)

    def set_failed(self, job):
        """Keep ``job`` as failed; that holds up a sequential channel."""
        if job in self._failed:
            return
        self._queue.remove(job)
        self._give_back(job)
        self._held.discard(job)
        self._failed.add(job)
        self._changed()
        logger.debug("job %s marked failed in channel %s", job.uuid, self)

    def set_done(self, job):
        self.remove(job)
        logger.debug("job %s marked done in channel %s", job.uuid, self)

    def remove(self, job):
        """Forget ``job``."""
        self._queue.remove(job)
        self._give_back(job)
        self._failed.discard(job)
        self._held.discard(job)
        self._changed()

    def hold(self, job):
        """Keep a job that is locked elsewhere: it has no slot, and no job of a
        sequential channel overtakes it."""
        self.remove(job)
        self._held.add(job)

    def board(self, job):
        """Take ``job`` out of the queue without a slot: it rides in a run."""
        self._queue.remove(job)
        self._changed()

    def _give_back(self, job):
        for channel in self.path:
            channel._running.discard(job)
            if channel.shared is not None and job in channel.shared._running:
                channel.shared._running.discard(job)
                channel.shared._changed()
        self._changed()

    def figures(self, now):
        """Return the :class:`ChannelFigures` of this very channel."""
        nodes = self._with_shared()
        capacities = [node.capacity for node in nodes if node.capacity]
        ready = [job for job in self._queue if not job.eta or job.eta <= now]
        since = min((job.waits_since or now for job in ready), default=now)
        return ChannelFigures(
            capacity=min(capacities, default=float("inf")),
            running=len(self._running),
            waiting=len(ready),
            oldest_ready_seconds=max(now - since, 0.0),
            failed_blocking=len(self._failed) if self.sequential else 0,
            paused=any(node.paused or node.paused_until > now for node in nodes),
        )

    # Choosing ---------------------------------------------------------------

    def obstacle(self, job=None):
        """Return which rule of this very channel lets no job start, None when none does.

        :param job: also whether this job would overtake one that waits for its eta
        """
        if self.paused:
            return PAUSED
        if self.sequential and self._failed:
            return BEHIND_FAILED
        if self.sequential and self._held:
            return BEHIND_HELD
        if self._queue.holds_back(job):
            return BEHIND_ETA
        if self.capacity and len(self._running) >= self.capacity:
            return FULL
        return self.shared.obstacle() if self.shared else None

    def has_capacity(self):
        """Return whether one more job may run in this very channel."""
        return self.obstacle() is None

    def why_not(self, job, now):
        """Return the :class:`Reason` why a pending job of this channel does not start.

        None when it is the best job of the tree. Each rule is the one by which
        :meth:`best` decides. The rule that a person has to deal with comes first: a
        paused channel, then the others from the root down, then what time alone ends.
        """
        if job.eta and job.eta > now:
            return Reason(ETA, self, until=job.eta)
        path = [*self.path][::-1]
        found = [Reason(channel.obstacle(job), channel) for channel in path]
        found += [
            Reason(PAUSED, channel, until=channel.paused_until)
            for channel in path
            if channel.paused_until > now
        ]
        found.sort(key=lambda reason: reason.rule != PAUSED)
        for channel in path:
            if channel._is_throttling(now):
                until = max(node._pause_until for node in channel._with_shared())
                found.append(Reason(THROTTLED, channel, until=until))
        if path[0].best(now) is not job:
            found.append(Reason(BEHIND, self))
        return next((reason for reason in found if reason.rule), None)

    def slots(self, limit):
        """Return how many slots the narrowest channel of the path has in all."""
        capacities = [node.capacity for node in self._nodes() if node.capacity]
        return max(min([limit, *capacities]), 1)

    def best(self, now):
        """Return the best job, of this channel and below, that may run at ``now``.

        The channels above are not asked. Nothing is changed.
        """
        self._asked_at = now
        # The wait first: one that is over is forgotten in a full channel too.
        if self._is_throttling(now) or not self.has_capacity():
            return None
        best = self._queue.first(now)
        job = self._heads.best(now)
        if job is not None and (best is None or job.rank < best.rank):
            best = job
        return None if self._queue.holds_back(best) else best

    def start(self, job, now):
        """Give ``job`` a slot and begin the waits of throttled channels."""
        self.set_running(job)
        for node in self._throttled():
            node.wait_until(now + node.throttle)

    def wait_until(self, moment):
        """Start no job before ``moment``, nor before the end of a pause."""
        self._pause_until = max(moment, self.paused_until)

    def end_wait(self):
        self._pause_until = 0

    def cancel_start(self, job, now):
        """Undo :meth:`start` at ``now``: the job did not start."""
        self.remove(job)
        for node in self._throttled():
            if node._pause_until == now + node.throttle:
                node.end_wait()

    def _throttled(self):
        """Return the channels that wait after a start here, with their twins."""
        return [node for node in self._nodes() if node.throttle]

    def _nodes(self):
        """Return the channels of the path with their twins."""
        return [node for channel in self.path for node in channel._with_shared()]

    def _with_shared(self):
        return (self, self.shared) if self.shared is not None else (self,)

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
        deadline = max(node._pause_until for node in self._with_shared())
        # A wait that was over at the last choice is not waited for.
        *_path, root = self.path
        if deadline > root._asked_at:
            return min(wakeup_time, deadline) if wakeup_time else deadline
        times = (
            wakeup_time,
            self._queue.get_wakeup_time(),
            self._heads.get_wakeup_time(),
        )
        return min(filter(None, times), default=0)

    def _is_throttling(self, now):
        """Return whether the wait after the last start is not over; forget it if it is."""
        for node in self._with_shared():
            if node._pause_until:
                if node._pause_until > now:
                    return True
                # Past the property: the answer is being asked for just now.
                node._pause_end = 0
        return False
