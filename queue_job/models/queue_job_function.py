# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import re
from collections import namedtuple

from odoo import api, exceptions, fields, models, tools

from ..fields import JobSerialized
from .install import create_or_reuse

_logger = logging.getLogger(__name__)

regex_job_function_name = re.compile(r"^<([0-9a-z_\.]+)>\.([0-9a-zA-Z_]+)$")


class QueueJobFunction(models.Model):
    """The settings of the jobs of one method.

    A method without a record has the settings of ``job_default_config``. What may
    be configured is checked in ``queue_job_function_checks.py``.
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
        string="User Can Requeue",
        help="Users who can read their own jobs may requeue those that failed.",
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
                record.name = self.job_function_name(
                    record.model_id.model, record.method
                )
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

    @api.model_create_multi
    def create(self, vals_list):
        create = super().create
        vals_list = [self._with_author(vals) for vals in vals_list]
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
        result = super().write(vals)
        self._check_named_methods(vals)
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
