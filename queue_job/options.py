# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What may be given as a property or an argument of a job, and what it means."""

from datetime import timedelta, timezone

from odoo import fields, models


def description_of(method):
    """Return the first line of the docstring of a method, else its full name."""
    doc = (method.__doc__ or "").strip()
    if doc:
        return doc.splitlines()[0].strip()
    return f"{method.__self__._name}.{method.__name__}"


def integer(name, value, default):
    if value is None:
        return default
    if isinstance(value, int):
        return value
    raise TypeError(
        f"{name} of a job must be an integer, not {value!r} ({type(value).__name__})"
    )


def text(name, value):
    if value is None or value is False:
        return None
    if isinstance(value, str):
        return value
    # Lazy translations and the like say what they are worth as text.
    if hasattr(value, "translate") or hasattr(value, "_translate"):
        return str(value)
    raise TypeError(
        f"{name} of a job must be a string, not {value!r} ({type(value).__name__})"
    )


def not_before(value, now):
    """Return an eta as the moment it means, naive UTC."""
    if not value:
        return None
    if isinstance(value, timedelta):
        return now + value
    if isinstance(value, int | float):
        return now + timedelta(seconds=value)
    if getattr(value, "tzinfo", None):
        return value.astimezone(timezone.utc).replace(tzinfo=None)
    try:
        fields.Datetime.to_datetime(value)
    except (TypeError, ValueError, AttributeError) as error:
        raise TypeError(
            "eta of a job must be a datetime, a date, an Odoo datetime string, a timedelta or "
            f"seconds, not {value!r} ({type(value).__name__})"
        ) from error
    return value


def bound_to(value, cr):
    """Return ``value`` with the recordsets in it on the cursor ``cr``.

    User, superuser mode and context of each are kept.
    """
    if isinstance(value, models.BaseModel):
        return value if value.env.cr is cr else value.with_env(value.env(cr=cr))
    if isinstance(value, list | tuple):
        items = [bound_to(item, cr) for item in value]
        if hasattr(value, "_make"):
            return value._make(items)
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, set | frozenset):
        return type(value)(bound_to(item, cr) for item in value)
    if isinstance(value, dict):
        return {key: bound_to(item, cr) for key, item in value.items()}
    return value
