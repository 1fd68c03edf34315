# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The runner: chooses jobs, marks them, asks workers to run them.

It performs no job and imports no model. Reading order: ``channels/``
(which job), ``connection`` and ``database`` (whose, and how it is moved; statements are
in ``sql/``), ``tracker`` and ``pending_window`` (where each job is), ``sent`` and
``dispatch`` (how it is sent), ``session`` and ``runner`` (the loop), ``server`` (how it
starts).

``queue_job_config`` is read when it is asked for, not at import.
"""

from ..configuration import queue_job_section
from . import channels, runner, server
from .config import _channels, _is_runner_enabled
from .runner import QueueJobRunner
from .server import (
    START_DELAY,
    QueueJobRunnerThread,
    WorkerJobRunner,
    _start_runner_thread,
)

__all__ = [
    "START_DELAY",
    "QueueJobRunner",
    "QueueJobRunnerThread",
    "WorkerJobRunner",
    "_channels",
    "_is_runner_enabled",
    "_start_runner_thread",
    "channels",
    "runner",
    "server",
]


def __getattr__(name):
    if name == "queue_job_config":
        return queue_job_section()
    if name == "runner_thread":
        return server.runner_thread
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
