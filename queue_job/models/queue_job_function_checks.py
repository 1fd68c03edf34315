# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import ast
import logging

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError

_logger = logging.getLogger(__name__)

RETRY_PATTERN_EXAMPLE = "{1: 10, 5: 60, 10: (300, 600)}"
RELATED_ACTION_EXAMPLE = (
    '{"enable": True, "func_name": "related_action_foo", "kwargs": {"limit": 10}}'
)
RELATED_ACTION_KEYS = ("enable", "func_name", "kwargs")
# Methods that Odoo's addons define on these models exist on every model.
FRAMEWORK_MODELS = ("base", "mail.thread", "mail.activity.mixin")
# Related actions by name, and the attribute that marks one of another name.
RELATED_ACTION_PREFIX = "related_action_"
RELATED_ACTION_MARK = "_queue_job_related_action"
OWN_HOOKS = ("_test_on_fail",)
SUITE = "queue_job"
# By to_jsonb, because a database before its update lacks columns.
NAMES = """
SELECT COALESCE(data.module || '.' || data.name, function.name), model.model,
    ARRAY[function.method, to_jsonb(function) ->> 'on_fail_method']
FROM queue_job_function AS function
JOIN ir_model AS model ON model.id = function.model_id
LEFT JOIN ir_model_data AS data
  ON data.model = 'queue.job.function' AND data.res_id = function.id
ORDER BY function.id
"""
# Setting that names a method: the field that keeps whether a person wrote it last.
BY_USER = {
    "related_action": "related_action_by_user",
    "on_fail_method": "on_fail_method_by_user",
}


class QueueJobFunction(models.Model):
    """Checks of the settings of a job function, and their texts.

    A method that a person names must be meant for it, because jobs run on behalf of
    other users. Data files and superuser code name any method.
    """

    _inherit = "queue.job.function"

    related_action_by_user = fields.Boolean(readonly=True)
    on_fail_method_by_user = fields.Boolean(readonly=True)

    def _with_author(self, vals):
        """Return ``vals`` with the author of each setting that they state.

        A person who moves a job function to another method is the author of both.
        """
        by_user = not self.env.su
        moved = by_user and not {"model_id", "method"}.isdisjoint(vals)
        authors = {
            author: by_user
            for setting, author in BY_USER.items()
            if moved or setting in vals
        }
        stated = {name: vals[name] for name in vals if name not in BY_USER.values()}
        return {**stated, **authors}

    @api.constrains("retry_pattern")
    def _check_retry_pattern(self):
        for record in self:
            if not _is_retry_pattern(record.retry_pattern):
                raise ValidationError(record._retry_pattern_help())

    @api.constrains("related_action")
    def _check_related_action(self):
        for record in self:
            if not _is_related_action(record.related_action):
                raise ValidationError(record._related_action_help())

    def _check_named_methods(self, vals):
        """Raise ValidationError for a method in ``vals`` that a person may not name.

        No constraint, because those run as superuser.
        """
        for record in self:
            action = record.related_action.get("func_name")
            if vals.get("related_action_by_user") and action:
                if not self._may_name_related_action(action):
                    raise ValidationError(record._refused_related_action_text(action))
            if vals.get("on_fail_method_by_user") and record.on_fail_method:
                model = record.sudo().model_id.model
                self._check_hook(model, record.on_fail_method)

    @api.onchange("model_id", "method", "on_fail_method", "edit_related_action")
    def _onchange_names(self):
        """Tell about names that exist nowhere, and about a second record."""
        for model, name in self._named_methods():
            if not self._find_method(model, name):
                return self._warning(self._missing_method_text(model, name))
        if self._find_twin():
            return self._warning(
                self.env._(
                    "There is a job function for %(name)s already. Only the first one "
                    "is used: change that one instead.",
                    name=self.name,
                )
            )
        return None

    def _named_methods(self):
        """Return ``(model, method)`` for each method that the form names."""
        model = self.model_id.model
        named = [(model, self.method), (model, self.on_fail_method)] if model else []
        action = _literal(self.edit_related_action)
        if isinstance(action, dict):
            named.append(("queue.job", action.get("func_name")))
        return [
            (model, name) for model, name in named if name and isinstance(name, str)
        ]

    def _find_twin(self):
        domain = [("name", "=", self.name), ("id", "not in", self._origin.ids)]
        return self.name and self.search(domain, limit=1)

    # Methods that a person may name

    @api.model
    def _may_name_related_action(self, name):
        """Return whether a person may name this method of ``queue.job``."""
        jobs = self.env.registry["queue.job"]
        return name.startswith(RELATED_ACTION_PREFIX) or any(
            getattr(vars(cls).get(name), RELATED_ACTION_MARK, False) is True
            for cls in (jobs, *jobs._model_classes__)
        )

    @api.model
    def _check_hook(self, model_name, name):
        """Raise ValidationError unless a person may name this on-fail method.

        It must exist, because each call of the job function would fail otherwise.
        """
        if not self._find_method(model_name, name):
            raise ValidationError(self._missing_method_text(model_name, name))
        if self._is_framework_method(model_name, name):
            raise ValidationError(
                self.env._(
                    "The method '%(name)s' cannot be used here: it is part of the "
                    "framework. Name a method of the model '%(model)s' that was "
                    "written for this purpose.",
                    name=name,
                    model=model_name,
                )
            )

    def _is_framework_method(self, model_name, name):
        """Return whether Odoo defines the method on all models, or this suite on its own."""
        registry = self.env.registry
        if name in OWN_HOOKS and model_name == "queue.job":
            return False
        third_parties = self._third_parties()
        return any(
            name in vars(cls) and _addon_of(cls) not in third_parties
            for framework_model in FRAMEWORK_MODELS
            for cls in registry[framework_model]._model_classes__
        ) or any(
            name in vars(cls) and _addon_of(cls).startswith(SUITE)
            for cls in registry[model_name]._model_classes__
        )

    def _third_parties(self):
        """Return the names of the addons that depend on this one, but for its siblings."""
        modules = self.env["ir.module.module"].sudo()
        this = modules.search([("name", "=", SUITE)])
        names = (this.downstream_dependencies() - this).mapped("name")
        return {name for name in names if not name.startswith(SUITE)}

    def _is_refused_related_action(self, name):
        """Return whether a person set this action, which is not meant for it."""
        function = self.sudo().exists()
        return function.related_action_by_user and not self._may_name_related_action(
            name
        )

    def _check_hook_of_user(self, model_name, name):
        """Raise ValidationError when a person set this hook, which is not meant for it."""
        if self.sudo().exists().on_fail_method_by_user:
            self._check_hook(model_name, name)

    @api.model
    def _find_method(self, model_name, name):
        """Return the method of this name, None when there is none."""
        method = getattr(self.env.registry.get(model_name), name, None)
        return method if callable(method) else None

    def _register_hook(self):
        """Log the methods of job functions that exist nowhere."""
        super()._register_hook()
        self.env.cr.execute(NAMES)
        for function, model, names in self.env.cr.fetchall():
            for name in filter(None, names):
                if not self._find_method(model, name):
                    _logger.warning(
                        "job function %s: model %s has no method %s",
                        *(function, model, name),
                    )

    @api.model
    def _log_refused_methods(self):
        """Log the methods that a person could not name, for the end of an upgrade."""
        for record in self.search([]):
            action = record.related_action.get("func_name")
            if action and not self._may_name_related_action(action):
                _logger.warning(
                    "job function %s: %s is not meant as related action; %s",
                    *(record.name, action),
                    "answering 'No action available'"
                    if record.related_action_by_user
                    else "kept, because a module declares it",
                )
            if hook := record.on_fail_method:
                try:
                    self._check_hook(record.model_id.model, hook)
                except ValidationError as error:
                    _logger.warning(
                        "job function %s: on-fail method: %s", record.name, error
                    )

    # What people type and read

    def _parse_typed(self, text, help_text):
        """Return the dict that a person typed; UserError with a help when it is none."""
        value = _literal(text)
        if not isinstance(value, dict):
            raise UserError(help_text)
        return value

    def _retry_pattern_help(self):
        return self.env._(
            "The retry pattern of %(name)s is not valid. It gives the seconds to wait "
            "by number of tries, all as whole numbers, or as pairs of shortest and "
            "longest wait:\n%(example)s",
            name=self.name,
            example=RETRY_PATTERN_EXAMPLE,
        )

    def _related_action_help(self):
        return self.env._(
            "The related action of %(name)s is not valid. It may hold these three "
            "entries:\n%(example)s",
            name=self.name,
            example=RELATED_ACTION_EXAMPLE,
        )

    def _refused_related_action_text(self, name):
        return self.env._(
            "The method '%(name)s' cannot be a related action: its name does not begin "
            "with '%(prefix)s'. Rename it, or let its module set %(mark)s = True on it.",
            name=name,
            prefix=RELATED_ACTION_PREFIX,
            mark=RELATED_ACTION_MARK,
        )

    def _missing_method_text(self, model_name, name):
        return self.env._(
            "There is no method '%(name)s' on the model '%(model)s'. Check the name in "
            "the job function, or install the module that brings the method.",
            name=name,
            model=model_name,
        )

    def _warning(self, message):
        return {"warning": {"title": self.env._("Job function"), "message": message}}


def _literal(text):
    """Return the value of a Python literal, ``{}`` without text, None when unreadable."""
    try:
        return ast.literal_eval((text or "").strip() or "{}")
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_retry_pattern(pattern):
    """Tell if keys are whole numbers, and values whole numbers or pairs of them."""
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


def _addon_of(cls):
    """Return the addon that defines a class, "" for Odoo itself and for Python."""
    package, _, module = cls.__module__.partition("odoo.addons.")
    return "" if package else module.partition(".")[0]


def _is_related_action(action):
    """Tell if the entries are known and of the right types."""
    return (
        isinstance(action, dict)
        and set(action) <= set(RELATED_ACTION_KEYS)
        and isinstance(action.get("func_name") or "", str)
        and isinstance(action.get("kwargs") or {}, dict)
    )
