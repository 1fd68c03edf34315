# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The tree of channels, and the jobs in it by database and uuid.

Jobs are held by the queues and sets of their channel and only there: the
manager knows them by weak references, so a job in no queue and no set is gone.
"""

from weakref import WeakValueDictionary

from ..exception import ChannelNotFound
from ..states import (
    CANCELLED,
    DONE,
    ENQUEUED,
    FAILED,
    PENDING,
    STARTED,
    WAIT_DEPENDENCIES,
)
from .channel import Channel
from .log import logger
from .queue import ChannelJob
from .settings import (
    ROOT,
    AppliedSettings,
    fault_of_name,
    full_name,
    parse_simple_config,
    warnings_about,
)

LEAVING = (None, "", DONE, CANCELLED, WAIT_DEPENDENCIES)
KNOWN_STATES = (*LEAVING, PENDING, ENQUEUED, STARTED, FAILED)
MOVES = {
    PENDING: Channel.set_pending,
    ENQUEUED: Channel.set_running,
    STARTED: Channel.set_running,
    FAILED: Channel.set_failed,
}


class ChannelManager:
    """A tree of channels and the jobs in it."""

    def __init__(self):
        self._root_channel = Channel(ROOT, parent=None, capacity=1)
        self._channels_by_name = {ROOT: self._root_channel}
        self._jobs = WeakValueDictionary()
        # By name that is not configured, the channel it fell back on.
        self._fallbacks = {}

    @classmethod
    def parse_simple_config(cls, config_string):
        return parse_simple_config(config_string)

    def simple_configure(self, config_string):
        """Apply a configuration string."""
        for config in self.parse_simple_config(config_string):
            self.get_channel_from_config(config)

    def get_channel_from_config(self, config):
        """Create or reconfigure the channel of one entry and return it."""
        for warning in warnings_about(config):
            logger.warning("Channel configuration: %s", warning)
        channel = self.get_channel_by_name(config["name"], autocreate=True)
        channel.configure(config)
        logger.info("Configured channel: %s", channel)
        return channel

    def get_channel_by_name(
        self, channel_name, autocreate=False, parent_fallback=False
    ):
        """Return the channel of a name; empty is the root.

        :param autocreate: create missing levels, with the defaults of their parents
        :param parent_fallback: create, without limit, a channel under the
            nearest one that exists, so that its limits apply
        """
        name = full_name(channel_name)
        channel = self._channels_by_name.get(name) or self._fallbacks.get(name)
        if channel is not None:
            return channel
        if autocreate:
            return self._create(self._root_channel, name.split(".")[1:])
        if parent_fallback:
            return self._fall_back(name)
        raise ChannelNotFound(f"Channel {channel_name} not found")

    def known(self, name):
        """Return the channel of a full name, None without one."""
        return self._channels_by_name.get(name)

    def _fall_back(self, name):
        parent_name = name.rpartition(".")[0]
        while parent_name not in self._channels_by_name:
            parent_name = parent_name.rpartition(".")[0]
        parent = self._channels_by_name[parent_name]
        # The whole name again, below the parent: odd, and known to people.
        channel = self._create(parent, name.split(".")[1:])
        self._fallbacks[name] = channel
        return channel

    def _create(self, parent, names):
        for name in names:
            channel = parent.get_subchannel_by_name(name)
            if channel is None:
                sequential = parent.sequential_default
                capacity = 1 if sequential else parent.capacity_default
                channel = Channel(name, parent, capacity, sequential)
                self._channels_by_name[channel.fullname] = channel
                self._channel_created(channel)
            parent = channel
        return parent

    def _channel_created(self, channel):
        """Complete a channel that was just created."""

    # Jobs -------------------------------------------------------------------

    @property
    def has_jobs(self):
        """Whether any job is in it."""
        return bool(self._jobs)

    def job(self, uuid, db_name=None):
        """Return a job that is held here, or None."""
        return self._jobs.get((db_name, uuid))

    def notify(
        self, db_name, channel_name, uuid, seq, date_created, priority, eta, state
    ):
        """Learn what the row of a job says; its date of creation stays what it was."""
        known = self.job(uuid, db_name)
        assert known is None or known.date_created == date_created
        self.place(db_name, channel_name, uuid, seq, date_created, priority, eta, state)

    def place(
        self, db_name, channel_name, uuid, seq, date_created, priority, eta, state
    ):
        """Put a job where its row says it is; return it, None if not held.

        Jobs are told apart by database and uuid: copies of a database have the
        same uuids (B13).
        """
        key = (db_name, uuid)
        channel = self._channel_for_job(channel_name)
        job = self._jobs.get(key)
        if job is not None and (
            (job.seq, job.priority, job.date_created) != (seq, priority, date_created)
            or (job.timed or None) != (eta or None)
            or job.channel is not channel
        ):
            job.channel.remove(job)
            job = None
        if state not in KNOWN_STATES:
            logger.error("unexpected state %s for job %s", state, uuid)
            return None
        if state in LEAVING:
            # A parent that is requeued while its child runs makes it wait
            # again: whatever slot the child held is free (B19).
            if job is not None:
                job.channel.set_done(job)
            return None
        if job is None:
            job = ChannelJob(db_name, channel, uuid, seq, date_created, priority, eta)
            self._jobs[key] = job
        MOVES[state](channel, job)
        return job

    def adopt(self, job, channel):
        """Know a job that another tree knew; it is in no queue and has no slot here yet."""
        job.channel = channel
        self._jobs[job.db_name, job.uuid] = job

    def remove_job(self, uuid, db_name=None):
        """Forget a job; of every database when none is named."""
        if db_name is not None:
            jobs = [self._jobs.get((db_name, uuid))]
        else:
            jobs = [
                job for (_db, known), job in list(self._jobs.items()) if known == uuid
            ]
        for job in filter(None, jobs):
            job.channel.remove(job)

    def remove_db(self, db_name):
        """Forget the jobs of a database."""
        for (known, _uuid), job in list(self._jobs.items()):
            if known == db_name:
                job.channel.remove(job)

    def get_jobs_to_run(self, now):
        return self._root_channel.get_jobs_to_run(now)

    def get_wakeup_time(self):
        return self._root_channel.get_wakeup_time()

    def channels(self):
        """Iterate over the channels, parents first."""
        waiting = [self._root_channel]
        while waiting:
            channel = waiting.pop()
            yield channel
            waiting.extend(channel.children.values())

    def _channel_for_job(self, channel_name):
        return self.get_channel_by_name(channel_name, parent_fallback=True)


class DatabaseTree(ChannelManager):
    """The channels of one database, with the settings that apply to each.

    :param shared: the manager of the configured channels, which count over all
        databases: its channels are tied to those of the same name here. None without
    :param stated: ``{full name: settings}`` that the configuration states
    :param root_capacity: see :class:`AppliedSettings`
    :param limit: see there
    """

    def __init__(self, shared, stated, records=(), root_capacity=1, limit=None):
        super().__init__()
        self._limit = limit
        self._stated = stated
        self._shared = shared
        self._root_capacity = root_capacity
        self.apply(records)

    @property
    def root(self):
        return self._root_channel

    def apply(self, records):
        """Give each channel the settings of its record, or none."""
        self.settings = AppliedSettings(
            self._stated, records, self._root_capacity, self._limit
        )
        self._forget_unused()
        for name in sorted(self.settings.records):
            self.get_channel_by_name(name, autocreate=True)
        for channel in self.channels():
            self._channel_created(channel)

    def _forget_unused(self):
        """Forget channels that only jobs named, and no job is in: names may be without end."""
        for channel in reversed(list(self.channels())):
            if not (
                channel.children
                or channel.has_jobs
                or channel.shared
                or channel.fullname in self.settings.records
                or channel.parent is None
            ):
                channel.parent.forget_child(channel.name)
                del self._channels_by_name[channel.fullname]

    def _channel_created(self, channel):
        name = channel.fullname
        if self._shared is not None:
            channel.shared = self._shared.known(name)
        channel.apply(self.settings.of(name))

    def _channel_for_job(self, channel_name):
        if fault_of_name(channel_name):
            # Its jobs are set aside, see ``rows.py``; no channel is made for them.
            channel_name = ROOT
        return self.get_channel_by_name(channel_name, autocreate=True)
