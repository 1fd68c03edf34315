# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The limit of each database, beside its channels: as OCA's 18.0 reads it."""

import re
from fnmatch import fnmatchcase

from ..configuration import setting
from .log import logger


def parse_database_capacities(text):
    """Return ``[(pattern of database names, jobs at once)]``, in the order written.

    Items are separated by commas or line breaks; a number without a pattern is for all.

    :raise ValueError: for an item that is none
    """
    found = []
    for item in filter(str.strip, re.split(r"[,\r\n]", text or "")):
        pattern, _colon, number = item.rpartition(":")
        if not number.strip().isdecimal():
            raise ValueError(f"Invalid db_max_capacity: {item.strip()}")
        found.append((pattern.strip() or "*", int(number)))
    return found


def database_capacity(db_name):
    """Return how many jobs of a database may run at once, None without a limit.

    The first pattern that matches counts. An entry that cannot be read is logged, and no limit.
    """
    try:
        capacities = parse_database_capacities(setting("db_max_capacity"))
    except ValueError as error:
        logger.error("%s", error)
        return None
    for pattern, capacity in capacities:
        if fnmatchcase(db_name, pattern):
            return capacity
    return None


def lower(capacity, limit):
    """Return a capacity within a limit: 0 is no capacity of its own, a limit of 0 blocks."""
    if limit is None:
        return capacity
    if limit == 0:
        return -1
    return min(capacity, limit) if capacity else limit
