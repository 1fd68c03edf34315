# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import ast
import logging
import re
from collections import namedtuple
from datetime import datetime

from odoo import api, fields, models, tools
from odoo.exceptions import UserError, ValidationError

from .. import retry
from ..fields import JobSerialized
from ..insight import function_figures, throughput
from ..insight.companies import companies_seen
from ..insight.labels import label_of
from ..insight.snapshot import duration_text
from ..options import FREE, NEVER, STEPS
from ..sql import statements as sql
from ..states import DEFAULT_MAX_RETRIES, RETRY_INTERVAL
from .install import create_or_reuse

_logger = logging.getLogger(__name__)

regex_job_function_name = re.compile(r"^<([0-9a-z_\.]+)>\.([0-9a-zA-Z_]+)$")

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
# Setting that names a method: the field that keeps whether a person wrote it last.
BY_USER = {
    "related_action": "related_action_by_user",
    "on_fail_method": "on_fail_method_by_user",
}


class QueueJobFunction(models.Model):
    """The settings of the jobs of one method.

    A method without a record has the settings of ``job_default_config``.

    A method that a person names must be meant for it, because jobs run on behalf of
    other users. Data files and superuser code name any method.
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

    # Settings beyond the contract of JobConfig.
    JobSettings = namedtuple(
        "JobSettings", "commit_mode profiling_enabled", defaults=(NEVER, False)
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
    user_can_requeue = fields.Boolean(
        help="Users who can read their own jobs may requeue those that failed.",
    )
    allow_commit = fields.Boolean(
        help="Allows the job to commit while it runs, and runs it in a transaction of "
        "its own. What it has committed stays when the job fails or is run again: "
        "the method must cope with that.",
    )

    label = fields.Char(
        compute="_compute_label", help="First line of the docstring of the method."
    )
    figures = fields.Json(
        compute="_compute_figures",
        help="How long the jobs take, and how many end well.",
    )
    done_count = fields.Integer(
        string="Done (24 h)", compute="_compute_day", aggregator=None
    )
    failed_count = fields.Integer(
        string="Failed (24 h)", compute="_compute_day", aggregator=None
    )
    mean = fields.Float(compute="_compute_day", aggregator=None)
    longest = fields.Float(compute="_compute_day", aggregator=None)
    retry_text = fields.Char(string="Retries", compute="_compute_retry_text")
    commit_mode = fields.Selection(
        [(NEVER, "Never"), (STEPS, "Steps"), (FREE, "Free")],
        default=NEVER,
        help="Never: all work of a job is one transaction.\n"
        "Steps: the job commits as it goes, and goes on behind its last step when it is run "
        "again.\n"
        "Free: the job commits in a transaction of its own. What it has committed stays when "
        "the job fails or is run again: the method must cope with that.",
    )

    failure_notice = fields.Selection(
        [
            ("nobody", "Nobody"),
            ("chatter", "Followers of the job"),
            ("activity", "A responsible user, by an activity"),
            ("user", "The user of the job, in the web client"),
        ],
        string="Notify of Failures",
        help="Who is notified when a job of this function fails. From the sixth equal "
        "failure within an hour on, one digest counts them instead.",
    )
    failure_user_id = fields.Many2one("res.users", string="Responsible")
    # Names of OCA's queue_job_profiler, so that it can take them over.
    profiling_enabled = fields.Boolean(
        string="Profile", help="Record where the time of the attempts goes."
    )
    profiling_user_ids = fields.Many2many(
        "res.users",
        relation="queue_job_function_profiling_user_rel",
        string="Profile for",
        help="Users whose jobs are profiled; all when empty.",
    )
    profiling_until = fields.Datetime(string="Profile until")
    related_action_by_user = fields.Boolean(readonly=True)
    on_fail_method_by_user = fields.Boolean(readonly=True)

    def init(self):
        """State the commit mode of the records that a release before has made."""
        self.env.cr.execute(sql.fill_commit_modes)

    @api.depends("model_id.model", "method")
    def _compute_name(self):
        for record in self:
            if record.model_id and record.method:
                record.name = self.job_function_name(
                    record.model_id.model, record.method
                )
            else:
                record.name = ""

    @api.depends("name")
    def _compute_label(self):
        for record in self:
            record.label = label_of(self.env, record.name)

    @api.depends("name", "channel")
    @api.depends_context("uid", "allowed_company_ids")
    def _compute_figures(self):
        for record in self:
            record.figures = (
                function_figures.figures(self.env, record.name, record.channel)
                if record._origin and record.name
                else False
            )

    @api.depends("name")
    @api.depends_context("uid", "allowed_company_ids")
    def _compute_day(self):
        rows = throughput.functions(
            self.env, datetime.now(), companies_seen(self.env), with_newest=False
        )
        figures = {row["function"]: row for row in rows}
        for record in self:
            row = figures.get(record.name, {})
            record.done_count = row.get("done", 0)
            record.failed_count = row.get("failed", 0)
            record.mean = row.get("average") or 0
            record.longest = row.get("longest") or 0

    @api.depends("retry_pattern")
    @api.depends_context("lang")
    def _compute_retry_text(self):
        for record in self:
            record.retry_text = record._retry_words()

    def _retry_words(self):
        """Return the retry rule in words, "1 minute, from try 5 on 10 minutes; 5 attempts"."""
        if not retry.is_pattern(self.retry_pattern):
            return ""
        parts = []
        for tries, seconds in sorted(self._parse_retry_pattern().items()):
            if isinstance(seconds, tuple):
                text = self.env._(
                    "%(least)s to %(most)s",
                    least=duration_text(self.env, seconds[0]),
                    most=duration_text(self.env, seconds[1]),
                )
            else:
                text = duration_text(self.env, seconds)
            if parts:
                text = self.env._(
                    "from try %(tries)s on %(wait)s", tries=tries, wait=text
                )
            parts.append(text)
        waits = ", ".join(parts) or duration_text(self.env, RETRY_INTERVAL)
        return self.env._(
            "%(waits)s; %(attempts)s attempts, unless a caller asks for another number",
            waits=waits,
            attempts=DEFAULT_MAX_RETRIES,
        )

    def action_open_jobs(self):
        """Return the action that lists the jobs of this function."""
        self.ensure_one()
        domain = [("channel_method_name", "=", self.name)]
        name = self.env._("Jobs of %s", self.name)
        return self.env["queue.job"]._action_list(name, domain, context={})

    def action_open_failures(self):
        """Return the action that shows the failures of this function by error."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "queue_job.action_queue_job_failure"
        )
        action.pop("path", None)
        return {**action, "domain": [("function", "=", self.name)]}

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
            if not retry.is_pattern(record.retry_pattern):
                raise ValidationError(record._retry_pattern_help())

    @api.constrains("related_action")
    def _check_related_action(self):
        for record in self:
            if not _is_related_action(record.related_action):
                raise ValidationError(record._related_action_help())

    @api.onchange("commit_mode")
    def _onchange_commit_mode(self):
        self.allow_commit = self.commit_mode == FREE

    @api.onchange("allow_commit")
    def _onchange_allow_commit(self):
        if self.allow_commit != (self.commit_mode == FREE):
            self.commit_mode = FREE if self.allow_commit else NEVER

    @api.onchange("model_id", "method", "on_fail_method", "edit_related_action")
    def _onchange_names(self):
        """Warn of names that exist nowhere, and of a second record."""
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

    @api.model_create_multi
    def create(self, vals_list):
        create = super().create
        vals_list = [
            self._with_commit_mode(self._with_author(vals)) for vals in vals_list
        ]
        if self.env.context.get("install_mode"):
            records = create_or_reuse(create, vals_list, self._find_declared)
        else:
            records = create(vals_list)
        for record, vals in zip(records, vals_list, strict=True):
            record._check_named_methods(vals)
        self.env.registry.clear_cache()
        return records

    def write(self, vals):
        vals = self._with_author(vals)
        in_steps = self.filtered(lambda record: record.commit_mode == STEPS)
        if in_steps and "commit_mode" not in vals and vals.get("allow_commit") is False:
            # That is what this mode says already.
            vals = {name: vals[name] for name in vals if name != "allow_commit"}
        result = super().write(self._with_commit_mode(vals))
        self._check_named_methods(vals)
        self.env.registry.clear_cache()
        return result

    def unlink(self):
        result = super().unlink()
        self.env.registry.clear_cache()
        return result

    @staticmethod
    def _with_commit_mode(vals):
        """Return ``vals`` with commit mode and ``allow_commit`` in step."""
        if vals.get("commit_mode"):
            return {**vals, "allow_commit": vals["commit_mode"] == FREE}
        if "allow_commit" in vals:
            return {**vals, "commit_mode": FREE if vals["allow_commit"] else NEVER}
        return vals

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
    def job_config(self, name):
        """Return the settings of the jobs of function ``name``, from the cache.

        Of several records of one name the oldest counts.
        """
        return self._cached_settings(name)[0]

    @api.private
    def job_settings(self, name):
        """Return the newer settings of the jobs of function ``name``, from the cache."""
        return self._cached_settings(name)[1]

    @tools.ormcache("name")
    def _cached_settings(self, name):
        """Return ``(JobConfig, JobSettings)`` of the jobs of function ``name``."""
        function = self.search([("name", "=", name)], order="id", limit=1)
        if not function:
            return self.job_default_config(), self.JobSettings()
        action = function.related_action
        config = self.JobConfig(
            channel=function.channel,
            retry_pattern=function._parse_retry_pattern(),
            related_action_enable=action.get("enable", True),
            related_action_func_name=action.get("func_name"),
            related_action_kwargs=action.get("kwargs", {}),
            job_function_id=function.id,
            allow_commit=function.allow_commit,
            on_fail_method_name=function.on_fail_method,
        )
        settings = self.JobSettings(
            commit_mode=function._effective_commit_mode(),
            profiling_enabled=function.profiling_enabled,
        )
        return config, settings

    def _effective_commit_mode(self):
        """Return the commit mode; code of a release before writes ``allow_commit`` only."""
        if self.allow_commit:
            return FREE
        return STEPS if self.commit_mode == STEPS else NEVER

    # Profiler ---------------------------------------------------------------

    @api.constrains("profiling_enabled", "profiling_until")
    def _check_profiling_until(self):
        for record in self:
            if record.profiling_enabled and not record.profiling_until:
                raise ValidationError(
                    self.env._("Until when are jobs of %s profiled?", record.name)
                )

    def is_profiling_enabled(self):
        """Return whether jobs of this function are profiled now, for the current user."""
        self.ensure_one()
        return bool(
            self.profiling_enabled
            and self.profiling_until
            and fields.Datetime.now() < self.profiling_until
            and (
                not self.profiling_user_ids or self.env.user in self.profiling_user_ids
            )
        )

    def _profile_make_name(self, job):
        """Return the description of the profile of a job's attempt."""
        return f"queue.job {job.uuid} - {job.job_function_name}"

    @api.model
    def _is_profiled_elsewhere(self):
        """Return whether OCA's queue_job_profiler does it."""
        return "queue_job_profiler" in self.pool._init_modules

    def _get_view(self, view_id=None, view_type="form", **options):
        arch, view = super()._get_view(view_id, view_type, **options)
        if self._is_profiled_elsewhere():
            for node in arch.xpath("//*[@name='queue_job_profiling']"):
                node.getparent().remove(node)
        return arch, view

    def _parse_retry_pattern(self):
        """Return the pattern with whole numbers as keys and pairs as tuples."""
        try:
            return {
                int(tries): tuple(seconds) if isinstance(seconds, list) else seconds
                for tries, seconds in self.retry_pattern.items()
            }
        except (ValueError, TypeError, AttributeError):
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
            domain = [
                ("model_id", "=", vals["model_id"]),
                ("method", "=", vals["method"]),
            ]
        else:
            return self.browse()
        return self.search(domain, order="id", limit=1)

    def _model_and_method(self, name):
        match = regex_job_function_name.match(name or "")
        if not match:
            raise UserError(
                self.env._(
                    "'%s' is not the name of a job function. Write the model between angle "
                    "brackets, a dot and the method, like '<sale.order>.action_confirm'.",
                    name,
                )
            )
        model = self.env["ir.model"].sudo().search([("model", "=", match[1])], limit=1)
        if not model:
            raise UserError(
                self.env._(
                    "There is no model '%(model)s': the job function '%(name)s' cannot be kept.",
                    model=match[1],
                    name=name,
                )
            )
        return model, match[2]

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

    # Methods that a person may name

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
        self.env.cr.execute(sql.named_methods)
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
        for record in self.search([("related_action", "!=", False)]):
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

    # Texts of people

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


def _addon_of(cls):
    """Return the addon that defines a class, "" for Odoo itself and for Python."""
    package, _, module = cls.__module__.partition("odoo.addons.")
    return "" if package else module.partition(".")[0]


def _is_related_action(action):
    """Return whether the entries are known and of the right types."""
    return (
        isinstance(action, dict)
        and set(action) <= set(RELATED_ACTION_KEYS)
        and isinstance(action.get("func_name") or "", str)
        and isinstance(action.get("kwargs") or {}, dict)
    )
