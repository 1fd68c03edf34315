# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How the arguments of a job are stored, and read again.

The document is JSON. What JSON does not know is a *tag*: an object with the
key ``_type`` and exactly the keys of that tag (see :data:`VALUE_TAGS` and
:meth:`JobDecoder._read_recordset`). The first four tags are those of every
database made since this suite's interface exists; our own begin with
``queue_job:`` so that no plain dict of an older row is taken for one.

Only the encoder makes tags. A dict of the caller that could be taken for one
(a webhook payload with the key ``_type``) is stored as a tag that holds its
items, and comes back as the same dict.
"""

import base64
import datetime
import json
from decimal import Decimal
from enum import Enum

import dateutil.parser
from lxml import etree

from odoo import fields, models
from odoo.tools.func import lazy
from odoo.tools.misc import SENTINEL

TAG = "_type"
OWN_PREFIX = "queue_job:"
RECORDSET = "odoo_recordset"
ESCAPED_DICT = OWN_PREFIX + "dict"
TUPLE = OWN_PREFIX + "tuple"

_SCALARS = frozenset((str, int, float, bool, type(None)))
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
    TUPLE: (list, tuple),
    ESCAPED_DICT: (list, dict),
}


def _looks_tagged(value):
    """Tell if a plain dict of the caller could be taken for a tag."""
    tag = value.get(TAG)
    return isinstance(tag, str) and (
        tag == RECORDSET or tag in VALUE_TAGS or tag.startswith(OWN_PREFIX)
    )


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
    it is. Tuples become lists, as in JSON; with ``keep_tuples`` those below
    the top keep their type. Raise :class:`NotStorableError`.
    """

    def __init__(self, *args, keep_tuples=False, **kwargs):
        super().__init__(*args, **kwargs)
        self._keep_tuples = keep_tuples

    def encode(self, o):
        try:
            return super().encode(self._mark_below(o))
        except (TypeError, ValueError, RecursionError) as error:
            raise self._locate(o, error) from error

    def default(self, o):
        """Return the JSON form of an object that JSON does not know."""
        if isinstance(o, models.BaseModel):
            return self._encode_recordset(o)
        if isinstance(o, datetime.datetime):
            return _tag("datetime_isoformat", o.isoformat())
        if isinstance(o, datetime.date):
            return _tag("date_isoformat", o.isoformat())
        if isinstance(o, etree._Element):
            text = etree.tostring(o, encoding="unicode", with_tail=False)
            return _tag("etree_element", text)
        if isinstance(o, lazy):
            return self._mark(o._value)
        if isinstance(o, Enum) and type(o.value) in _SCALARS:
            return o.value
        return self._encode_own(o) or super().default(o)

    def _encode_own(self, o):
        """Return the tag of a type that this suite adds, None for others."""
        if isinstance(o, Decimal):
            return _tag(OWN_PREFIX + "decimal", str(o))
        if isinstance(o, bytes):
            return _tag(OWN_PREFIX + "bytes", base64.b64encode(o).decode())
        if isinstance(o, (set, frozenset)):
            name = "set" if isinstance(o, set) else "frozenset"
            return _tag(OWN_PREFIX + name, [self._mark(item) for item in o])
        if isinstance(o, datetime.time) and o.tzinfo is None:
            return _tag(OWN_PREFIX + "time", o.isoformat())
        if isinstance(o, datetime.timedelta):
            parts = [o.days, o.seconds, o.microseconds]
            return _tag(OWN_PREFIX + "timedelta", parts)
        return None

    def _encode_recordset(self, records):
        return {
            TAG: RECORDSET,
            "model": records._name,
            "ids": records.ids,
            "uid": records.env.uid,
            "su": records.env.su,
            "context": self._mark(self._get_record_context(records)),
        }

    def _get_record_context(self, obj):
        """Return the part of the context that travels with the records."""
        return obj._job_prepare_context_before_enqueue()

    def _mark(self, value):
        """Return ``value`` with the nested dicts and tuples that need it tagged."""
        if self._keep_tuples and isinstance(value, tuple):
            return _tag(TUPLE, self._mark_items(value))
        return self._mark_below(value)

    def _mark_below(self, value):
        """Do the same but for a tuple at the top, which becomes a list."""
        if isinstance(value, dict):
            marked = {
                key: item if type(item) in _SCALARS else self._mark(item)
                for key, item in value.items()
            }
            # As pairs, because the decoder meets inner objects first.
            return (
                _tag(ESCAPED_DICT, list(marked.items()))
                if _looks_tagged(marked)
                else marked
            )
        if isinstance(value, (list, tuple)):
            return self._mark_items(value)
        return value

    def _mark_items(self, items):
        return [item if type(item) in _SCALARS else self._mark(item) for item in items]

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
    """

    def __init__(self, *args, env, **kwargs):
        super().__init__(*args, object_hook=self._read_object, **kwargs)
        self.env = env

    def _read_object(self, obj):
        tag = obj.get(TAG)
        if not isinstance(tag, str):
            return obj
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
_TUPLE_ENCODER = JobEncoder(keep_tuples=True)
_BASE_TYPES = (dict, list, tuple, models.BaseModel)


def encode_arguments(holder, value, keep_tuples=True):
    """Return the JSON text of ``value``; an error names the place below ``holder``."""
    try:
        return (_TUPLE_ENCODER if keep_tuples else _ENCODER).encode(value)
    except NotStorableError as error:
        error.holder = holder
        raise


class JobSerialized(fields.Json):
    """A value with records, dates and the other types of :class:`JobEncoder`.

    The column is jsonb and holds a *string* whose content is the document: so
    SQL of other modules finds it, and so text with NUL can be stored. Rows
    that hold the document itself are read as well. A tuple is read as a list.

    :param base_type: dict, list, tuple, or the class of recordsets; what an
        unset value is read as depends on it
    :param keep_tuples: tuples below the top are read as tuples
    """

    type = "job_serialized"
    _column_type = ("jsonb", "jsonb")

    _base_type = None
    keep_tuples = False

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
        return encode_arguments(self.name, value, self.keep_tuples)

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
        if value is None:
            return self._empty(record.env)
        text = value if isinstance(value, str) else json.dumps(value)
        return JobDecoder(env=record.env).decode(text)

    def convert_to_read(self, value, record, use_display_name=True):
        """Return the document, for clients know no other types than those of JSON."""
        return json.loads(_ENCODER.encode(value))

    def convert_to_write(self, value, record):
        # Not what clients read: written again, its tags would be plain dicts.
        return self.convert_to_record(self.convert_to_cache(value, record), record)

    def convert_to_export(self, value, record):
        return self._encode(value) if value else ""
