# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The options of a job as one object, and the checks of what a caller gives."""

import inspect
import operator
from dataclasses import dataclass
from datetime import timedelta, timezone
from types import FunctionType

from odoo import fields
from odoo.tools.translate import LazyGettext

from .states import DEFAULT_MAX_RETRIES, DEFAULT_PRIORITY

# Commit modes of a job function.
NEVER, STEPS, FREE = "never", "steps", "free"

_TEXTS = (str, LazyGettext)
# Calls of such functions return an object, and execute nothing.
_EXECUTES_NOTHING = (
    inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
)


@dataclass(slots=True)
class JobOptions:
    """The options of a job, None where not stated; the names are those of callers.

    :param eta: not before: naive UTC or aware datetime, date, Odoo datetime
        string, timedelta, or seconds from now
    :param max_retries: runs in all, 0 for no limit
    :param channel: complete name of a channel, which need not exist
    :param identity_key: str, or a callable that makes one from the job
    """

    priority: object = None
    eta: object = None
    max_retries: object = None
    description: object = None
    channel: object = None
    identity_key: object = None

    def checked(self, now, lang=None):
        """Return the options as a job keeps them, with the defaults.

        :param now: from which an ``eta`` in seconds counts
        :param lang: of a lazy description
        :raise TypeError: for a value of the wrong type
        :raise ValueError: for a value that is out of bounds
        """
        return JobOptions(
            integer("priority", self.priority, DEFAULT_PRIORITY),
            not_before(self.eta, now),
            integer("max_retries", self.max_retries, DEFAULT_MAX_RETRIES, lowest=0),
            text("description", self.description, numbers=True, lang=lang),
            text("channel", self.channel),
            key_or_function(self.identity_key),
        )

    def keywords(self):
        """Return the options by name, as the delay API takes them."""
        return {name: getattr(self, name) for name in OPTION_NAMES}


OPTION_NAMES = tuple(JobOptions.__slots__)


def signature_with_options(*places):
    """Return the signature of a door of the delay API: its own places, then the options."""
    names = [*places, *OPTION_NAMES]
    return inspect.Signature(
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None if name in OPTION_NAMES else inspect.Parameter.empty,
        )
        for name in names
    )


def check_executes(method):
    """Refuse a generator function and ``async def``: performing one does nothing.

    :raise TypeError: names the method
    """
    code = getattr(getattr(method, "__func__", None), "__code__", None)
    if getattr(code, "co_flags", 0) & _EXECUTES_NOTHING:
        raise TypeError(
            f"{method.__self__._name}.{method.__name__} cannot be delayed: it is a "
            "generator function or async, so that a call executes nothing. Delay a "
            "method that consumes it"
        )


def check_call(method, args, kwargs):
    """Refuse arguments that the signature of a method does not take.

    Only where the signature is known: mocks and other callables take everything.

    :raise TypeError: as the call itself would
    """
    function = getattr(method, "__func__", None)
    if type(function) is FunctionType and not _fits(function, args, kwargs):
        try:
            inspect.signature(function).bind(method.__self__, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{method.__qualname__}(): {error}") from None


def _fits(function, args, kwargs):
    """Return whether a call is sure to fit; ``inspect`` takes ten times as long."""
    code, given = function.__code__, len(args) + 1
    count, more = code.co_argcount, code.co_kwonlyargcount
    needed = count - len(function.__defaults__ or ())
    if given > count and not code.co_flags & inspect.CO_VARARGS:
        return False
    if not kwargs and not more:
        return given >= needed
    if code.co_posonlyargcount:
        return False
    names = code.co_varnames[: count + more]
    missing = {*names[given:needed], *names[count:]}.difference(
        kwargs, function.__kwdefaults__ or ()
    )
    return (
        not missing
        and kwargs.keys().isdisjoint(names[: min(given, count)])
        and (code.co_flags & inspect.CO_VARKEYWORDS or kwargs.keys() <= {*names})
    )


# Of an integer column of PostgreSQL.
_MAX_INTEGER = 2**31 - 1


def refuse_property(name, value, meant):
    """Return the error for a property of a job that has the wrong type."""
    return TypeError(
        f"{name} of a job must be {meant}, not {value!r} ({type(value).__name__})"
    )


def integer(name, value, default=None, lowest=-_MAX_INTEGER - 1):
    """Return a whole number that its column can store.

    Text and floats are accepted when ``int()`` loses nothing.

    :raise TypeError: for a value that is no whole number
    :raise ValueError: for a number out of bounds
    """
    if value is None:
        return default
    if isinstance(value, float | str):
        try:
            number = int(value)
        except (ValueError, OverflowError):
            number = None
        if number is None or isinstance(value, float) and number != value:
            raise refuse_property(name, value, "an integer")
    elif hasattr(value, "__index__"):
        number = operator.index(value)
    else:
        raise refuse_property(name, value, "an integer")
    if not lowest <= number <= _MAX_INTEGER:
        raise ValueError(
            f"{name} of a job must be from {lowest} to {_MAX_INTEGER}, not {value!r}"
        )
    return number


def text(name, value, numbers=False, lang=None):
    """Return a text, None without one; a lazy translation is translated.

    :param numbers: accept int and float too
    :param lang: of a lazy translation; the source text without one
    :raise TypeError: for another type, which may have a text that was never meant
    """
    if value is None or value is False:
        return None
    if isinstance(value, (str, LazyGettext, int, float) if numbers else _TEXTS):
        return (
            value._translate(lang or "en_US")
            if isinstance(value, LazyGettext)
            else str(value)
        )
    raise refuse_property(name, value, "a string")


def key_or_function(value):
    """Return an identity key, or the function that makes one from the job."""
    return value if callable(value) else text("identity_key", value, numbers=True)


def not_before(value, now):
    """Return an eta as the moment it means, naive UTC.

    :raise TypeError: for a value that is no moment
    :raise ValueError: for a moment that cannot be stored
    """
    if not value:
        return None
    try:
        if isinstance(value, timedelta):
            return now + value
        if isinstance(value, int | float):
            return now + timedelta(seconds=value)
        if getattr(value, "tzinfo", None):
            return value.astimezone(timezone.utc).replace(tzinfo=None)
    except (OverflowError, ValueError) as error:
        raise ValueError(
            "eta of a job must be a moment of the years 1 to 9999, or seconds from now "
            f"until one, not {value!r}"
        ) from error
    try:
        fields.Datetime.to_datetime(value)
    except (TypeError, ValueError, AttributeError) as error:
        raise refuse_property(
            "eta",
            value,
            "a datetime, a date, an Odoo datetime string, a timedelta or seconds",
        ) from error
    return value
