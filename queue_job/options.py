# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What may be given as a property or an argument of a job, and what it means."""

import inspect
import operator
from collections import OrderedDict, defaultdict
from datetime import timedelta, timezone
from types import FunctionType

from odoo import fields, models
from odoo.tools.misc import frozendict
from odoo.tools.translate import LazyGettext

_TEXTS = (str, LazyGettext)
# Calls of such functions return an object, and execute nothing.
_EXECUTES_NOTHING = (
    inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
)


def description_of(method):
    """Return the first line of the docstring of a method, else its full name."""
    doc = (method.__doc__ or "").strip()
    if doc:
        return doc.splitlines()[0].strip()
    return f"{method.__self__._name}.{method.__name__}"


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


def number_of_tries(value, default=None):
    """Return the number of tries: 0 means that there is no limit."""
    return integer("max_retries", value, default, lowest=0)


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


def bound_to(value, cr):
    """Return ``value`` with the recordsets in it on the cursor ``cr``.

    User, superuser mode and context of each are kept.
    """
    if isinstance(value, models.BaseModel):
        return value if value.env.cr is cr else value.with_env(value.env(cr=cr))
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return kind([bound_to(item, cr) for item in value])
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make([bound_to(item, cr) for item in value])
    if kind in (dict, OrderedDict, frozendict):
        return kind({key: bound_to(item, cr) for key, item in value.items()})
    if kind is defaultdict:
        items = {key: bound_to(item, cr) for key, item in value.items()}
        return defaultdict(value.default_factory, items)
    return value
