# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import ast

from odoo import api, models
from odoo.exceptions import UserError, ValidationError

RETRY_PATTERN_EXAMPLE = "{1: 10, 5: 60, 10: (300, 600)}"
RELATED_ACTION_EXAMPLE = (
    '{"enable": True, "func_name": "related_action_foo", "kwargs": {"limit": 10}}'
)
RELATED_ACTION_KEYS = ("enable", "func_name", "kwargs")
# What these models define belongs to the framework, on whichever model it is.
FRAMEWORK_MODELS = ("base", "mail.thread", "mail.activity.mixin")
# What this addon itself defines on `queue.job` as related action or hook.
OWN_CALLABLES = ("related_action_", "_test_on_fail")
OWN_PACKAGE = __name__.split(".models.")[0] + "."


class QueueJobFunction(models.Model):
    """What may be configured for a job function, and how people are told.

    A related action or an on-fail method that does not exist is accepted, for
    another module may bring it; one that is not meant for that is not.
    """

    _inherit = "queue.job.function"

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
            if name := record.related_action.get("func_name"):
                record._refuse_callable_name("queue.job", name)

    @api.constrains("on_fail_method", "model_id")
    def _check_on_fail_method(self):
        for record in self:
            if record.on_fail_method and record.model_id:
                record._refuse_callable_name(
                    record.model_id.model, record.on_fail_method
                )

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

    # Which methods may be named

    @api.model
    def _check_callable_name(self, model_name, name):
        """Raise UserError unless ``name`` is a method of the model that may be named.

        To be asked before a related action or an on-fail hook is called, as what
        is configured may not exist yet when it is saved.
        """
        self._refuse_callable_name(model_name, name)
        if not self._find_method(model_name, name):
            raise UserError(self._missing_method_text(model_name, name))

    @api.model
    def _refuse_callable_name(self, model_name, name):
        """Raise ValidationError when ``name`` is not meant as related action or hook.

        That is so for what the framework itself has (create, unlink, write...)
        and for the moves of a job (requeue, button_done...).
        """
        framework = any(
            hasattr(self.env.registry[framework_model], name)
            for framework_model in FRAMEWORK_MODELS
        )
        if framework or self._is_own_method(model_name, name):
            raise ValidationError(
                self.env._(
                    "The method '%(name)s' cannot be used here: it is part of the "
                    "framework. Name a method of the model '%(model)s' that was "
                    "written for this purpose.",
                    name=name,
                    model=model_name,
                )
            )

    @api.model
    def _is_own_method(self, model_name, name):
        """Tell if ``name`` is a method of the job itself, such as ``requeue``."""
        if model_name != "queue.job" or name.startswith(OWN_CALLABLES):
            return False
        return any(
            name in vars(cls)
            for cls in self.env.registry[model_name].__mro__
            if cls.__module__.startswith(OWN_PACKAGE)
        )

    @api.model
    def _find_method(self, model_name, name):
        """Return the method of this name, None when there is none."""
        method = getattr(self.env.registry.get(model_name), name, None)
        return method if callable(method) else None

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


def _is_related_action(action):
    """Tell if the entries are known and of the right types."""
    return (
        isinstance(action, dict)
        and set(action) <= set(RELATED_ACTION_KEYS)
        and isinstance(action.get("func_name") or "", str)
        and isinstance(action.get("kwargs") or {}, dict)
    )
