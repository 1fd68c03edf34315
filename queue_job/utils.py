# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Small rules shared by the values and the acts."""

import logging
import os

from odoo.tools import config

from .exception import exceptions_only

_logger = logging.getLogger(__name__)


def must_run_without_delay(env):
    """Return whether jobs asked for in ``env`` run at once, in its transaction.

    The variable ``QUEUE_JOB__NO_DELAY`` (any text) says so for the process,
    the context key ``queue_job__no_delay`` for one environment.
    """
    if os.getenv("QUEUE_JOB__NO_DELAY"):
        _logger.warning(
            "`QUEUE_JOB__NO_DELAY` is set: jobs run at once, in the caller's transaction"
        )
        return True
    if env.context.get("queue_job__no_delay"):
        if not config["test_enable"]:
            _logger.info(
                "`queue_job__no_delay` is in the context: the job runs at once"
            )
        return True
    return None


def text_of(value):
    """Return ``value`` as text, also when its own ``__str__`` cannot."""
    if type(value) is str:
        return value
    try:
        with exceptions_only():
            return str(value)
    except Exception as error:  # noqa: BLE001 it is foreign code
        return f"{type(value).__name__} without a text: {type(error).__name__}"


def has_content(value):
    """Return the truth of ``value``, True when it has none, as an array of numpy."""
    if type(value) is str:
        return value != ""
    try:
        with exceptions_only():
            return bool(value)
    except Exception:  # noqa: BLE001 it is foreign code
        return True


# Characters of a text that lists and messages show: the full one is kept once at most.
SHORT_TEXT = 4000


def storable_text(value, limit=None):
    """Return ``value`` as text that PostgreSQL can store, None and False as is.

    It refuses NUL, and UTF-8 knows no lone surrogates.

    :param limit: characters to keep; ``…`` stands for the middle, which is cut
    """
    if value is None or value is False:
        return value
    text = text_of(value)
    if limit and len(text) > limit:
        tail = limit // 4
        text = f"{text[: limit - tail - 1]}…{text[-tail:]}"
    text = text.replace("\x00", "�")
    return text.encode("utf-8", "replace").decode("utf-8")
