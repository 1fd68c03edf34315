# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The channels of one database: its records, below what is configured.

The rule of precedence: what the configuration states for a channel (its
capacity, each option written) wins; what it does not state comes from the
record of the channel. A channel that either of them pauses is paused. When no
channels are configured nothing is stated, and root has one slot until its
record says otherwise.

What is configured lives in the tree of the whole process, to which the
channels here are tied by name: this tree holds the rest. So the two never need
to be merged, and both limits hold.
"""

import logging

from .channel_config import ROOT, ChannelRecord, fault_of_name
from .channels import ChannelManager

_logger = logging.getLogger(__package__ + ".channels")


class DatabaseTree(ChannelManager):
    """The channels of one database.

    :param shared: the manager of the configured channels
    :param stated: ``{full name: settings}`` that the configuration states
    """

    def __init__(self, shared, stated):
        super().__init__()
        self._shared = shared
        self._stated = stated
        self._channel_created(self._root_channel)
        self._apply_record(self._root_channel, ChannelRecord("root"))

    @property
    def root(self):
        return self._root_channel

    def apply(self, records):
        """Give each channel the settings of its record, or none."""
        by_name = {
            record.complete_name: record for record in records if record.complete_name
        }
        self._forget_unused(by_name)
        for name in sorted(by_name):
            self.get_channel_by_name(name, autocreate=True)
        for channel in self.channels():
            name = channel.fullname
            self._apply_record(channel, by_name.get(name, ChannelRecord(name)))

    def _forget_unused(self, by_name):
        """Forget channels that only jobs named, and no job is in: names may be without end."""
        for channel in reversed(list(self.channels())):
            if not (
                channel.children
                or channel.has_jobs
                or channel.shared
                or channel.fullname in by_name
                or channel.parent is None
            ):
                channel.parent.forget_child(channel.name)
                del self._channels_by_name[channel.fullname]

    def _apply_record(self, channel, record):
        stated = self._stated.get(channel.fullname, {})
        capacity = None if "capacity" in stated else record.capacity
        if channel.parent is None and "capacity" not in stated:
            capacity = capacity or 1
        sequential = stated.get("sequential", bool(record.sequential))
        if sequential:
            # One after the other, whatever number the configuration states.
            capacity = 1
        settings = (capacity, sequential, record.throttle or 0, bool(record.paused))
        if "throttle" in stated:
            settings = (*settings[:2], 0, settings[3])
        before = (
            channel.capacity,
            channel.sequential,
            channel.throttle,
            channel.paused,
        )
        if settings == before:
            return
        channel.capacity, channel.sequential, channel.throttle, channel.paused = (
            settings
        )
        if not channel.throttle:
            channel._pause_until = 0
        _logger.debug("Configured channel by its record: %s", channel)

    def _channel_created(self, channel):
        channel.shared = self._shared._channels_by_name.get(channel.fullname)
        stated = self._stated.get(channel.fullname, {})
        channel.sequential = stated.get("sequential", False)

    def _channel_for_job(self, channel_name):
        if fault_of_name(channel_name):
            # Its jobs are set aside, see ``rows.py``; no channel is made for them.
            channel_name = ROOT
        return self.get_channel_by_name(channel_name, autocreate=True)
