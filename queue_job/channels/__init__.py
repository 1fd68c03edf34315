# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Channels: which job may run, and which of those is the best.

* :mod:`.settings`: the language of channels, and what applies to each of them
* :mod:`.queue`: the jobs that wait in a channel, and their order
* :mod:`.channel`: the limits of one channel, and what runs in it
* :mod:`.tree`: the channels of a database or process

The runner picks with it, cron workers pick with it, and the screens ask it.
"""

from .channel import Channel
from .limits import database_capacity
from .settings import (
    ROOT,
    AppliedSettings,
    ChannelRecord,
    fault_of_name,
    fixed_settings,
    full_name,
)
from .tree import ChannelManager, DatabaseTree

__all__ = [
    "ROOT",
    "AppliedSettings",
    "Channel",
    "ChannelManager",
    "ChannelRecord",
    "DatabaseTree",
    "database_capacity",
    "fault_of_name",
    "fixed_settings",
    "full_name",
]
