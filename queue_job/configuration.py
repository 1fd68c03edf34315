# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Settings of the environment and of the ``[queue_job]`` section, the first over the second.

Nothing is read at import: the section is read when it is first asked for, so that
``-c file`` counts in every way of starting.
"""

import logging
import os
from configparser import ConfigParser
from functools import lru_cache

from odoo.tools import config, str2bool

try:
    from odoo.addons.server_environment import serv_config
except ImportError:
    serv_config = None

_logger = logging.getLogger(__name__)

SECTION = "queue_job"
# Seconds of silence after which a runner lets go of a database without due jobs.
DORMANT_AFTER = 300


def queue_job_section():
    """Return the ``[queue_job]`` section as a dict, empty when there is none.

    The same dict is returned until Odoo is told to use another file.
    """
    if serv_config is not None:
        return _section_of_server_environment()
    return _section_of_file(config["config"] or "")


@lru_cache(maxsize=1)
def _section_of_server_environment():
    return dict(serv_config[SECTION]) if serv_config.has_section(SECTION) else {}


@lru_cache(maxsize=1)
def _section_of_file(path):
    parser = ConfigParser(interpolation=None)
    parser.read([path])
    return dict(parser[SECTION]) if parser.has_section(SECTION) else {}


def setting(key):
    """Return a setting of environment or file, None when neither has it."""
    return os.environ.get(f"ODOO_QUEUE_JOB_{key.upper()}") or queue_job_section().get(
        key
    )


def configured_job_workers():
    """Return how many job workers are configured, 0 for none.

    :raise ValueError: for what is no number from 0 on
    """
    text = setting("workers") or "0"
    if not text.strip().isdecimal():
        raise ValueError(f"Invalid number of job workers: {text}")
    return int(text)


def job_workers():
    """Return how many job workers a server of this configuration starts.

    Only the prefork server has some. Errors are those of
    :func:`configured_job_workers`.
    """
    return configured_job_workers() if config["workers"] else 0


def default_root_capacity():
    """Return the slots of root where neither configuration nor record has a number."""
    return max_capacity() or job_workers() or 1


def max_capacity():
    """Return how many jobs may run at once over all databases, None without a limit.

    0 starts no runner.

    :raise ValueError: for what is no number from 0 on
    """
    text = (setting("max_capacity") or "").strip()
    if text and not text.isdecimal():
        raise ValueError(f"Invalid max_capacity: {text}")
    return int(text) if text else None


def is_route_public():
    """Return whether HTTP workers answer the runner: always where no job workers are."""
    return str2bool(setting("public_route") or "", False) or not job_workers()


def dormant_after():
    """Return after how many seconds of silence a database goes dormant; 0 is never.

    The same on all nodes: a process that delays a job infers from it whether a runner
    is awake. A value that is no number counts as unset, with a line in the log.
    """
    return _seconds("dormant_after", setting("dormant_after") or DORMANT_AFTER)


@lru_cache(maxsize=8)
def _seconds(key, text):
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        _logger.error("[queue_job] %s: %r is no number of seconds", key, text)
        return DORMANT_AFTER
    return seconds
