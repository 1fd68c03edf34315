# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""When a job is tried again: the one counter, the one limit, the wait."""

from datetime import timedelta

from .states import RETRY_INTERVAL

# Seconds, a hundred years: a date that far ahead can still be stored.
LONGEST_WAIT = 100 * 366 * 24 * 3600


def is_last_try(retry, max_retries):
    """Return whether a job that ran ``retry`` times has used up its tries.

    ``max_retries`` 0 or None means that there is no limit.
    """
    return bool(max_retries) and (retry or 0) >= max_retries


def as_wait(seconds):
    """Return a wait as a number or an ordered pair of numbers, None when it is neither.

    :param seconds: number, timedelta, or a pair of them
    """
    if isinstance(seconds, list | tuple):
        pair = [_as_number(value) for value in seconds]
        return tuple(sorted(pair)) if len(pair) == 2 and None not in pair else None
    return _as_number(seconds) or None


def _as_number(seconds):
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    try:
        number = seconds if isinstance(seconds, int) else float(seconds)
    except Exception:  # noqa: BLE001 an error may carry anything
        return None
    # NaN compares with nothing.
    return number if 0 <= number <= LONGEST_WAIT else None


def wait_before(retry, choose, pattern=None, seconds=None, interval=RETRY_INTERVAL):
    """Return the seconds to wait after try number ``retry``.

    Explicit ``seconds`` win; else the value of the greatest key of
    ``pattern`` that is not above ``retry``; else ``interval``. A pair stands
    for a whole number that ``choose`` (``random.randint``) takes between both.
    """
    if not seconds:
        seconds = interval
        for tries, value in sorted((pattern or {}).items()):
            if tries > (retry or 0):
                break
            seconds = value
    if not isinstance(seconds, list | tuple):
        return seconds
    if all(isinstance(value, int) for value in seconds):
        return choose(*seconds)
    return choose(*(int(value * 1000) for value in seconds)) / 1000


def is_pattern(pattern):
    """Return whether keys are whole numbers, and values whole numbers or pairs of them."""
    if not isinstance(pattern, dict):
        return False
    return all(str(key).isdecimal() for key in pattern) and all(
        _is_whole(value)
        or isinstance(value, (list, tuple))
        and len(value) == 2
        and all(map(_is_whole, value))
        and value[0] <= value[1]
        for value in pattern.values()
    )


def _is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
