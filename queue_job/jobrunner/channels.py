# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Moved to ``channels/``; the names that other addons import stay here."""

from ..channels.channel import Channel
from ..channels.priority_queue import PriorityQueue
from ..channels.queue import ChannelJob, ChannelQueue, JobSortingKey
from ..channels.settings import split_strip
from ..channels.tree import ChannelManager
from ..states import (
    CANCELLED,
    DONE,
    ENQUEUED,
    FAILED,
    NOT_DONE,
    PENDING,
    STARTED,
    WAIT_DEPENDENCIES,
)

__all__ = [
    "CANCELLED",
    "DONE",
    "ENQUEUED",
    "FAILED",
    "NOT_DONE",
    "PENDING",
    "STARTED",
    "WAIT_DEPENDENCIES",
    "Channel",
    "ChannelJob",
    "ChannelManager",
    "ChannelQueue",
    "JobSortingKey",
    "PriorityQueue",
    "split_strip",
]
