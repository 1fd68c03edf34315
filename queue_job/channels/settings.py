# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The settings of channels, and their language: ``root:4,sub:2:throttle=0.5``."""

import re
from typing import NamedTuple

from ..configuration import setting
from .limits import lower
from .log import logger

ROOT = "root"
# Far more than a deployment needs, and few enough to walk over.
MOST_LEVELS, LONGEST_NAME = 50, 1000
OPTIONS = (
    *("name", "capacity", "sequential", "throttle", "paused"),
    *("capacity_default", "sequential_default"),
)
FALSE_WORDS = ("", "0", "false", "no", "off", "none")


class ChannelRecord(NamedTuple):
    """A row of ``queue_job_channel``; None is not set, ``paused_until`` a UNIX time.

    The defaults hold for sub-channels that state no capacity, one level down.
    """

    complete_name: str
    capacity: int | None = None
    sequential: bool | None = None
    throttle: float | None = None
    paused: bool | None = None
    paused_until: float | None = None
    capacity_default: int | None = None
    sequential_default: bool | None = None


class ChannelSettings(NamedTuple):
    """The settings that apply to a channel; a capacity of 0 is no limit of its own.

    It starts no job while ``paused``, nor before the UNIX time ``paused_until``.
    """

    name: str
    capacity: int
    sequential: bool
    throttle: float
    paused: bool
    paused_until: float = 0

    def is_paused(self, now):
        """Return whether the channel is paused at a UNIX time."""
        return self.paused or self.paused_until > now


def split_strip(text, separator, maxsplit=-1):
    """Split ``text`` and strip each part."""
    return [part.strip() for part in text.split(separator, maxsplit)]


def fault_of_name(name):
    """Return why no channel can have this name, or None."""
    if name and len(name) > LONGEST_NAME:
        return f"the name of its channel is longer than {LONGEST_NAME} characters"
    if name and name.count(".") > MOST_LEVELS:
        return f"its channel is deeper than {MOST_LEVELS} levels"
    return None


def full_name(name):
    """Return the dotted name of a channel from the root on."""
    if not name or name == ROOT:
        return ROOT
    return name if name.startswith(ROOT + ".") else f"{ROOT}.{name}"


def parse_simple_config(config_string):
    """Return one dict for each entry: name, capacity and the options written.

    Values of options stay strings, an option without value is True; a default capacity
    is a number. An entry other than root that begins with an option has no capacity.
    ``ValueError`` when the string does not follow the grammar.
    """
    entries = []
    for entry in re.split(r"[,\r\n]", config_string):
        if entry.strip():
            entries.append(_parse_entry(entry, config_string))
    return entries


def _parse_entry(entry, config_string):
    def invalid(reason):
        return ValueError(f"Invalid channel config {config_string}: {reason}")

    name, *rest = split_strip(entry, ":")
    if not name:
        raise invalid("missing channel name")
    config = {"name": name, "capacity": 1}
    if (
        rest
        and full_name(name) != ROOT
        and rest[0].split("=")[0].strip() in OPTIONS[2:]
    ):
        del config["capacity"]
    elif rest:
        try:
            config["capacity"] = int(rest.pop(0))
        except ValueError as error:
            raise invalid(f"invalid capacity {entry.split(':')[1].strip()}") from error
    for item in rest:
        key, *values = split_strip(item, "=")
        if len(values) > 1:
            raise invalid(f"incorrect config item {item}")
        if key in config:
            raise invalid(f"duplicate key {key}")
        config[key] = values[0] if values else True
    if "capacity_default" in config:
        try:
            config["capacity_default"] = int(config["capacity_default"])
        except ValueError as error:
            value = config["capacity_default"]
            raise invalid(f"invalid capacity_default {value}") from error
    return config


def as_flag(value):
    """Return the truth of an option: ``0``, ``false``, ``no``, ``off`` are false."""
    if isinstance(value, str):
        return value.strip().lower() not in FALSE_WORDS
    return bool(value)


def as_seconds(value):
    """Return a throttle as a number; an option without value is one second."""
    if value is True:
        return 1
    try:
        seconds = float(value or 0)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Invalid value for throttle: {value}") from error
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"Invalid value for throttle: {value}")
    return int(seconds) if seconds.is_integer() else seconds


def typed(config):
    """Return the settings of an entry by option, with values of their types.

    Unknown options are left out.
    """
    settings = {}
    for option in ("capacity", "capacity_default"):
        if option in config:
            settings[option] = config[option]
    for option in ("sequential", "paused", "sequential_default"):
        if option in config:
            settings[option] = as_flag(config[option])
    if "throttle" in config:
        settings["throttle"] = as_seconds(config["throttle"])
    return settings


def warnings_about(config):
    """Return what an administrator should know about one entry, as sentences."""
    found = []
    name = config["name"]
    if full_name(name) != ROOT and config.get("capacity") == 0:
        found.append(
            f"channel {name} has capacity 0, which means no limit;"
            f" to stop a channel use the option paused ({name}:1:paused)"
        )
    for option in config:
        if option not in OPTIONS:
            found.append(f"unknown option {option} of channel {name} is ignored")
    return found


def stated_by(config_string):
    """Return ``{full name: settings}`` for what a configuration string states.

    An entry without options states its capacity even when it leaves it out: that is 1.
    A setting that an entry does not state may come from the record of the channel.
    """
    return {
        full_name(config["name"]): typed(config)
        for config in parse_simple_config(config_string)
    }


def fixed_settings():
    """Return what the environment or the file states for each channel, now.

    Empty when channels are not configured, or not in a way that can be read.
    """
    try:
        return stated_by(setting("channels") or "")
    except ValueError as error:
        logger.error("%s", error)
        return {}


def usable_records(records):
    """Return the channel records that can be applied, each with a throttle that can."""
    usable = []
    for record in records:
        if fault_of_name(record.complete_name):
            continue
        if record.throttle and not 0 < record.throttle < float("inf"):
            record = record._replace(throttle=None)
        usable.append(record)
    return usable


class AppliedSettings:
    """The rule of precedence: the settings of each channel of a database.

    A setting that the configuration states for a channel (its capacity, each option written)
    wins; what it does not state comes from the record of the channel. A channel that
    either of them pauses is paused. A channel without entry, whose record has no capacity
    either, takes the defaults of its parent. A sequential channel has one slot.

    :param stated: what :func:`stated_by` returns
    :param records: each a :class:`ChannelRecord`; unusable ones do not count
    :param root_capacity: slots of root, when neither configuration nor record has a number
    :param limit: of root, whatever else it has: see ``limits.py``
    """

    def __init__(self, stated, records=(), root_capacity=1, limit=None):
        self.stated = stated
        self.records = {
            full_name(record.complete_name): record
            for record in usable_records(records)
            if record.complete_name
        }
        self._root_capacity = root_capacity
        self._limit = limit

    @property
    def names(self):
        """The full names of channels that are configured or have a record."""
        return {ROOT, *self.stated, *self.records}

    def of(self, name):
        """Return the :class:`ChannelSettings` of a full name."""
        record = self.records.get(name) or ChannelRecord(name)
        stated = self.stated.get(name)
        if stated is None and record.capacity is None and name != ROOT:
            stated = self._defaults_below(name.rpartition(".")[0])
        stated = stated or {}
        sequential = stated.get("sequential", bool(record.sequential))
        capacity = stated.get("capacity", record.capacity) or 0
        if name == ROOT and "capacity" not in stated:
            capacity = capacity or self._root_capacity
        capacity = 1 if sequential else capacity
        return ChannelSettings(
            name,
            lower(capacity, self._limit) if name == ROOT else capacity,
            sequential,
            stated.get("throttle", record.throttle) or 0,
            bool(stated.get("paused") or record.paused),
            record.paused_until or 0,
        )

    def _defaults_below(self, parent):
        """Return what the sub-channels of a full name state that do not say it themselves."""
        record = self.records.get(parent) or ChannelRecord(parent)
        stated = self.stated.get(parent, {})
        defaults = {
            "capacity": stated.get("capacity_default", record.capacity_default),
            "sequential": stated.get("sequential_default", record.sequential_default),
        }
        return {option: value for option, value in defaults.items() if value}
