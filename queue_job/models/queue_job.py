# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import contextlib
import logging
import random
import sys
import time
from datetime import datetime

from psycopg2.errors import InFailedSqlTransaction

from odoo import api, fields, models, tools
from odoo.exceptions import AccessError, UserError
from odoo.fields import Domain
from odoo.tools import SQL
from odoo.tools.misc import clean_context, formatLang
from odoo.tools.profiler import Profiler

from odoo.addons.base_sparse_field.models.fields import Serialized

from ..channels import ROOT, full_name
from ..exception import JobError, RetryableJobError
from ..fields import IntegerArray, JobSerialized
from ..insight import explain, function_figures, graph_picture, progress, timeline
from ..insight.snapshot import Snapshot
from ..sql import statements as sql
from ..states import (
    CAN_CANCEL,
    CAN_REQUEUE,
    CAN_SET_DONE,
    CAN_STOP,
    CANCELLED,
    DONE,
    ENDED,
    FAILED,
    MOVES,
    PENDING,
    STARTED,
    STATES,
    WAIT_DEPENDENCIES,
    WAITING,
)
from ..store import (
    insertion,
    keys,
    links,
    mapping,
    records,
    release,
    rows,
    stop,
    transitions,
    triggers,
    vacuum,
    waking,
)
from ..utils import storable_text
from ..worker.lease import own_session

_logger = logging.getLogger(__name__)

# Where a client's values pass on their way to `write`.
_CLIENT_WRITES = ("write", "web_save", "web_save_multi", "load")
_CLIENT_MODULES = (
    *("odoo.http", "odoo.service.", "odoo.addons.rpc."),
    *("odoo.addons.web.controllers.", "odoo.addons.base_import."),
)
_ERROR_FIELDS = ("exc_name", "exc_message", "exc_info")
# Jobs that a step of "try one first" requeues, by how many were tried before; then all.
TRY_STEPS = {0: 1, 1: 10}
# Seconds between two looks at the jobs that were tried.
TRY_PAUSE = 3
# Attribute of an override of ``write`` that does nothing for jobs.
PASSES_OVER = "_queue_job_passes_over"
COMPONENT_EVENT = "odoo.addons.component_event."


class QueueJob(models.Model):
    """The rows of the jobs: fields, rights and buttons.

    Rows are moved in ``store/``, performed in ``worker/``, explained in ``insight/``.

    Hooks for other modules:

    * failures: ``_subscribe_users_domain``, ``_subscribe_job_creator``,
      ``_message_failed_job``, ``_message_post_on_failure``
    * related actions: ``_default_related_action``, any method ``related_action_*``
    * keys: ``_key_requests``, ``_twins_for``, ``_store_job``
    * moves: ``write``, ``_move_to_done``, ``_move_to_pending``, ``_move_to_cancelled``
    * overrides of ``write`` that a worker passes over: ``_modules_without_interest``,
      ``_is_release_overridden``
    * explanations: ``_explain_runner``, ``_late_text``
    * vacuum: ``_removal_interval``
    * ends of jobs: ``_loaded_columns``, ``_is_followed``, ``_release_dependents``
    * attempts: ``_around_job``; traces: ``_current_traceparent``
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
    _protected_fields = mapping.PROTECTED
    # Moved by methods of jobs only, on behalf of people with access rights.
    _moved_fields = mapping.MOVED

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
    state = fields.Selection(
        STATES, readonly=True, required=True, group_expand="_group_expand_state"
    )
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
    date_stopped = fields.Datetime(
        readonly=True, help="When the job was stopped while it ran."
    )

    eta = fields.Datetime(string="Execute only after")
    retry = fields.Integer(string="Current try")
    max_retries = fields.Integer(string="Max. retries")
    channel_method_name = fields.Char(string="Complete Method Name", readonly=True)
    job_function_id = fields.Many2one("queue.job.function", readonly=True)
    channel = fields.Char()
    identity_key = fields.Char(readonly=True)
    worker_pid = fields.Integer(readonly=True)

    traceparent = fields.Char(
        readonly=True, help="Trace context of the caller, as W3C defines it."
    )
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
    is_in_paused_channel = fields.Boolean(
        compute="_compute_is_in_paused_channel",
        search="_search_is_in_paused_channel",
        help="The channel of the job, or one above it, is paused.",
    )
    to_report = fields.Boolean(readonly=True, help="The failure was not announced yet.")
    attempt_ids = fields.One2many(
        "queue.job.attempt",
        "job_id",
        string="Attempts",
        readonly=True,
        help="The tries that did not end as done, the last one first.",
    )

    # The records that the job is about: see store/records.py.
    record_id = fields.Integer(
        string="Record ID",
        readonly=True,
        aggregator=None,
        help="The record that the job is about.",
    )
    record_ids = IntegerArray(
        string="Record IDs", readonly=True, help="The records of a job about several."
    )
    concerned_id = fields.Integer(
        compute="_compute_concerned_id",
        search="_search_concerned_id",
        string="Concerned Record",
    )

    dependency_ids = fields.Many2many(
        "queue.job",
        string="Dependency Jobs",
        compute="_compute_dependency_ids",
        search="_search_dependency_ids",
    )
    dependent_ids = fields.Many2many(
        "queue.job",
        string="Dependent Jobs",
        compute="_compute_dependent_ids",
        search="_search_dependent_ids",
    )
    dependency_graph = Serialized(compute="_compute_dependency_graph")
    dependency_graph_facts = Serialized(compute="_compute_dependency_graph_facts")
    graph_jobs_count = fields.Integer(compute="_compute_graph_jobs_count")

    job_is_profiled = fields.Boolean(
        string="Profiled", compute="_compute_job_is_profiled"
    )
    explanation = fields.Json(
        compute="_compute_explanation",
        help="Why the job is not running, as a sentence and the jobs that it speaks of.",
    )
    reason = fields.Char(
        compute="_compute_reason", help="Why the job failed, or why it is not running."
    )
    waited = fields.Float(
        string="Waited (s)",
        compute="_compute_durations",
        aggregator=None,
        help="Seconds in which the job could have run before its last start; until now if it "
        "waits.",
    )
    ran = fields.Float(
        string="Ran (s)",
        compute="_compute_durations",
        aggregator=None,
        help="Seconds of the last run; until now if it runs.",
    )
    usual_text = fields.Char(
        string="Usually",
        compute="_compute_usual_text",
        help="How long the jobs of this function took that were done last.",
    )
    tries = fields.Char(
        compute="_compute_tries", help="The number of the try, and of how many."
    )
    timeline = fields.Json(
        compute="_compute_timeline", help="The states the job went through, and when."
    )

    progress = fields.Json(
        compute="_compute_progress",
        help="How far the job says that it is.",
    )
    has_checkpoint = fields.Boolean(
        compute="_compute_progress",
        help="The next attempt goes on behind the last step.",
    )

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
    # The candidates of the runner: partial, so that the jobs that ended cost nothing.
    # The expressions are those of the statements in sql/choosing.sql.
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
    _stopped_index = models.Index("(date_stopped) WHERE date_stopped IS NOT NULL")

    # All columns that the groups of failures need: they are read from this index alone.
    _failure_index = models.Index(
        "(channel_method_name, exc_name, company_id) "
        "INCLUDE (id, exc_cause, date_started, date_enqueued, date_created) "
        "WHERE state = 'failed'"
    )
    _record_index = models.Index("(record_id, model_name) WHERE record_id IS NOT NULL")
    _records_index = models.Index("USING gin (record_ids) WHERE record_ids IS NOT NULL")
    # These two make the screens fast with a million jobs. They index all rows, the ended
    # ones too, because lists show those; so each version of a row costs an entry in
    # both. More such indexes would cost the jobs more than they give the screens.
    # The first page of any list, and of each column of a kanban: the newest jobs.
    _newest_index = models.Index("(date_created, date_done)")
    # Counts and groups, with the company that the rules ask for and the time that is
    # averaged: read from the index alone.
    _counts_index = models.Index("(state, channel, company_id) INCLUDE (exec_time)")

    def init(self):
        execute = self.env.cr.execute
        triggers.install(self.env.cr, self._table)
        execute(sql.claim_functions)
        execute(sql.release_functions)
        execute(sql.table_settings)
        execute(sql.statistics_of_pairs)

    # Fields for screens -----------------------------------------------------

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

    @api.depends("state", "channel", "eta", "priority", "date_created")
    @api.depends_context("uid", "allowed_company_ids", "lang", "tz")
    def _compute_explanation(self):
        snapshot = Snapshot(self.env, alone=len(self) == 1)
        for job in self:
            job.explanation = explain.explain(job, snapshot)

    def _explain_runner(self, snapshot):
        """Return the explanation of a job that waits for a runner, None if one is alive."""
        return explain.explain_runner(self, snapshot)

    def _late_text(self, snapshot, due):
        """Return where to look for the cause when nothing in the database holds a job.

        :param due: since when it could have started
        """
        return explain.late_text(self, snapshot)

    @api.depends("state", "exc_message", "exc_name", "result")
    @api.depends_context("uid", "allowed_company_ids", "lang", "tz")
    def _compute_reason(self):
        for job in self:
            job.reason = explain.reason(job)

    @api.depends(
        "state", "date_created", "eta", "date_started", "date_done", "date_cancelled"
    )
    def _compute_durations(self):
        durations = timeline.durations(self)
        for job in self:
            job.waited, job.ran = durations[job]

    @api.depends("channel_method_name", "channel")
    @api.depends_context("uid", "allowed_company_ids", "lang")
    def _compute_usual_text(self):
        for job in self:
            count, (half, most, _nearly) = function_figures.durations(
                self.env, job.channel_method_name, job.channel
            )
            job.usual_text = count and self.env._(
                "usually %(half)s s, 95 %% within %(most)s s",
                half=formatLang(self.env, half, digits=2),
                most=formatLang(self.env, most, digits=2),
            )

    @api.depends("state", "run_number")
    def _compute_progress(self):
        found = progress.progress_of(self)
        for job in self:
            job.progress = found.get(job.id, False)
            job.has_checkpoint = found.get(job.id, {}).get("is_kept", False)

    @api.depends("retry", "max_retries", "state")
    def _compute_tries(self):
        for job in self:
            # A try is counted when it has ended.
            number = job.retry + (job.state == STARTED)
            job.tries = f"{number} / {job.max_retries or '∞'}"

    @api.depends(
        *("state", "date_created", "eta", "date_enqueued", "date_started"),
        *("date_done", "date_cancelled", "attempt_ids"),
    )
    @api.depends_context("lang")
    def _compute_timeline(self):
        for job in self:
            job.timeline = timeline.timeline(job)

    @api.depends_context("uid", "allowed_company_ids")
    def _compute_dependency_ids(self):
        self._compute_linked("dependency_ids", "child_id", "parent_id")

    @api.depends_context("uid", "allowed_company_ids")
    def _compute_dependent_ids(self):
        self._compute_linked("dependent_ids", "parent_id", "child_id")

    def _compute_linked(self, field, here, there):
        linked = {}
        for job_id, other_id in links.pairs_of(self, here, self.ids):
            linked.setdefault(job_id, []).append(other_id)
        everyone = self.browse(
            {other for others in linked.values() for other in others}
        )
        visible = set(everyone._filtered_access("read").ids)
        for job in self:
            others = [other for other in linked.get(job.id, ()) if other in visible]
            job[field] = self.browse(sorted(others))

    def _search_dependency_ids(self, operator, value):
        return links.linked_domain(self, operator, value, "parent_id", "child_id")

    def _search_dependent_ids(self, operator, value):
        return links.linked_domain(self, operator, value, "child_id", "parent_id")

    @api.depends("graph_uuid")
    @api.depends_context("uid", "allowed_company_ids")
    def _compute_graph_jobs_count(self):
        graphs = [job.graph_uuid for job in self if job.graph_uuid]
        counts = dict(
            self._read_group(
                [("graph_uuid", "in", graphs)], ["graph_uuid"], ["__count"]
            )
            if graphs
            else ()
        )
        for job in self:
            job.graph_jobs_count = counts.get(job.graph_uuid, 0)

    @api.depends("graph_uuid")
    @api.depends_context("uid", "allowed_company_ids")
    def _compute_dependency_graph(self):
        pictures = graph_picture.pictures(self)
        for job in self:
            job.dependency_graph = pictures.get(job.graph_uuid, {})

    @api.depends("graph_uuid")
    @api.depends_context("uid", "allowed_company_ids")
    def _compute_dependency_graph_facts(self):
        facts = graph_picture.facts(self)
        for job in self:
            job.dependency_graph_facts = facts.get(job.graph_uuid, {})

    def _dependency_graph_vis_node(self):
        """Return the node of this job in ``dependency_graph``."""
        return graph_picture.node(self)

    @api.depends("record_id")
    def _compute_concerned_id(self):
        for job in self:
            job.concerned_id = job.record_id

    def _search_concerned_id(self, operator, value):
        """Return the jobs about one of the given records, alone or among others."""
        if operator != "in":
            return NotImplemented
        ids = [int(record_id) for record_id in value if record_id]
        return [("id", "in", SQL(sql.jobs_about, ids=ids))]

    @api.depends("channel")
    def _compute_is_in_paused_channel(self):
        snapshot = Snapshot(self.env)
        now = snapshot.now.timestamp()
        paused = {
            name: any(settings.is_paused(now) for settings in snapshot.path(name))
            for name in set(self.mapped("channel"))
        }
        for job in self:
            job.is_in_paused_channel = paused[job.channel]

    def _search_is_in_paused_channel(self, operator, value):
        """Return the domain of jobs in channels that are paused now, or in none of them."""
        if operator != "in":
            return NotImplemented
        channels = self.env["queue.job.channel"].sudo()
        snapshot = Snapshot(self.env)
        now = snapshot.now.timestamp()
        names = {
            name
            for name in {"root", *filter(None, snapshot.records), *snapshot.configured}
            if snapshot.settings(name).is_paused(now)
        }
        paused = (
            Domain.TRUE
            if "root" in names
            else Domain.OR(Domain(channels._domain_of(name)) for name in names)
        )
        return Domain.OR(paused if wanted else ~paused for wanted in value)

    def _group_expand_state(self, states, domain):
        """Return the columns of the kanban: states that have jobs, or may by the filters.

        Failed first, because a phone shows one column at a time.
        """
        names = [state for state, _label in self._fields["state"].selection]
        names.sort(key=lambda state: state != FAILED)
        return [
            state
            for state in names
            if state in states or self._may_be_in(state, domain)
        ]

    def _may_be_in(self, state, domain):
        both = Domain(domain) & Domain("state", "=", state)
        return not both.optimize(self.env["queue.job"]).is_false()

    # Create, write ----------------------------------------------------------

    @api.private
    @api.model_create_multi
    def create(self, vals_list):
        vals_list = [self._with_full_channel(vals) for vals in vals_list]
        self._warn_unlimited_channels(vals_list)
        # Overrides of other modules see the caller's context, the columns do not.
        context = clean_context(self.env.context) | self._CREATION_CONTEXT
        quiet = self.with_context(context)  # pylint: disable=context-overridden # no defaults
        jobs = super(QueueJob, quiet).create(vals_list).with_env(self.env)
        if not self.env.context.get("_edges_follow"):
            links.follow_uuid_lists(
                self,
                [(vals.get("uuid"), vals.get("dependencies")) for vals in vals_list],
            )
        # Of an import: what this addon stores is announced where it is stored.
        waking.after_commit(self.env.cr)
        return jobs

    def _warn_unlimited_channels(self, vals_list):
        names = {vals.get("channel") for vals in vals_list}
        for name in names - {None, False, "", ROOT}:
            self.env["queue.job.channel"]._warn_unlimited(name)

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
            # The message may name the error: that is written before, the state after.
            error = {name: vals[name] for name in _ERROR_FIELDS if name in vals}
            super().write(error)
            self._message_post_on_failure()
        result = super().write(vals)
        if "dependencies" in vals and not self.env.context.get("_edges_follow"):
            links.replace_uuid_lists(self, vals["dependencies"])
        if "state" in vals or "eta" in vals:
            waking.after_commit(self.env.cr)
        return result

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
        if channel and isinstance(channel, str) and channel != ROOT:
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

    # Storing ----------------------------------------------------------------

    def _editor(self):
        """Return these rows as the code that may change everything, quietly."""
        context = clean_context(self.env.context) | {
            "_job_edit_sentinel": self.EDIT_SENTINEL,
            "tracking_disable": True,
        }
        return self.sudo().with_context(context)  # pylint: disable=context-overridden # no defaults

    @api.model
    def _load_jobs(self, cls, name, values):
        """Return the jobs whose column ``name`` is one of ``values``, as objects of ``cls``."""
        return rows.load(self, cls, name, values)

    @api.model
    def _loaded_columns(self):
        """Return the columns that jobs are loaded with for other addons, as ``job.more``."""
        return ()

    @api.model
    def _is_followed(self, job):
        """Return whether another addon follows the end of a job that has no dependents.

        Then ``_release_dependents`` is called for it, and ``write`` where a caller stores it.
        """
        return False

    @api.model
    def _values_of_job(self, job, create):
        """Return what is written of a job, or of its new row, by column."""
        return rows.values_of(job, create)

    @api.model
    def _store_new_jobs(self, jobs):
        """Store the jobs of one ``delay()``; return ``{job: job of its twin}``."""
        return rows.store_new(self, jobs)

    @api.model
    def _store_job(self, job):
        """Write the row of one job, or make it, outside of ``delay()``."""
        rows.store(self, [job])

    @api.model
    def _give_up_keys(self, jobs):
        """Give up the keys of jobs that could not be stored."""
        # A transaction that is broken already will be rolled back.
        with contextlib.suppress(InFailedSqlTransaction):
            keys.give_up(self.env, jobs)

    @api.model
    def _key_requests(self, jobs):
        """Return ``(kind, blocking states, [(job, text to lock, key)])`` in order of look-up."""
        keyed = [
            (job, key, key)
            for job in jobs
            if job.identity_key and (key := storable_text(job.identity_key))
        ]
        return [(keys.IDENTITY, WAITING, keyed)]

    @api.model
    def _twins_for(self, kind, jobs, refused):
        """Return the job that stands for each of ``jobs``, none of which is stored.

        :param kind: of the keys that were refused
        :param refused: ``{job: uuid of its twin}``; the others get the first twin
        """
        return keys.twins_for(self.env, jobs, refused)

    @api.model
    def _search_twin(self, job):
        if not job.identity_key:
            return self.browse()
        key = storable_text(job.identity_key)
        domain = [("identity_key", "=", key), ("state", "in", WAITING)]
        return self.search(domain, limit=1)

    @api.model
    def _add_missing_default_values(self, values):
        """Ask for defaults only where there may be one, and never for our own columns.

        A column of a job that its call does not state is empty, whatever the user or
        his company prefers. Odoo asks for each field that a row leaves out, which are
        most fields of most jobs: a fifth of the time that a row takes.
        """
        if not self._may_have_defaults(values):
            return dict(values)
        own = self._own_columns()
        return {
            name: value
            for name, value in super()._add_missing_default_values(values).items()
            if name in values or name not in own
        }

    @tools.ormcache()
    def _own_columns(self):
        """Return the fields that this addon defines, which its code alone fills."""
        return frozenset(
            name
            for name, field in self._fields.items()
            if "queue_job" in field._modules
        )

    def _may_have_defaults(self, values):
        names = [
            *self._names_with_default(),
            *self.env["ir.default"]._get_model_defaults(self._name),
        ]
        return (
            not values.keys() >= set(names)
            or type(self).default_get is not models.BaseModel.default_get
        )

    @tools.ormcache()
    def _names_with_default(self):
        return tuple(
            name
            for name, field in self._fields.items()
            if field.default or field.inherited or field.type == "properties"
        )

    def _write_multi(self, vals_list):
        """Write equal values to all rows in one statement, however many they are.

        Odoo's statement takes a hundred rows, each with values of its own.
        """
        if vals_list and transitions.write_finished(self, vals_list):
            return None
        transitions.send(self.env.cr)
        first = vals_list[0] if vals_list else {}
        fields = [self._fields[name] for name in first]
        if (
            not first
            or any(values != first for values in vals_list)
            or any(field.translate or field.company_dependent for field in fields)
        ):
            return super()._write_multi(vals_list)
        assignments = [
            SQL(
                sql.assignment,
                column=SQL.identifier(field.name),
                value=first[field.name],
                type=SQL(field.column_type[1]),
            )
            for field in sorted(fields, key=lambda field: field.name)
        ]
        self.env.execute_query(
            SQL(
                sql.write_equal,
                assignments=SQL(", ").join(assignments),
                ids=list(self._ids),
            )
        )
        return None

    @tools.ormcache()
    def _insertion(self):
        """Return how rows of this registry are inserted past ``create``."""
        return insertion.Insertion(self)

    # Overrides of write() ---------------------------------------------------

    def _has_write_overrides(self):
        """Return whether others want to know what a worker writes of a job that goes well.

        They extend ``write``, or store what depends on these columns. Without them
        the ORM has nothing to do: half of the time of a short job.
        """
        modules = self._modules_without_interest()
        for model in type(self).__mro__:
            write = vars(model).get("write")
            # A mock has no module.
            if not write or getattr(write, PASSES_OVER, False):
                continue
            if not (write.__module__ or "").startswith(modules):
                return True
        return self._have_stored_dependents()

    def _modules_without_interest(self):
        """Return where ``write`` does nothing about a job that is started or done."""
        modules = ("odoo.orm.", "odoo.models", "odoo.addons.base.", "odoo.addons.mail.")
        modules += ("odoo.addons.queue_job.",)
        # Listeners are known when the registry is.
        if self.pool.ready and not self._is_write_event_collected():
            modules += (COMPONENT_EVENT,)
        return modules

    @tools.ormcache()
    def _is_write_event_collected(self):
        """Return whether a listener of OCA's component_event waits for writes of jobs.

        It extends ``write`` of all models, to notify listeners that few models have.
        """
        event = getattr(self, "_event", None)
        is_of_component = getattr(event, "__module__", "").startswith(COMPONENT_EVENT)
        if not is_of_component:
            return False
        return bool(self._event("on_record_write").events)

    @tools.ormcache()
    def _have_stored_dependents(self):
        columns = {*transitions.FINISH_COLUMNS, *MOVES["claim"].sets}
        return any(
            dependent.store
            for name in columns
            for dependent in self.pool.get_dependent_fields(self._fields[name])
        )

    def _is_release_overridden(self):
        """Return whether others want to know that a job does not wait for others any more."""
        return self._has_write_overrides()

    # Attempts ---------------------------------------------------------------

    @api.model
    def _around_job(self, job):
        """Return the context manager that a worker enters around each attempt.

        For tracers, error reporters and profilers. It is entered in the environment of the
        job, on its cursor and before its method; an exception of the attempt passes
        through it, and the attempt fails all the same when that is suppressed. An
        exception of its own fails the attempt. Each try of a conflict enters it again.

        :param job: the claimed :class:`~odoo.addons.queue_job.job.Job`; ``job.retry`` is
            the number of earlier attempts
        """
        functions = self.env["queue.job.function"].sudo()
        if not functions.job_settings(job.job_function_name).profiling_enabled:
            return contextlib.nullcontext()
        function = functions.browse(job.job_config.job_function_id)
        if functions._is_profiled_elsewhere() or not function.is_profiling_enabled():
            return contextlib.nullcontext()
        name = function._profile_make_name(job)
        return Profiler(db=self.env.cr.dbname, description=name, profile_session=name)

    def _profiles(self):
        """Return the profiles of the attempts of these jobs."""
        names = [f"queue.job {job.uuid} - {job.channel_method_name}" for job in self]
        return self.env["ir.profile"].sudo().search([("session", "in", names)])

    @api.depends("state")
    def _compute_job_is_profiled(self):
        found = set(self._profiles().mapped("session"))
        for job in self:
            name = f"queue.job {job.uuid} - {job.channel_method_name}"
            job.job_is_profiled = name in found

    def action_view_profile(self):
        """Return the action that opens the profile of this job, or the list of several."""
        self.ensure_one()
        self.check_access("read")
        profiles = self._profiles()
        if not profiles:
            raise UserError(self.env._("This job was not profiled."))
        action = {
            "name": self.env._("Profile"),
            "type": "ir.actions.act_window",
            "res_model": "ir.profile",
            "view_mode": "list,form",
            "domain": [("id", "in", profiles.ids)],
        }
        if len(profiles) == 1:
            action.update(view_mode="form", res_id=profiles.id)
        return action

    @api.model
    def _current_traceparent(self):
        """Return the W3C ``traceparent`` of the caller, kept on the jobs that it stores.

        Called once for all jobs of a ``delay()``; None keeps nothing.
        """
        return None

    # Liveness ---------------------------------------------------------------

    def _add_lock_row(self):
        self.env.cr.execute(sql.add_lock_row, {"job": self.id or None})

    def _lock_row(self, run_number):
        """Lock the liveness row of the job, if this run of it is the last one."""
        self.flush_recordset(["state", "run_number"])
        values = {"job": self.id or None, "run": run_number or 0}
        self.env.cr.execute(sql.lock_run, values)
        return self.env.cr.fetchone()[0]

    def _own_session(self):
        """Return the block in which a job has a second connection for itself."""
        return own_session(self.env.cr, self.id)

    # Moves of many ----------------------------------------------------------

    def _move_to_done(self, result=None):
        # Name and message of an earlier failure are kept, the traceback is not.
        transitions.move(self, "set done", date_done=datetime.now(), result=result)
        self._record_move(DONE)
        self._forget_steps()
        self._release_dependents()
        release.after_commit(self, sql.free_behind, self.ids)

    def _move_to_pending(self, result=None):
        held_back = self._held_back()
        values = {"retry": 0, "result": result}
        transitions.move(self - held_back, "requeue", **values)
        transitions.move(held_back, "requeue behind", **values)
        self._record_move(PENDING)
        release.after_commit(self, sql.free_among, held_back.ids)

    def _move_to_cancelled(self, result=None):
        now = datetime.now()
        transitions.move(self, "cancel", date_cancelled=now, result=result)
        self._record_move(CANCELLED)
        self._cancel_dependents(now)

    def _record_move(self, state):
        """Flush a move, and record that the current user made it, at the date of the row."""
        self.env.flush_all()
        self.env.cr.execute(
            sql.record_moves,
            {"user": self.env.uid, "state": state, "jobs": list(self.ids)},
        )

    # Links ------------------------------------------------------------------

    def _has_dependents(self):
        """Return whether any job waits, or waited, for this one."""
        return links.has_dependents(self)

    def _dependents(self):
        """Return the jobs that wait, or waited, for one of these."""
        children = links.linked_to(self._as_query(), "parent_id", "child_id")
        return self.browse(child for (child,) in self.env.execute_query(children))

    def _held_back(self):
        """Return those of these jobs that would wait for a parent, if all became pending."""
        return release.found_by(self, sql.held_back)

    def _waiting_behind(self):
        """Return the jobs in wait_dependencies behind these, to any depth."""
        return release.found_by(self, sql.waiting_behind) - self

    def _without_dependents(self):
        """Return these jobs less those that wait behind another one of them."""
        behind = set(self._dependents().ids)
        return self.filtered(
            lambda job: job.id not in behind or job.state != WAIT_DEPENDENCIES
        )

    def _release_dependents(self):
        """Make pending what waited for these jobs and waits for nothing now."""
        release.behind(self)

    def _cancel_dependents(self, date_cancelled=None):
        """Cancel what waits for these jobs, to any depth.

        A job that another transaction stores behind them and commits first is
        cancelled after the commit.
        """
        release.after_cancel(self | self._cancel_waiting(date_cancelled))

    def _cancel_waiting(self, date_cancelled=None):
        """Cancel the dependents that this transaction sees, and return them."""
        dependents = self._waiting_behind()
        if dependents:
            transitions.move(
                dependents,
                "cancel",
                date_cancelled=date_cancelled
                or self[:1].date_cancelled
                or datetime.now(),
                result=self._text_of_cancelled_parent(),
            )
            dependents._record_move(CANCELLED)
        return dependents

    def _text_of_cancelled_parent(self):
        return self.env._("Cancelled because a job it depends on was cancelled")

    def unlink(self):
        """Delete jobs; one that was not done will release none: cancel its dependents."""
        dependents = self._dependents()
        unfinished = self.filtered(lambda job: job.state not in ENDED)
        if dependents and unfinished:
            unfinished._cancel_dependents()
        release.after_commit(self, sql.free_among, (dependents - self).ids)
        if dependents:
            waking.after_commit(self.env.cr)
        return super().unlink()

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

    def button_stop(self, reason=None):
        """Cancel jobs that run, and interrupt their work after the commit.

        Return True, or the notification that some of them were over already.

        :param reason: kept with the attempt and in the result
        """
        self.check_access("write")
        user = self.env.user.name
        reason = str(reason or "").strip()
        text = self.env._("Stopped by %s", user)
        if reason:
            text = self.env._(
                "Stopped by %(user)s: %(reason)s", user=user, reason=reason
            )
        jobs = self.filtered(lambda job: job.state in CAN_STOP)
        stopped = jobs and stop.lock_started(jobs)
        if stopped:
            stop.stop(stopped, text, text)
            stopped._record_move(CANCELLED)
            stopped._cancel_dependents(stopped[:1].date_cancelled)
        return True if stopped == self else self._notify_not_stopped(self - stopped)

    def _notify_not_stopped(self, jobs):
        busy = jobs.filtered(lambda job: job.state in CAN_STOP)
        if busy:
            message = self.env._(
                "%s jobs are writing their own rows. Their work was interrupted; try again "
                "in a moment.",
                len(busy),
            )
        else:
            message = self.env._("Not running any more: %s jobs.", len(jobs))
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "warning",
                "message": message,
                "next": {"type": "ir.actions.act_window_close"},
            },
        }

    def requeue(self):
        jobs = self.filtered(lambda job: job.state in CAN_REQUEUE)
        own = jobs.filtered("can_user_requeue")
        own.sudo()._change_job_state(PENDING)
        if jobs - own or not own:
            (jobs - own)._change_job_state(PENDING)
        return True

    # Try one first ----------------------------------------------------------

    @api.model
    def _try_requeue(self, ids, tried=()):
        """Requeue the first of failed jobs, ten more when it is done, then all.

        Each step is a job of the person who asked; the caller commits. Jobs that were moved
        by another session in between are left alone.

        :param ids: of the jobs that are left to requeue
        :param tried: of those that were requeued by the steps before
        """
        length = TRY_STEPS.get(len(tried), len(ids))
        jobs = self.browse(ids[:length]).exists()._filtered_access("write")
        jobs.filtered(lambda job: job.state in CAN_REQUEUE).requeue()
        if len(ids) > length:
            text = self.env._(
                "Requeue %s more jobs if the first ones are done", len(ids) - length
            )
            self.with_delay(
                description=text, max_retries=0, eta=TRY_PAUSE
            )._go_on_requeuing(ids[length:], [*tried, *ids[:length]])

    def _go_on_requeuing(self, ids, tried):
        """Requeue more jobs, once those that were tried are done.

        :raise RetryableJobError: while one of them waits or runs
        """
        states = set(self.browse(tried).exists().mapped("state"))
        if not states.isdisjoint((FAILED, CANCELLED)):
            return self.env._(
                "Not all of the first jobs are done: %s others stay failed", len(ids)
            )
        if states - {DONE}:
            raise RetryableJobError(
                "The jobs that were requeued first are not over yet",
                seconds=TRY_PAUSE,
                ignore_retry=True,
            )
        self._try_requeue(ids, tried)
        return None

    def button_run_now(self):
        """Let pending jobs that wait for their time run as soon as there is room.

        Refused for users who may not write the jobs; the caller commits.
        """
        self.check_access("write")
        jobs = self.filtered(lambda job: job.state == PENDING and job.eta)
        jobs._editor().write({"eta": False})
        for job in jobs:
            job.sudo()._message_log(
                body=self.env._("To be run now"), author_id=self.env.user.partner_id.id
            )
        return True

    def open_requeue(self):
        """Return the confirmation of a requeue, which offers to begin anew."""
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "queue_job.action_requeue_job"
        )
        action["context"] = {"active_model": self._name, "active_ids": self.ids}
        return action

    def _forget_steps(self):
        """Let the next attempt of these jobs begin anew."""
        self.env.cr.execute(sql.drop_checkpoints, {"jobs": list(self.ids)})
        self.invalidate_recordset(["progress", "has_checkpoint"])

    def _change_job_state(self, state, result=None):
        """Move jobs to done, pending or cancelled, and their dependents after them.

        Needs neither the model nor the method of a job. Refused for users who
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
        # The address of the menu's action would open that one again.
        action.pop("path", None)
        # The web client shows the display name.
        action.update(name=name, display_name=name, domain=domain, **values)
        return action

    # Failures ---------------------------------------------------------------

    def _message_post_on_failure(self):
        """Subscribe users to these failed jobs, and post the failure."""
        for jobs in self.grouped("company_id").values():
            users = self.env["res.users"].sudo().search(jobs._subscribe_users_domain())
            for job in jobs:
                job._notify_of_failure(users)

    def _notify_of_failure(self, users):
        """Notify of a failure as the job function says; equal ones are counted.

        :param users: who follows failures
        """
        function = self.job_function_id.sudo()
        notice = function.failure_notice or "chatter"
        if notice == "nobody":
            return
        is_one_of_many = self.env["queue.job.digest"].sudo()._counts(self)
        if notice == "chatter":
            self.with_context(queue_job_quiet=is_one_of_many)._post_failure(users)
        elif is_one_of_many:
            return
        elif notice == "activity" and function.failure_user_id:
            self.activity_schedule(
                "queue_job.mail_activity_type_failure",
                user_id=function.failure_user_id.id,
                summary=self.exc_name,
                note=self.exc_message,
            )
        elif notice == "user":
            self.user_id._bus_send(
                "simple_notification",
                {
                    "type": "danger",
                    "title": self.env._("Job failed"),
                    "message": self.name,
                },
            )

    def _notify_get_recipients(self, message, msg_vals=False, **kwargs):
        """Notify no follower of one of many equal failures; the digest does."""
        if self.env.context.get("queue_job_quiet"):
            return []
        return super()._notify_get_recipients(message, msg_vals=msg_vals, **kwargs)

    def _post_failure(self, users):
        followers = users
        if self._subscribe_job_creator():
            followers |= self.user_id
        self.message_subscribe(partner_ids=followers.partner_id.ids)
        message = self._message_failed_job()
        if message:
            self.message_post(body=message, subtype_xmlid="queue_job.mt_job_failed")

    def _subscribe_users_domain(self):
        """Return the domain of the users who follow failures, as a list."""
        group = self.env.ref(
            "queue_job.group_queue_job_manager", raise_if_not_found=False
        )
        if not group:
            return [("id", "in", [])]
        domain = [("all_group_ids", "in", group.ids)]
        if self.company_id:
            domain.append(("company_ids", "in", self.company_id.ids))
        return domain

    @api.model
    def _subscribe_job_creator(self):
        """Return whether the user of a job follows its failure."""
        return True

    def _message_failed_job(self):
        """Return the text posted when the job failed; nothing is posted without."""
        self.ensure_one()
        return self.env._(
            "Something bad happened during the execution of the job. "
            "More details in the 'Exception' section."
        )

    def _needaction_domain_get(self):
        """Return the domain of the jobs that need attention."""
        return [("state", "=", FAILED)]

    # Vacuum -----------------------------------------------------------------

    @api.autovacuum
    def _gc_old_jobs(self, limit=1000):
        """Delete old ended jobs; return how many, and whether some are left."""
        return vacuum.delete_old(self, limit)

    # Records ----------------------------------------------------------------

    @api.model
    def _concerned_domain(self, about):
        """Return the domain of the jobs about some records."""
        return [("model_name", "=", about._name), ("concerned_id", "in", about.ids)]

    @api.model
    def _action_open_jobs_of(self, about):
        """Return the action that lists the jobs about some records."""
        name = (
            self.env._("Jobs of %s", about.display_name)
            if len(about) == 1
            else self.env._("Jobs")
        )
        return self._action_list(name, self._concerned_domain(about), context={})

    @api.model
    @tools.ormcache()
    def _recorded_models(self):
        # Each write of actions clears the cache.
        return records.models_with_records(self.env)

    @api.model
    def _offer_on_records(self, model_name):
        records.offer(self, model_name)

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
        found = self.records.exists()
        if not found:
            return None
        action = {
            "name": self.env._("Related Record"),
            "type": "ir.actions.act_window",
            "view_mode": "form",
            "res_model": found._name,
        }
        if len(found) == 1:
            action["res_id"] = found.id
        else:
            action.update(
                name=self.env._("Related Records"),
                view_mode="list,form",
                domain=[("id", "in", found.ids)],
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
