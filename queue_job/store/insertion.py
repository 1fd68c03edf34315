# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The row of one new job, inserted past the ORM where that has nothing else to do.

``create`` of Odoo takes two thirds of the time of ``with_delay``. For a row whose
``create`` no other module extends, and whose values are plain columns, it ends in one
INSERT, in the cache, and in a row that mail does not track. An :class:`Insertion` does these
three, and declines whatever else a module has added: then the ORM makes the row.
"""

import json

from odoo import fields
from odoo.orm.models import LOG_ACCESS_COLUMNS
from odoo.tools import SQL
from odoo.tools.misc import clean_context

from ..fields import JobSerialized
from ..sql import statements as sql

# The steps of ``create`` that an insertion leaves out or repeats.
_STEPS = (
    *("_create", "_prepare_create_values", "_add_precomputed_values", "default_get"),
    *("_add_missing_default_values", "_validate_fields", "_parent_store_create"),
    *("modified", "_modified", "_modified_triggers", "check_access", "_check_access"),
    *(
        "_check_field_access",
        "_has_field_access",
        "_track_discard",
        "_track_get_fields",
    ),
    "_with_full_channel",
)
_KNOWN_MODULES = (
    *("odoo.orm.", "odoo.models", "odoo.addons.base.", "odoo.addons.mail."),
    "odoo.addons.queue_job.models.",
)
# Values that column and cache take as they are, by the type of their field.
_PLAIN = {fields.Char: str, fields.Text: str, fields.Integer: int}
_LINES = ("one2many", "many2many")
_SINGLES = ("many2one", "many2one_reference")


def _overrides(cls, name):
    """Return what each class of a model has under a name, None where nothing."""
    return [model.__dict__.get(name) for model in cls.__mro__]


def _is_known(function):
    # A mock has no module.
    return (getattr(function, "__module__", None) or "").startswith(_KNOWN_MODULES)


class Insertion:
    """How rows of one registry are inserted; made once for each registry.

    :param jobs: the model queue.job
    """

    def __init__(self, jobs):
        cls = type(jobs)
        self._creates = _overrides(cls, "create")
        self._steps = [(name, getattr(cls, name)) for name in _STEPS]
        stored = [
            field
            for field in jobs._fields.values()
            if field.store and field.name not in ("id", *LOG_ACCESS_COLUMNS)
        ]
        self._empty = [
            (field, () if field.type in _LINES else None) for field in stored
        ]
        self._columns = {
            field.name: (field, self._plain_type(field))
            for field in stored
            if self._is_column(jobs, field)
        }
        self._statements = {}
        self._is_possible = (
            self._are_steps_known(cls)
            and not (jobs._log_access or jobs._inherits or jobs._parent_store)
            and not (jobs._check_company_auto or jobs._constraint_methods)
            and not any(map(self._is_filled_by_orm, jobs._fields.values()))
            and not any(field in jobs.env._field_depends_context for field in stored)
            and not self._needs_recomputation(jobs)
        )

    @staticmethod
    def _plain_type(field):
        if field.type == "many2one":
            return int
        if getattr(field, "size", None):
            return None
        return _PLAIN.get(type(field))

    @staticmethod
    def _is_column(jobs, field):
        """Return whether a value of the field is written to its column, and nothing else."""
        return not (
            not field.column_type
            or field.compute
            or field.inverse
            or field.inherited
            or field.company_dependent
            or getattr(field, "translate", False)
            or field.type in ("html", "binary")
            or jobs.pool.field_inverses[field]
        )

    def _are_steps_known(self, cls):
        return all(
            _is_known(function)
            for name in ("create", *_STEPS)
            for function in _overrides(cls, name)
            if function
        )

    @staticmethod
    def _is_filled_by_orm(field):
        """Return whether the ORM may write a field that the values of a row leave out."""
        return (
            field.default
            or field.precompute
            or field.inherited
            or field.type == "properties"
            or (field.compute and field.store)
        )

    @staticmethod
    def _needs_recomputation(jobs):
        """Return whether a new row changes more than values that no cache has of it."""
        tree = jobs.pool.get_trigger_tree(list(jobs._fields.values()))
        # No record refers to a new row by a field of its own.
        return any(field.store for field in tree.root) or any(
            field.type not in _SINGLES for field in tree
        )

    def takes(self, jobs, job):
        """Return whether the ORM has nothing to do but to insert the row of ``job``."""
        cls, env, of_job = type(jobs), jobs.env, job.env
        return (
            self._is_possible
            and env.su
            and env.uid == of_job.uid
            and env.context == of_job.context
            and "_import_current_module" not in env.context
            and jobs._CREATION_CONTEXT.get("tracking_disable")
            and _overrides(cls, "create") == self._creates
            and all(getattr(cls, name) is step for name, step in self._steps)
            and not env["ir.default"]._get_model_defaults(jobs._name)
        )

    def insert(self, jobs, values):
        """Insert a row and put it into the cache; return its id, None where it declines.

        :param values: by column, as :func:`.rows.creation_values` gives them
        """
        if not self._columns.keys() >= values.keys():
            return None
        names = tuple(sorted(values))
        row, cached = self._converted(jobs, names, values)
        cr = jobs.env.cr
        cr.execute(self._statement(names), row)
        (row_id,) = cr.fetchone()
        field_data = jobs.env.transaction.field_data
        for field, empty in self._empty:
            field_data[field][row_id] = cached.get(field.name, empty)
        self._discard_tracking(jobs, row_id)
        return row_id

    def _converted(self, jobs, names, values):
        """Return the values of the columns, and those of the cache by name."""
        row, cached = [], {}
        for name in names:
            value = values[name]
            field, plain_type = self._columns[name]
            if type(value) is not plain_type:
                if type(field) is JobSerialized:
                    value = field.convert_to_cache(value, jobs)
                    row.append(value and json.dumps(value))
                else:
                    row.append(field.convert_to_column_insert(value, jobs, values))
                    value = field.convert_to_cache(value, jobs)
            else:
                row.append(value)
            cached[name] = value
        return row, cached

    def _statement(self, names):
        """Return the text of the INSERT of these columns, with places for the values."""
        if names not in self._statements:
            self._statements[names] = SQL(
                sql.insert_row,
                columns=SQL(", ").join(map(SQL.identifier, names)),
                values=SQL(", ").join(map(SQL, ["%s"] * len(names), names)),
            ).code
        return self._statements[names]

    @staticmethod
    def _discard_tracking(jobs, row_id):
        """Let mail track no value of a row that this transaction has made."""
        tracked = jobs.env.cr.precommit.data.get(f"mail.tracking.{jobs._name}")
        if tracked is not None:
            tracked[row_id] = None
            return
        context = clean_context(jobs.env.context) | jobs._CREATION_CONTEXT
        jobs.browse(row_id).with_context(context)._track_discard()  # pylint: disable=context-overridden # no defaults
