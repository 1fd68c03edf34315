# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import ast
import logging
import re
from collections import namedtuple

from odoo import api, exceptions, fields, models, tools

from ..fields import JobSerialized
from .install import create_or_reuse

_logger = logging.getLogger(__name__)

regex_job_function_name = re.compile(r"^<([0-9a-z_\.]+)>\.([0-9a-zA-Z_]+)$")

RELATED_ACTION_KEYS = ("enable", "func_name", "kwargs")
# What these models define belongs to the framework, on whichever model it is.
FRAMEWORK_MODELS = ("base", "mail.thread", "mail.activity.mixin")
# What this addon itself defines on `queue.job` as related action or hook.
OWN_CALLABLES = ("related_action_", "_test_on_fail")
OWN_PACKAGE = __name__.split(".models.")[0]


class QueueJobFunction(models.Model):
    """The settings of the jobs of one method.

    A method without a record has the settings of ``job_default_config``.
    """

    _name = "queue.job.function"
    _description = "Job Functions"
    _log_access = False

    JobConfig = namedtuple(
        "JobConfig",
        "channel "
        "retry_pattern "
        "related_action_enable "
        "related_action_func_name "
        "related_action_kwargs "
        "job_function_id "
        "allow_commit "
        "on_fail_method_name",
    )

    def _default_channel(self):
        return self.env.ref("queue_job.channel_root")

    name = fields.Char(
        compute="_compute_name",
        inverse="_inverse_name",
        index=True,
        store=True,
    )
    model_id = fields.Many2one(
        comodel_name="ir.model",
        string="Model",
        ondelete="cascade",
    )
    method = fields.Char()
    on_fail_method = fields.Char(
        string="Method on Failure",
        help="Name of a method of the same model, called when a job of this "
        "function has failed for good.",
    )
    channel_id = fields.Many2one(
        comodel_name="queue.job.channel",
        string="Channel",
        required=True,
        default=lambda self: self._default_channel(),
    )
    channel = fields.Char(
        related="channel_id.complete_name",
        store=True,
        readonly=True,
    )
    retry_pattern = JobSerialized(string="Retry Pattern (serialized)", base_type=dict)
    edit_retry_pattern = fields.Text(
        string="Retry Pattern",
        compute="_compute_edit_retry_pattern",
        inverse="_inverse_edit_retry_pattern",
        help="Seconds to wait before the next try, by number of tries so far:\n"
        "{1: 10, 5: 60, 10: (300, 600)} waits 10 seconds after tries 1 to 4, a minute "
        "after tries 5 to 9, then 5 to 10 minutes, chosen at random.\n"
        "When empty, each try waits 10 minutes.",
    )
    related_action = JobSerialized(string="Related Action (serialized)", base_type=dict)
    edit_related_action = fields.Text(
        string="Related Action",
        compute="_compute_edit_related_action",
        inverse="_inverse_edit_related_action",
        help="What the button 'Related' of a job opens:\n"
        '{"enable": True, "func_name": "related_action_foo", '
        '"kwargs": {"limit": 10}} calls a method of the jobs with these arguments.\n'
        '{"enable": False} disables the button. When empty, the records of '
        "the job are opened.",
    )
    allow_commit = fields.Boolean(
        help="Allows the job to commit while it runs, and runs it in a transaction of "
        "its own. What it has committed stays when the job fails or is run again: "
        "the method must cope with that.",
    )

    @api.depends("model_id.model", "method")
    def _compute_name(self):
        for record in self:
            if record.model_id and record.method:
                record.name = self.job_function_name(record.model_id.model, record.method)
            else:
                record.name = ""

    def _inverse_name(self):
        for record in self:
            record.model_id, record.method = record._model_and_method(record.name)

    @api.depends("retry_pattern")
    def _compute_edit_retry_pattern(self):
        for record in self:
            record.edit_retry_pattern = str(record._parse_retry_pattern())

    def _inverse_edit_retry_pattern(self):
        for record in self:
            record.retry_pattern = record._parse_typed(
                record.edit_retry_pattern, record._retry_pattern_help()
            )

    @api.depends("related_action")
    def _compute_edit_related_action(self):
        for record in self:
            record.edit_related_action = str(record.related_action)

    def _inverse_edit_related_action(self):
        for record in self:
            record.related_action = record._parse_typed(
                record.edit_related_action, record._related_action_help()
            )

    @api.constrains("retry_pattern")
    def _check_retry_pattern(self):
        for record in self:
            pattern = record.retry_pattern
            if not _is_retry_pattern(pattern):
                raise exceptions.ValidationError(record._retry_pattern_help())

    @api.constrains("related_action")
    def _check_related_action(self):
        for record in self:
            if not _is_related_action(record.related_action):
                raise exceptions.ValidationError(record._related_action_help())
            if name := record.related_action.get("func_name"):
                record._refuse_callable_name("queue.job", name)

    @api.constrains("on_fail_method", "model_id")
    def _check_on_fail_method(self):
        for record in self:
            if record.on_fail_method and record.model_id:
                record._refuse_callable_name(record.model_id.model, record.on_fail_method)

    @api.onchange("model_id", "method", "on_fail_method", "edit_related_action")
    def _onchange_names(self):
        """Tell about names that exist nowhere: they are allowed, a module may bring them."""
        model = self.model_id.model
        if self.method and not self._find_method(model, self.method):
            return self._missing_method_warning(model, self.method)
        if self.on_fail_method and not self._find_method(model, self.on_fail_method):
            return self._missing_method_warning(model, self.on_fail_method)
        twin = self.search(
            [("name", "=", self.name or False), ("id", "not in", self._origin.ids)], limit=1
        )
        if self.name and twin:
            return self._warning(
                self.env._(
                    "There is a job function for %(name)s already. Only the first one "
                    "is used: change that one instead.",
                    name=self.name,
                )
            )

    @api.model_create_multi
    def create(self, vals_list):
        create = super().create
        if self.env.context.get("install_mode"):
            records = create_or_reuse(create, vals_list, self._find_declared)
        else:
            records = create(vals_list)
        self.env.registry.clear_cache()
        return records

    def write(self, vals):
        result = super().write(vals)
        self.env.registry.clear_cache()
        return result

    def unlink(self):
        result = super().unlink()
        self.env.registry.clear_cache()
        return result

    @staticmethod
    def job_function_name(model_name, method_name):
        return f"<{model_name}>.{method_name}"

    @api.private
    def job_default_config(self):
        return self.JobConfig(
            channel="root",
            retry_pattern={},
            related_action_enable=True,
            related_action_func_name=None,
            related_action_kwargs={},
            job_function_id=None,
            allow_commit=False,
            on_fail_method_name=None,
        )

    @api.private
    @tools.ormcache("name")
    def job_config(self, name):
        """Return the settings of the jobs of function ``name``, from the cache.

        Of several records of one name the oldest counts.
        """
        function = self.search([("name", "=", name)], order="id", limit=1)
        if not function:
            return self.job_default_config()
        action = function.related_action
        return self.JobConfig(
            channel=function.channel,
            retry_pattern=function._parse_retry_pattern(),
            related_action_enable=action.get("enable", True),
            related_action_func_name=action.get("func_name"),
            related_action_kwargs=action.get("kwargs", {}),
            job_function_id=function.id,
            allow_commit=function.allow_commit,
            on_fail_method_name=function.on_fail_method,
        )

    def _parse_retry_pattern(self):
        """Return the pattern with whole numbers as keys and pairs as tuples."""
        try:
            return {
                int(tries): tuple(seconds) if isinstance(seconds, list) else seconds
                for tries, seconds in self.retry_pattern.items()
            }
        except (ValueError, TypeError):
            _logger.error(
                "Retry pattern of job function %s is invalid, ignored: %s",
                self.name,
                self.retry_pattern,
            )
            return {}

    def _find_declared(self, vals):
        """Return the function that ``vals`` of an XML record declare again."""
        if vals.get("name"):
            domain = [("name", "=", vals["name"])]
        elif vals.get("model_id") and vals.get("method"):
            domain = [("model_id", "=", vals["model_id"]), ("method", "=", vals["method"])]
        else:
            return self.browse()
        return self.search(domain, order="id", limit=1)

    def _model_and_method(self, name):
        match = regex_job_function_name.match(name or "")
        if not match:
            raise exceptions.UserError(
                self.env._(
                    "'%s' is not the name of a job function. Write the model between angle "
                    "brackets, a dot and the method, like '<sale.order>.action_confirm'.",
                    name,
                )
            )
        model = self.env["ir.model"].sudo().search([("model", "=", match[1])], limit=1)
        if not model:
            raise exceptions.UserError(
                self.env._(
                    "There is no model '%(model)s': the job function '%(name)s' cannot be kept.",
                    model=match[1],
                    name=name,
                )
            )
        return model, match[2]

    # Which methods may be named

    @api.model
    def _check_callable_name(self, model_name, name):
        """Raise UserError unless ``name`` is a method of the model that may be named.

        To be asked before a related action or an on-fail hook is called, as what
        is configured may not exist yet when it is saved.
        """
        self._refuse_callable_name(model_name, name)
        if not self._find_method(model_name, name):
            raise exceptions.UserError(
                self.env._(
                    "There is no method '%(name)s' on the model '%(model)s'. Check the name "
                    "in the job function, or install the module that brings the method.",
                    name=name,
                    model=model_name,
                )
            )

    @api.model
    def _refuse_callable_name(self, model_name, name):
        """Raise ValidationError when ``name`` is not meant as related action or hook.

        That is so for what the framework itself has (create, unlink, write...),
        for what is not a method, and for the moves of a job.
        """
        framework = any(
            hasattr(self.env.registry[framework_model], name)
            for framework_model in FRAMEWORK_MODELS
        )
        if framework or name.startswith("__") or self._is_own_method(model_name, name):
            raise exceptions.ValidationError(
                self.env._(
                    "The method '%(name)s' cannot be used here: it is part of the framework. "
                    "Name a method of the model '%(model)s' that was written for this purpose.",
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
            if f"{cls.__module__}.".startswith(f"{OWN_PACKAGE}.")
        )

    @api.model
    def _find_method(self, model_name, name):
        """Return the method of this name, None when there is none."""
        model = self.env.registry.get(model_name)
        method = getattr(model, name, None)
        return method if callable(method) else None

    # What a person reads

    def _parse_typed(self, text, help_text):
        """Return the dict that a person typed; UserError with a help when it is none."""
        try:
            value = ast.literal_eval((text or "").strip() or "{}")
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise exceptions.UserError(
                self.env._("'%(text)s' cannot be read.", text=text) + "\n\n" + help_text
            ) from error
        if not isinstance(value, dict):
            raise exceptions.UserError(help_text)
        return value

    def _retry_pattern_help(self):
        return self.env._(
            "The retry pattern of %(name)s is not valid. It gives the seconds to wait by "
            "number of tries, all as whole numbers, or as pairs of shortest and longest wait:\n"
            "{1: 10, 5: 60, 10: (300, 600)}",
            name=self.name,
        )

    def _related_action_help(self):
        return self.env._(
            "The related action of %(name)s is not valid. It may hold these three entries:\n"
            '{"enable": True, "func_name": "related_action_foo", "kwargs": {"limit": 10}}',
            name=self.name,
        )

    def _missing_method_warning(self, model_name, name):
        return self._warning(
            self.env._(
                "There is no method '%(name)s' on the model '%(model)s'. The function can be "
                "saved, but its jobs fail as long as the method is missing.",
                name=name,
                model=model_name,
            )
        )

    def _warning(self, message):
        return {"warning": {"title": self.env._("Job function"), "message": message}}


def _is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_retry_pattern(pattern):
    """Tell if the keys are whole numbers and the values whole numbers or pairs of them."""
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
        set(action) <= set(RELATED_ACTION_KEYS)
        and isinstance(action.get("func_name") or "", str)
        and isinstance(action.get("kwargs") or {}, dict)
    )
