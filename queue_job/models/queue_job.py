# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import random
import sys
import time

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools.misc import clean_context

from odoo.addons.base_sparse_field.models.fields import Serialized

from .. import notify
from ..exception import JobError, RetryableJobError
from ..fields import JobSerialized
from ..jobrunner.channel_config import full_name
from ..states import (
    CAN_CANCEL,
    CAN_REQUEUE,
    CAN_SET_DONE,
    CANCELLED,
    DONE,
    FAILED,
    PENDING,
    STATES,
)

_logger = logging.getLogger(__name__)

# Where a client's values pass on their way to `write`.
_CLIENT_WRITES = ("write", "web_save", "web_save_multi", "load")
_CLIENT_MODULES = (
    *("odoo.http", "odoo.service.", "odoo.addons.rpc."),
    *("odoo.addons.web.controllers.", "odoo.addons.base_import."),
)
_ERROR_FIELDS = ("exc_name", "exc_message", "exc_info")


class QueueJob(models.Model):
    """The rows of the jobs: what people see and do with them.

    What moves rows for the executor and the runner is in
    ``queue_job_store.py``, what ties jobs together in ``queue_job_graph.py``, what
    people are told of a failure in ``queue_job_message.py``, when old rows go in
    ``queue_job_vacuum.py``.
    """

    _name = "queue.job"
    _description = "Queue Job"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _log_access = False
    _order = "date_created DESC, date_done DESC"

    _removal_interval = 30  # days
    _default_related_action = "related_action_open_record"

    # No message, no follower, no tracking: a job is made as cheaply as a row.
    _CREATION_CONTEXT = {
        "mail_create_nolog": True,
        "mail_create_nosubscribe": True,
        "tracking_disable": True,
    }
    # Proof that the code of this addon, not a caller, rewrites what a job calls.
    EDIT_SENTINEL = object()
    _protected_fields = (
        "uuid",
        "name",
        "date_created",
        "model_name",
        "method_name",
        "func_string",
        "channel_method_name",
        "job_function_id",
        "records",
        "args",
        "kwargs",
    )
    # What only methods of jobs may move, on behalf of people with access rights.
    _moved_fields = (
        "state",
        "retry",
        "run_number",
        "company_id",
        "graph_uuid",
        "identity_key",
        "twin_key",
        "twin_states",
        "record_id",
        "record_ids",
        "dependencies",
        "date_enqueued",
        "date_started",
        "date_done",
        "date_cancelled",
        "exec_time",
        "worker_pid",
        "result",
        "exc_name",
        "exc_message",
        "exc_info",
        "exc_cause",
        "to_report",
    )

    uuid = fields.Char(string="UUID", readonly=True, required=True, index=True)
    graph_uuid = fields.Char(string="Graph UUID", readonly=True, index="btree_not_null")
    user_id = fields.Many2one("res.users", string="User ID")
    company_id = fields.Many2one("res.company", index=True)
    name = fields.Char(string="Description", readonly=True)

    model_name = fields.Char(string="Model", readonly=True)
    method_name = fields.Char(readonly=True)
    records = JobSerialized(
        string="Record(s)", readonly=True, base_type=models.BaseModel, exact=True
    )
    args = JobSerialized(readonly=True, base_type=tuple, exact=True)
    kwargs = JobSerialized(readonly=True, base_type=dict, exact=True)
    dependencies = Serialized(readonly=True)
    func_string = fields.Char(string="Task", readonly=True)

    # No index of its own, like the channel: others begin with it.
    state = fields.Selection(STATES, readonly=True, required=True)
    priority = fields.Integer(aggregator=False)
    exc_name = fields.Char(string="Exception", readonly=True)
    exc_message = fields.Char(string="Exception Message", readonly=True, tracking=True)
    exc_info = fields.Text(string="Exception Info", readonly=True)
    exc_cause = fields.Char(
        string="Cause",
        readonly=True,
        help="Error behind an exception that only says that the tries are used up.",
    )
    result = fields.Text(readonly=True)

    date_created = fields.Datetime(string="Created Date", readonly=True)
    date_started = fields.Datetime(string="Start Date", readonly=True)
    date_enqueued = fields.Datetime(string="Enqueue Time", readonly=True)
    date_done = fields.Datetime(readonly=True)
    exec_time = fields.Float(
        string="Execution Time (avg)", readonly=True, aggregator="avg"
    )
    date_cancelled = fields.Datetime(readonly=True)

    eta = fields.Datetime(string="Execute only after")
    retry = fields.Integer(string="Current try")
    max_retries = fields.Integer(string="Max. retries")
    channel_method_name = fields.Char(string="Complete Method Name", readonly=True)
    job_function_id = fields.Many2one("queue.job.function", readonly=True)
    channel = fields.Char()
    identity_key = fields.Char(readonly=True)
    worker_pid = fields.Integer(readonly=True)

    run_number = fields.Integer(
        readonly=True, help="How often a worker has claimed this job."
    )
    twin_key = fields.Char(
        readonly=True, help="Key that a policy reserves for this job."
    )
    twin_states = fields.Char(
        readonly=True, help="States in which the policy blocks a twin."
    )
    can_user_requeue = fields.Boolean(compute="_compute_can_user_requeue")
    to_report = fields.Boolean(readonly=True, help="The failure was not announced yet.")

    # Hash, because a key may be longer than an entry of a btree.
    _identity_key_state_partial_index = models.Index(
        "USING hash (identity_key) WHERE state IN ('pending', 'enqueued', 'wait_dependencies') "
        "AND identity_key IS NOT NULL"
    )
    _twin_key_index = models.Index(
        "(twin_key, state) WHERE twin_key IS NOT NULL AND state <> 'done'"
    )
    _channel_date_done_date_created_index = models.Index(
        "(channel, date_done, date_created)"
    )
    # What the runner chooses from: partial, so that the jobs that ended cost nothing.
    # The expressions are those of the statements in jobrunner/statements.py.
    _candidates_index = models.Index(
        "(channel, COALESCE(priority, 0), "
        "COALESCE(date_created, '1970-01-01 00:00:00'::timestamp), id) "
        "WHERE state = 'pending' AND eta IS NULL"
    )
    _eta_index = models.Index(
        "(channel, eta, id) WHERE state = 'pending' AND eta IS NOT NULL"
    )
    _running_index = models.Index(
        "(date_enqueued) WHERE state IN ('enqueued', 'started')"
    )
    _failed_index = models.Index("(channel, id) WHERE state = 'failed'")
    _to_report_index = models.Index("(id) WHERE to_report")
    _waiting_index = models.Index("(id) WHERE state = 'wait_dependencies'")

    def init(self):
        execute = self.env.cr.execute
        notify.install(execute, notify.JOB_TRIGGERS)
        self._create_claim_functions()
        self._create_release_functions()
        # A queue rewrites its rows some five times and looks at the newest:
        # leave room in the pages, and vacuum by number, not by share.
        execute(
            """
            ALTER TABLE queue_job SET (
                fillfactor = 70,
                autovacuum_vacuum_scale_factor = 0.01,
                autovacuum_vacuum_threshold = 1000,
                autovacuum_analyze_scale_factor = 0.02,
                autovacuum_analyze_threshold = 1000
            )
            """
        )

    # Create, write ----------------------------------------------------------

    @api.private
    @api.model_create_multi
    def create(self, vals_list):
        vals_list = [self._with_full_channel(vals) for vals in vals_list]
        for name in {vals.get("channel") for vals in vals_list} - {None, False, ""}:
            self.env["queue.job.channel"]._warn_unlimited(name)
        # Overrides of other modules see the caller's context, the columns do not.
        quiet = self.with_context(
            {**clean_context(self.env.context), **self._CREATION_CONTEXT}
        )
        return super(QueueJob, quiet).create(vals_list).with_env(self.env)

    def write(self, vals):
        if "state" in vals and self._is_moved_by_code_of_person():
            state, vals = vals["state"], {**vals}
            del vals["state"]
            self._check_writable(vals)
            self._move_as_by_button(state)
        self._check_writable(vals)
        vals = self._with_full_channel(vals)
        if "user_id" in vals:
            self._set_user(vals["user_id"])
        if vals.get("state") == FAILED:
            # The message may tell the error: that is written before, the state after.
            error = {name: vals[name] for name in _ERROR_FIELDS if name in vals}
            super().write(error)
            self._message_post_on_failure()
        return super().write(vals)

    def _check_writable(self, vals):
        """Refuse what would make a job do something else, or skip its moves."""
        if self.env.context.get("_job_edit_sentinel") is self.EDIT_SENTINEL:
            return
        refused = [name for name in self._protected_fields if name in vals]
        if not self.env.su:
            refused += [name for name in self._moved_fields if name in vals]
            if "user_id" in vals and not self._may_assign(vals["user_id"]):
                refused.append("user_id")
        if refused:
            raise AccessError(
                self.env._(
                    "Not allowed to change field(s): %s of a job", ", ".join(refused)
                )
            )

    def _with_full_channel(self, vals):
        """Return ``vals`` with the name of the channel from the root on."""
        channel = vals.get("channel")
        if channel and isinstance(channel, str):
            return {**vals, "channel": full_name(channel)}
        return vals

    def _is_moved_by_code_of_person(self):
        """Return whether code of the server writes a state with the rights of a person.

        A client may move jobs by the methods of the buttons only.
        """
        if self.env.su or "_job_edit_sentinel" in self.env.context:
            return False
        frame, module = sys._getframe(1), ""
        while frame.f_code.co_name in _CLIENT_WRITES or module.startswith("odoo.orm."):
            frame = frame.f_back
            # The code of a server action has no module.
            module = frame.f_globals.get("__name__") or ""
        return not module.startswith(_CLIENT_MODULES)

    def _move_as_by_button(self, state):
        """Move jobs to a state; AccessError where no button does."""
        buttons = {
            DONE: (CAN_SET_DONE, self.button_done),
            PENDING: (CAN_REQUEUE, self.requeue),
            CANCELLED: (CAN_CANCEL, self.button_cancelled),
        }
        states, button = buttons.get(state, ((), None))
        if any(job.state not in (state, *states) for job in self):
            self._check_writable({"state": state})
        if button:
            button()

    def _may_assign(self, user_id):
        return user_id == self.env.uid or self.env.user._is_system()

    def _set_user(self, user_id):
        """Let the stored recordsets run as another user, without superuser mode.

        Recordsets of a model that is gone stay as they are.
        """
        if not user_id:
            return
        editor = self.with_context(_job_edit_sentinel=self.EDIT_SENTINEL)
        for job in editor:
            if job.records._name == "base":
                continue
            if job.records.env.uid != user_id or job.records.env.su:
                job.records = job.records.with_user(user_id)

    # Buttons ----------------------------------------------------------------

    def button_done(self):
        result = self.env._("Manually set to done by %s", self.env.user.name)
        self.filtered(lambda job: job.state in CAN_SET_DONE)._change_job_state(
            DONE, result=result
        )
        return True

    def button_cancelled(self):
        result = self.env._("Cancelled by %s", self.env.user.name)
        # A job selected together with its parent is cancelled as a dependent.
        jobs = self.filtered(lambda job: job.state in CAN_CANCEL)
        jobs._without_dependents()._change_job_state(CANCELLED, result=result)
        return True

    def requeue(self):
        jobs = self.filtered(lambda job: job.state in CAN_REQUEUE)
        own = jobs.filtered("can_user_requeue")
        own.sudo()._change_job_state(PENDING)
        if jobs - own or not own:
            (jobs - own)._change_job_state(PENDING)
        return True

    @api.depends("state", "user_id", "channel_method_name")
    @api.depends_context("uid")
    def _compute_can_user_requeue(self):
        functions = self.env["queue.job.function"].sudo()
        for job in self:
            is_own = job.state == FAILED and job.user_id == self.env.user
            job.can_user_requeue = is_own and (
                functions.browse(
                    functions.job_config(job.channel_method_name).job_function_id
                ).user_can_requeue
            )

    def _change_job_state(self, state, result=None):
        """Move jobs to done, pending or cancelled, and their dependents after them.

        Needs neither the model nor the method of a job. Refused for whoever
        may not write the jobs; the caller commits.
        """
        self.check_access("write")
        moves = {
            DONE: self._move_to_done,
            PENDING: self._move_to_pending,
            CANCELLED: self._move_to_cancelled,
        }
        if state not in moves:
            raise ValueError(f"State not supported: {state}")
        if self:
            moves[state](result)

    def open_related_action(self):
        """Return the related action, made with the rights of the person who asks."""
        self.ensure_one()
        self.check_access("read")
        functions = self.env["queue.job.function"].sudo()
        action = self._related_action(functions.job_config(self.channel_method_name))
        if action is None:
            raise UserError(self.env._("No action available for this job"))
        return action

    def open_graph_jobs(self):
        self.ensure_one()
        jobs = (
            self.search([("graph_uuid", "=", self.graph_uuid)])
            if self.graph_uuid
            else self
        )
        name = self.env._("Jobs for graph %s", self.graph_uuid)
        return self._action_list(name, [("id", "in", jobs.ids)], context={})

    @api.model
    def _action_list(self, name, domain, **values):
        """Return the action of the jobs for those of a domain, under a name.

        :param values: what else is not as in the action of the menu
        """
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "queue_job.action_queue_job"
        )
        # The web client shows the display name.
        action.update(name=name, display_name=name, domain=domain, **values)
        return action

    # Related actions --------------------------------------------------------

    def _related_action(self, config):
        """Return the action configured for this job, or None."""
        if not config.related_action_enable:
            return None
        name = config.related_action_func_name or self._default_related_action
        if not isinstance(name, str):
            raise ValueError(
                f"The related action of a job must be the name of a method, not {name!r}"
            )
        functions = self.env["queue.job.function"]
        if functions.browse(config.job_function_id)._is_refused_related_action(name):
            return None
        if not functions._find_method(self._name, name):
            raise UserError(functions._missing_method_text(self._name, name))
        return getattr(self, name)(**(config.related_action_kwargs or {}))

    def related_action_open_record(self):
        """Return the action that opens the records of the job, if they exist."""
        self.ensure_one()
        records = self.records.exists()
        if not records:
            return None
        action = {
            "name": self.env._("Related Record"),
            "type": "ir.actions.act_window",
            "view_mode": "form",
            "res_model": records._name,
        }
        if len(records) == 1:
            action["res_id"] = records.id
        else:
            action.update(
                name=self.env._("Related Records"),
                view_mode="list,form",
                domain=[("id", "in", records.ids)],
            )
        return action

    # Test methods -----------------------------------------------------------

    def _test_job(
        self,
        failure_rate=0,
        job_duration=0,
        commit_within_job=False,
        failure_retry_seconds=0,
    ):
        """Do nothing, for a while, or fail, as the arguments ask for."""
        _logger.info("Running test job.")
        if random.random() <= failure_rate and failure_rate:
            if failure_retry_seconds:
                raise RetryableJobError(
                    f"Retryable job failed, will be retried in {failure_retry_seconds} seconds",
                    seconds=failure_retry_seconds,
                )
            raise JobError("Job failed")
        if job_duration:
            time.sleep(job_duration)
        if commit_within_job:
            self.env.cr.commit()  # pylint: disable=invalid-commit  # the point of the option

    def _test_on_fail(self, **kwargs):
        """On-fail method of the test job: nothing."""
