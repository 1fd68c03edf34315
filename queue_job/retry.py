# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""When a job is tried again: the one counter, the one limit, the wait."""

from .states import RETRY_INTERVAL


def is_last_try(retry, max_retries):
    """Return whether a job that ran ``retry`` times has used up its tries.

    ``max_retries`` 0 or None means that there is no limit.
    """
    return bool(max_retries) and (retry or 0) >= max_retries


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
    if isinstance(seconds, list | tuple):
        return choose(*seconds)
    return seconds
