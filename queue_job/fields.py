# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How the arguments of a job are stored, and read again.

The document is JSON. A value that JSON does not know is a *tag*: an object with the
key ``_type`` and exactly the keys of that tag (see :data:`VALUE_TAGS` and
:meth:`JobDecoder._read_recordset`). The first four tags are those of every
database made since this suite's interface exists; our own begin with
``queue_job:`` so that no plain dict of an older row is taken for one.

Only the encoder makes tags. A dict of the caller that could be taken for one
(a webhook payload with the key ``_type``) is stored as a tag that holds its
items, and comes back as the same dict.

A value comes back as it was, or it is refused: a type of its own (``class Text(str)``)
has a tag here, or no place in a job.
"""

import base64
import datetime
import json
import sys
import zoneinfo
from collections import OrderedDict, defaultdict
from decimal import Decimal
from enum import Enum

import dateutil.parser
import dateutil.tz
import pytz
from lxml import etree
from markupsafe import Markup

from odoo import fields, models
from odoo.tools.func import lazy
from odoo.tools.misc import SENTINEL, frozendict

TAG = "_type"
OWN_PREFIX = "queue_job:"
RECORDSET = "odoo_recordset"
ESCAPED_DICT = OWN_PREFIX + "dict"
TUPLE = OWN_PREFIX + "tuple"

_SCALARS = frozenset((str, int, float, bool, type(None)))
# JSON would write a subclass of one of these as if it were the type itself.
_SIMPLE = (str, int, float, dict, list, tuple)
# Types that have a tag; a subclass of one would come back as the type itself.
_TAGGED = (
    *(bytes, set, frozenset, Decimal, etree._Element),
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta),
)
_FACTORIES = {kind.__name__: kind for kind in (bool, dict, float, int, list, set, str)}
# The offset is all there is to know about a time zone of these types.
_FIXED_ZONES = (
    datetime.timezone,
    type(pytz.FixedOffset(1)),
    dateutil.tz.tzutc,
    dateutil.tz.tzoffset,
)
# Without entities and network a document cannot read files, call out or grow;
# that is also why very large ones are safe to accept.
_XML_OPTIONS = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": True,
}


def _read_datetime(text):
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return dateutil.parser.parse(text)


def _read_date(text):
    return _read_datetime(text).date()


def _read_etree(text):
    # A parser is not shared: lxml locks it to one thread at a time.
    return etree.fromstring(text, etree.XMLParser(**_XML_OPTIONS))


def _read_timedelta(parts):
    days, seconds, microseconds = parts
    return datetime.timedelta(days, seconds, microseconds)


def _is_plain_date(value):
    # Frozen time gives the tests of other addons a class of its own.
    return type(value).__module__.partition(".")[0] in ("datetime", "freezegun")


def _zone_of(moment):
    """Return kind and name of a time zone that has more than one offset, or None."""
    zone = moment.tzinfo
    if zone is None or isinstance(zone, _FIXED_ZONES):
        return None
    if isinstance(zone, zoneinfo.ZoneInfo) and zone.key:
        return ["zoneinfo", zone.key]
    if isinstance(zone, pytz.BaseTzInfo) and zone.zone:
        return ["pytz", zone.zone]
    raise TypeError("its time zone has no name, give the moment in UTC")


def _read_zoned(parts):
    text, kind, name = parts
    zone = pytz.timezone(name) if kind == "pytz" else zoneinfo.ZoneInfo(name)
    return datetime.datetime.fromisoformat(text).astimezone(zone)


def _class_path(cls):
    """Return module and name of a class that the decoder can find again."""
    path = [cls.__module__, cls.__qualname__]
    if _find_class(*path) is not cls:
        raise TypeError("its class is not found under its name in its module")
    return path


def _find_class(module, name):
    """Return a class of a loaded module, or None; nothing is imported."""
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _read_class(path, kind):
    cls = _find_class(*path)
    if not (isinstance(cls, type) and issubclass(cls, kind)):
        raise KeyError(".".join(path))
    return cls


def _read_enum(parts):
    *path, value = parts
    return _read_class(path, Enum)(value)


def _read_namedtuple(parts):
    *path, items = parts
    return _read_class(path, tuple)._make(items)


def _read_defaultdict(parts):
    factory, pairs = parts
    return defaultdict(_FACTORIES[factory] if factory else None, pairs)


def _hashable(value):
    """Return ``value`` as it was inside a set: what is a list now was a tuple."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


# tag: (type of its "value", function from that value to the object)
VALUE_TAGS = {
    "datetime_isoformat": (str, _read_datetime),
    "date_isoformat": (str, _read_date),
    "etree_element": (str, _read_etree),
    OWN_PREFIX + "time": (str, datetime.time.fromisoformat),
    OWN_PREFIX + "timedelta": (list, _read_timedelta),
    OWN_PREFIX + "decimal": (str, Decimal),
    OWN_PREFIX + "bytes": (str, base64.b64decode),
    OWN_PREFIX + "set": (list, lambda items: set(map(_hashable, items))),
    OWN_PREFIX + "frozenset": (list, lambda items: frozenset(map(_hashable, items))),
    OWN_PREFIX + "datetime": (list, _read_zoned),
    OWN_PREFIX + "markup": (str, Markup),
    OWN_PREFIX + "enum": (list, _read_enum),
    OWN_PREFIX + "namedtuple": (list, _read_namedtuple),
    OWN_PREFIX + "ordereddict": (list, OrderedDict),
    OWN_PREFIX + "frozendict": (list, frozendict),
    OWN_PREFIX + "defaultdict": (list, _read_defaultdict),
    TUPLE: (list, tuple),
    ESCAPED_DICT: (list, dict),
}


def _looks_tagged(value):
    """Tell if a plain dict of the caller could be taken for a tag."""
    tag = value.get(TAG)
    return isinstance(tag, str) and (
        tag == RECORDSET or tag in VALUE_TAGS or tag.startswith(OWN_PREFIX)
    )


def _has_text_keys(value):
    return all(type(key) is str for key in value)


def _tag(name, value):
    return {TAG: name, "value": value}


class NotStorableError(TypeError):
    """A value cannot be stored as an argument of a job.

    :param path: keys and positions that lead to the value from the top
    :param value: what cannot be stored
    """

    def __init__(self, path, value, reason):
        super().__init__(path, value, reason)
        self.path = path
        self.type_name = f"{type(value).__module__}.{type(value).__qualname__}"
        self.reason = reason
        self.holder = "value"

    def __str__(self):
        return f"Cannot store {self._where()}, of type {self.type_name}: {self.reason}"

    def _where(self):
        place = self.holder + "".join(f"[{step!r}]" for step in self.path)
        if self.path and self.holder == "args":
            return f"positional argument {self.path[0] + 1} of the job ({place})"
        if self.path and self.holder == "kwargs":
            return f"argument {self.path[0]!r} of the job ({place})"
        return place


class JobEncoder(json.JSONEncoder):
    """Encode the arguments of a job.

    ``default`` may be extended for more types: what it returns is encoded as
    it is. Tuples become lists and keys of dicts become text, as in JSON; with
    ``exact`` those below the top come back as they were. Raise
    :class:`NotStorableError`.
    """

    def __init__(self, *args, exact=False, **kwargs):
        super().__init__(*args, **kwargs)
        self._exact = exact

    def encode(self, o):
        try:
            return super().encode(self._mark_below(o))
        except (TypeError, ValueError, RecursionError) as error:
            raise self._locate(o, error) from error

    def default(self, o):
        """Return the JSON form of an object that JSON does not know."""
        tagged = self._encode(o)
        if not tagged:
            self._check_base(o)
            return super().default(o)
        return tagged

    def _encode(self, o):
        """Return the tag of an object, None when it would come back as something else."""
        if isinstance(o, models.BaseModel):
            return self._encode_recordset(o)
        if isinstance(o, datetime.date) and not _is_plain_date(o):
            return None
        if isinstance(o, datetime.datetime):
            zone = _zone_of(o)
            if zone:
                return _tag(OWN_PREFIX + "datetime", [o.isoformat(), *zone])
            return _tag("datetime_isoformat", o.isoformat())
        if isinstance(o, datetime.date):
            return _tag("date_isoformat", o.isoformat())
        if type(o) is etree._Element:
            text = etree.tostring(o, encoding="unicode", with_tail=False)
            return _tag("etree_element", text)
        if isinstance(o, lazy):
            return self._mark(o._value)
        if isinstance(o, Enum) and type(o.value) in _SCALARS:
            return _tag(OWN_PREFIX + "enum", [*_class_path(type(o)), o.value])
        return self._encode_own(o) or self._encode_kind(o)

    def _check_base(self, o):
        """Raise ``TypeError`` for a value that would come back as its base."""
        for base in (*_SIMPLE, *_TAGGED):
            if isinstance(o, base):
                name = base.__name__
                raise TypeError(f"it would come back as {name}, give it as {name}")

    def _encode_own(self, o):
        """Return the tag of a type that this suite adds, None for others."""
        kind = type(o)
        if kind is Decimal:
            return _tag(OWN_PREFIX + "decimal", str(o))
        if kind is bytes:
            return _tag(OWN_PREFIX + "bytes", base64.b64encode(o).decode())
        if kind in (set, frozenset):
            return _tag(OWN_PREFIX + kind.__name__, [self._mark(item) for item in o])
        if kind is datetime.time and o.tzinfo is None:
            return _tag(OWN_PREFIX + "time", o.isoformat())
        if kind is datetime.timedelta:
            parts = [o.days, o.seconds, o.microseconds]
            return _tag(OWN_PREFIX + "timedelta", parts)
        return None

    def _encode_kind(self, o):
        """Return the tag of a known subclass of a simple type, None for others."""
        kind = type(o)
        if kind is Markup:
            return _tag(OWN_PREFIX + "markup", str(o))
        if kind in (OrderedDict, frozendict):
            return _tag(OWN_PREFIX + kind.__name__.lower(), self._mark_pairs(o))
        if kind is defaultdict:
            factory = o.default_factory and o.default_factory.__name__
            if _FACTORIES.get(factory) is o.default_factory:
                pairs = self._mark_pairs(o)
                return _tag(OWN_PREFIX + "defaultdict", [factory, pairs])
        if isinstance(o, tuple) and hasattr(kind, "_make"):
            items = self._mark_items(o)
            if not self._exact:
                return items
            return _tag(OWN_PREFIX + "namedtuple", [*_class_path(kind), items])
        return None

    def _encode_recordset(self, records):
        ids = records.ids
        if len(ids) != len(records._ids):
            raise TypeError("it is not saved yet: save the record first")
        return {
            TAG: RECORDSET,
            "model": records._name,
            "ids": ids,
            "uid": records.env.uid,
            "su": records.env.su,
            "context": self._mark(self._get_record_context(records)),
        }

    def _get_record_context(self, obj):
        """Return the part of the context that travels with the records."""
        return obj._job_prepare_context_before_enqueue()

    def _mark(self, value):
        """Return ``value`` with tags for types that JSON would change."""
        kind = type(value)
        if kind is dict or kind is list:
            return self._mark_below(value)
        if kind is tuple:
            items = self._mark_items(value)
            return _tag(TUPLE, items) if self._exact else items
        if isinstance(value, _SIMPLE) and kind not in _SCALARS:
            return self.default(value)
        return value

    def _mark_below(self, value):
        """Do the same but for the type of a container at the top."""
        if isinstance(value, dict):
            marked = {
                key: item if type(item) in _SCALARS else self._mark(item)
                for key, item in value.items()
            }
            # As pairs, because the decoder meets inner objects first.
            if _looks_tagged(marked) or self._exact and not _has_text_keys(marked):
                return _tag(ESCAPED_DICT, self._mark_pairs(marked, marked=True))
            return marked
        if isinstance(value, (list, tuple)):
            return self._mark_items(value)
        return value if type(value) in _SCALARS else self._mark(value)

    def _mark_items(self, items):
        return [item if type(item) in _SCALARS else self._mark(item) for item in items]

    def _mark_pairs(self, value, marked=False):
        """Return the items of a dict as a list, keys of their own type included."""
        for key in value:
            if type(key) not in _SCALARS:
                raise TypeError(
                    "keys must be str, int, float, bool or None, "
                    f"not {type(key).__name__}"
                )
        return [
            [key, item if marked else self._mark(item)] for key, item in value.items()
        ]

    def _locate(self, value, error, path=()):
        """Return the error that names the innermost value that fails below ``path``.

        Only for the unhappy path: it encodes again, from the top down.
        """
        if isinstance(error, RecursionError) and path:
            return NotStorableError(path, value, "nested too deeply, or inside itself")
        for step, child in self._children(value):
            if child_error := self._failure(child):
                return self._locate(child, child_error, (*path, step))
        return NotStorableError(path, value, str(error))

    def _children(self, value):
        if isinstance(value, dict):
            return list(value.items())
        if isinstance(value, (list, tuple)):
            return list(enumerate(value))
        return []

    def _failure(self, value):
        """Return the error of encoding ``value``, None when it can be stored."""
        try:
            json.JSONEncoder.encode(self, self._mark(value))
        except (TypeError, ValueError, RecursionError) as error:
            return error
        return None


class JobDecoder(json.JSONDecoder):
    """Decode what :class:`JobEncoder` wrote; records are browsed from ``env``.

    An object that is not exactly a tag - another key, a value of another type,
    text that does not parse - is a plain dict.

    :param strict: raise KeyError for a model or a class that does not exist, instead
        of returning its tag
    """

    def __init__(self, *args, env, strict=True, **kwargs):
        super().__init__(*args, object_hook=self._read_object, **kwargs)
        self.env = env
        self.strict = strict

    def _read_object(self, obj):
        tag = obj.get(TAG)
        if not isinstance(tag, str):
            return obj
        try:
            return self._read_tag(tag, obj)
        except KeyError:
            if self.strict:
                raise
            return obj

    def _read_tag(self, tag, obj):
        if tag == RECORDSET:
            return self._read_recordset(obj)
        if tag not in VALUE_TAGS or obj.keys() != {TAG, "value"}:
            return obj
        value_type, read = VALUE_TAGS[tag]
        if not isinstance(obj["value"], value_type):
            return obj
        try:
            return read(obj["value"])
        except (ValueError, TypeError, ArithmeticError, etree.XMLSyntaxError):
            return obj

    def _read_recordset(self, obj):
        """Return the records, as their user, or ``obj`` when it is no such tag.

        ``uid``, ``su`` and ``context`` are missing in old rows: without ``uid``
        the reader's user and rights stay. Raise KeyError for an unknown model.
        """
        if not _is_recordset_tag(obj):
            return obj
        env = self.env
        if obj.get("uid"):
            env = env(user=obj["uid"], su=bool(obj.get("su")))
        if obj.get("context"):
            env = env(context={**env.context, **obj["context"]})
        return env[obj["model"]].browse(obj["ids"])


def _is_recordset_tag(obj):
    optional = obj.keys() - {TAG, "model", "ids"}
    return (
        len(obj) == len(optional) + 3
        and optional <= {"uid", "su", "context"}
        and isinstance(obj["model"], str)
        and isinstance(obj["ids"], list)
        and all(type(record_id) is int for record_id in obj["ids"])
        and isinstance(obj.get("uid") or 0, int)
        and isinstance(obj.get("context") or {}, dict)
    )


_ENCODER = JobEncoder()
_EXACT_ENCODER = JobEncoder(exact=True)
_BASE_TYPES = (dict, list, tuple, models.BaseModel)


def encode_arguments(holder, value, exact=True):
    """Return the JSON text of ``value``; an error names the place below ``holder``."""
    try:
        return (_EXACT_ENCODER if exact else _ENCODER).encode(value)
    except NotStorableError as error:
        error.holder = holder
        raise


def _plain_tuple(obj):
    return obj["value"] if obj.get(TAG) == TUPLE and "value" in obj else obj


class JobSerialized(fields.Json):
    """A value with records, dates and the other types of :class:`JobEncoder`.

    The column is jsonb and holds a *string* whose content is the document: so
    SQL of other modules finds it, and so text with NUL can be stored. Rows
    that hold the document itself are read as well. A tuple is read as a list.

    :param base_type: dict, list, tuple, or the class of recordsets; what an
        unset value is read as depends on it
    :param exact: tuples, and keys of dicts, are read as they were written
    """

    type = "job_serialized"
    _column_type = ("jsonb", "jsonb")

    _base_type = None
    exact = False

    def __init__(self, string=SENTINEL, base_type=SENTINEL, **kwargs):
        super().__init__(string=string, _base_type=base_type, **kwargs)

    def _setup_attrs__(self, model_class, name):
        result = super()._setup_attrs__(model_class, name)
        if self._base_type not in _BASE_TYPES:
            raise ValueError(f"{self._base_type} is not a supported base type")
        return result

    def _empty(self, env):
        if self._base_type is models.BaseModel:
            return env["base"]
        return {} if self._base_type is dict else []

    def _encode(self, value):
        return encode_arguments(self.name, value, self.exact)

    def convert_to_column_insert(self, value, record, values=None, validate=True):
        # At creation the ORM asks for the column and then for the cache: the
        # text is kept in ``values``, its own dict, so as to encode only once.
        if values and validate:
            value = values[self.name] = self.convert_to_cache(value, record)
            validate = False
        return super().convert_to_column_insert(value, record, values, validate)

    def convert_to_cache(self, value, record, validate=True):
        """Return the text of the document, or a document given as it is."""
        kind = (list, tuple) if self._base_type in (list, tuple) else self._base_type
        if isinstance(value, kind):
            return self._encode(value)
        return value or None

    def convert_to_record(self, value, record):
        """Return the value; where it cannot be read the document, or no records."""
        try:
            found = self.decode(value, record.env, strict=False)
        except (ValueError, RecursionError):
            found = value
        is_of_model = isinstance(found, models.BaseModel)
        if self._base_type is models.BaseModel and not is_of_model:
            return self._empty(record.env)
        return found

    def decode(self, value, env, strict=True):
        """Return the value of a column; see :class:`JobDecoder` for ``strict``."""
        if value is None:
            return self._empty(env)
        text = value if isinstance(value, str) else json.dumps(value)
        return JobDecoder(env=env, strict=strict).decode(text)

    def _stored_text(self, value, record):
        """Return the document of a record as text, of ``value`` if it has none."""
        stored = self._get_cache(record.env).get(record.id)
        if stored is None:
            return self._encode(value) if value else ""
        return stored if isinstance(stored, str) else json.dumps(stored)

    def convert_to_read(self, value, record, use_display_name=True):
        """Return the document, because clients know no other types than those of JSON.

        Models need not exist. Numbers that JSON does not know are text.
        """
        text = self._stored_text(value, record) or _ENCODER.encode(value)
        try:
            return json.loads(text, object_hook=_plain_tuple, parse_constant=str)
        except (ValueError, RecursionError):
            return text

    def convert_to_write(self, value, record):
        # Not what clients read: written again, its tags would be plain dicts.
        return self.convert_to_record(self.convert_to_cache(value, record), record)

    def convert_to_export(self, value, record):
        return self._stored_text(value, record)


class IntegerArray(fields.Field):
    """Whole numbers in an array of PostgreSQL; read as a list."""

    type = "json"
    # First as PostgreSQL calls it: else each update of the addon would convert the column.
    _column_type = ("_int4", "int4[]")

    def convert_to_column(self, value, record, values=None, validate=True):
        return list(value) if value else None

    def convert_to_cache(self, value, record, validate=True):
        return tuple(value) if value else None

    def convert_to_record(self, value, record):
        return list(value or ())
