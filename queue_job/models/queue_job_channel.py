# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
from datetime import datetime, timedelta

from odoo import api, exceptions, fields, models
from odoo.tools import SQL
from odoo.tools.misc import formatLang
from odoo.tools.sql import escape_psql

from ..channels import settings as channel_settings
from ..configuration import default_root_capacity
from ..insight.channel_counts import ChannelCounts, seconds_since
from ..insight.companies import companies_seen
from ..insight.condition import time_text
from ..insight.snapshot import Snapshot, duration_text
from ..store import triggers
from .install import create_or_reuse

_logger = logging.getLogger(__name__)

# Channels that were looked up, as (database, name), and the most that are kept.
_warned = set()
_MOST_WARNED = 10_000
# Days. Older than any job, and a date that Python and PostgreSQL know.
_LONG_AGO = 36_500


OBJECTIVE_ACTIVITY = "queue_job.mail_activity_type_objective"
# How long an objective is missed before a person is called.
OBJECTIVE_PATIENCE = timedelta(minutes=5)


class OptionalInteger(fields.Integer):
    """A whole number that may be left empty; empty is read as False, 0 as 0."""

    def convert_to_column(self, value, record, values=None, validate=True):
        return self.convert_to_cache(value, record)

    def convert_to_cache(self, value, record, validate=True):
        return None if value is None or value is False or value == "" else int(value)

    def convert_to_record(self, value, record):
        return False if value is None else value


class QueueJobChannel(models.Model):
    """A channel: how many of its jobs run at once, and how.

    What the configuration (file or environment) states for a channel wins over
    the record; what it does not state comes from the record. A channel that
    either of them pauses is paused. A change reaches the runner at once,
    through the trigger of this table.
    """

    _name = "queue.job.channel"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _description = "Job Channels"
    _rec_name = "complete_name"
    _order = "complete_name, id"

    name = fields.Char()
    complete_name = fields.Char(
        compute="_compute_complete_name",
        recursive=True,
        store=True,
        readonly=True,
    )
    parent_id = fields.Many2one(
        comodel_name="queue.job.channel",
        string="Parent Channel",
        ondelete="restrict",
    )
    job_function_ids = fields.One2many(
        comodel_name="queue.job.function",
        inverse_name="channel_id",
        string="Job Functions",
    )
    removal_interval = fields.Integer(
        string="Keep Jobs For (days)",
        required=True,
        default=lambda self: self.env["queue.job"]._removal_interval,
        help="Days after which done and cancelled jobs are deleted.",
    )
    removal_interval_failed = fields.Integer(
        string="Keep Failed Jobs For (days)",
        help="Days after which failed jobs are deleted. 0 keeps them until somebody "
        "has dealt with them.",
    )
    capacity = OptionalInteger(
        aggregator=None,
        help="How many jobs of this channel and its sub-channels run at the same time. "
        "Empty: 1 for the root channel, no limit of its own for the others. "
        "0: no limit of its own.",
    )
    limit_capacity = fields.Selection(
        selection=[
            ("default", "Not set here"),
            ("unlimited", "No limit of its own"),
            ("limited", "At most"),
        ],
        string="Jobs at the Same Time",
        compute="_compute_limit_capacity",
        inverse="_inverse_limit_capacity",
        help="The capacity as a choice, for it can be empty.",
    )
    sequential = fields.Boolean(
        help="One job after the other, in their order; a failed job holds up the channel until "
        "it is dealt with. The capacity must be 1.",
    )
    capacity_default = fields.Integer(
        string="Capacity of Sub-Channels",
        aggregator=None,
        help="Capacity of each sub-channel that states none itself, one level down. "
        "0: only the limit of this channel.",
    )
    sequential_default = fields.Boolean(
        string="Sequential Sub-Channels",
        help="Sub-channels that state no capacity run one job after the other, one level down. "
        "The capacity of sub-channels must be 1.",
    )
    throttle = fields.Float(
        string="Throttle (seconds)",
        aggregator=None,
        help="Shortest time between the starts of two jobs. 0: no wait.",
    )
    paused = fields.Boolean(
        help="No job of this channel and its sub-channels starts. Running jobs end normally.",
    )
    paused_until = fields.Datetime(
        copy=False,
        help="No job of this channel and its sub-channels starts before; then they start "
        "by themselves.",
    )
    pause_reason = fields.Char(copy=False)
    pause_user_id = fields.Many2one(
        "res.users", string="Paused By", readonly=True, copy=False
    )
    pause_date = fields.Datetime(string="Paused Since", readonly=True, copy=False)
    is_paused = fields.Boolean(
        string="Paused Now", compute="_compute_pause", search="_search_is_paused"
    )
    pause_text = fields.Char(
        string="Pause",
        compute="_compute_pause",
        help="Until when the channel is paused, by whom and why.",
    )
    objective = fields.Integer(
        string="Objective (seconds)",
        aggregator=None,
        help="Jobs of this channel and its sub-channels begin within this time. "
        "0: no objective.",
    )
    objective_user_id = fields.Many2one(
        "res.users",
        string="Responsible",
        help="Gets one activity when the objective is missed for five minutes.",
    )
    objective_missed_since = fields.Datetime(readonly=True, copy=False)
    has_objective_activity = fields.Boolean(readonly=True, copy=False)
    is_objective_missed = fields.Boolean(compute="_compute_load")
    is_root = fields.Boolean(compute="_compute_is_root")
    configuration_note = fields.Char(
        string="Set by the Configuration",
        compute="_compute_configuration_note",
        help="What the server's configuration states for this channel. It wins over what is "
        "set here.",
    )
    depth = fields.Integer(compute="_compute_depth")
    running_text = fields.Char(
        string="Running",
        compute="_compute_load",
        help="Jobs that run, of how many may at the same time.",
    )
    waiting_text = fields.Char(
        string="Waiting",
        compute="_compute_load",
        help="Jobs that could run if there were room.",
    )
    later_text = fields.Char(
        string="Later",
        compute="_compute_load",
        help="Jobs that wait for their time, or for other jobs.",
    )
    failed_text = fields.Char(string="Failed", compute="_compute_load")
    failed_count = fields.Integer(compute="_compute_load")
    oldest_text = fields.Char(
        string="Oldest Waiting",
        compute="_compute_load",
        help="How long the job that waits longest could have run by now.",
    )
    is_stopped = fields.Boolean(
        compute="_compute_load", help="This channel or one above it is paused."
    )
    default_capacity = fields.Integer(
        compute="_compute_default_capacity",
        help="The capacity that applies when none is set; 0 for no limit of its own.",
    )
    has_fixed_capacity = fields.Boolean(compute="_compute_fixed")
    has_fixed_pause = fields.Boolean(compute="_compute_fixed")

    _name_uniq = models.Constraint(
        "UNIQUE(complete_name)",
        "A channel of this name exists already under the same parent.",
    )

    def init(self):
        triggers.install(self.env.cr, self._table)

    @api.depends("name", "parent_id.complete_name")
    def _compute_complete_name(self):
        for record in self:
            names = [record.parent_id.complete_name, record.name]
            record.complete_name = ".".join(filter(None, names)) if record.name else ""

    @api.depends("capacity")
    def _compute_limit_capacity(self):
        for record in self:
            if record.capacity is False:
                record.limit_capacity = "default"
            else:
                record.limit_capacity = "limited" if record.capacity else "unlimited"

    def _inverse_limit_capacity(self):
        for record in self:
            if record.limit_capacity == "limited":
                record.capacity = record.capacity or 1
            else:
                record.capacity = 0 if record.limit_capacity == "unlimited" else False

    @api.depends("name", "parent_id")
    def _compute_is_root(self):
        for record in self:
            record.is_root = record._is_root()

    @api.depends("complete_name")
    def _compute_configuration_note(self):
        fixed = self._settings_of_configuration()
        for record in self:
            settings = fixed.get(record.complete_name) or {}
            record.configuration_note = ", ".join(
                f"{option} = {value}"
                for option, value in settings.items()
                if option != "name"
            )

    @api.depends(
        "paused", "paused_until", "pause_date", "pause_reason", "pause_user_id"
    )
    @api.depends_context("lang", "tz")
    def _compute_pause(self):
        now = fields.Datetime.now()
        for channel in self:
            until = channel.paused_until
            is_timed = bool(until and until > now)
            channel.is_paused = channel.paused or is_timed
            channel.pause_text = (
                channel._describe_pause(now) if channel.is_paused else ""
            )

    def _describe_pause(self, now):
        """Return until when, since when, by whom and why this channel is paused."""
        parts = []
        if not self.paused:
            date = time_text(self.env, self.paused_until)
            parts.append(self.env._("until %s", date))
        elif self.pause_date:
            seconds = (now - self.pause_date).total_seconds()
            parts.append(self.env._("for %s", duration_text(self.env, max(seconds, 1))))
        if self.pause_user_id:
            parts.append(self.env._("by %s", self.pause_user_id.sudo().name))
        text = " ".join(parts)
        return ": ".join(filter(None, [text, self.pause_reason]))

    def _search_is_paused(self, operator, value):
        if operator != "in":
            return NotImplemented
        paused = fields.Domain("paused", "=", True) | fields.Domain(
            "paused_until", ">", "now"
        )
        domain = fields.Domain.FALSE
        for wanted in value:
            domain |= paused if wanted else ~paused
        return domain

    @api.depends("complete_name")
    def _compute_depth(self):
        for channel in self:
            channel.depth = (channel.complete_name or "").count(".")

    @api.depends("name", "parent_id")
    def _compute_default_capacity(self):
        default = self._default_root_capacity()
        for channel in self:
            channel.default_capacity = default if channel._is_root() else 0

    @api.depends("complete_name")
    def _compute_fixed(self):
        fixed = self._settings_of_configuration()
        for channel in self:
            settings = fixed.get(channel.complete_name) or {}
            channel.has_fixed_capacity = "capacity" in settings
            channel.has_fixed_pause = bool(settings.get("paused"))

    @api.depends("complete_name", "capacity", "sequential", "paused")
    @api.depends_context("uid", "allowed_company_ids", "lang")
    def _compute_load(self):
        stored = self.filtered("id")
        counts = ChannelCounts(self.env, companies_seen(self.env))
        figures = counts.channels() if stored else {}
        for channel in self:
            load = figures.get(channel.complete_name)
            for key in ("running", "waiting", "later", "failed", "oldest"):
                channel[f"{key}_text"] = self._load_text(load, key) if load else ""
            channel.failed_count = load["failed"].count if load else 0
            channel.is_stopped = bool(load and load["stopped"])
            channel.is_objective_missed = channel._is_missed_by(
                load and load["oldest"], counts.snapshot.now
            )

    @api.model
    def _settings_of_configuration(self):
        """Return what the configuration states, by complete name of channel."""
        return channel_settings.fixed_settings()

    @api.model
    def _default_root_capacity(self):
        """Return how many jobs run at once when neither configuration nor record says it."""
        return default_root_capacity()

    @api.constrains("parent_id", "name")
    def parent_required(self):
        for record in self:
            if record.name and record.name != "root" and not record.parent_id:
                raise exceptions.ValidationError(
                    self.env._("The channel '%s' needs a parent channel.", record.name)
                )

    @api.constrains("parent_id")
    def _check_parent_loop(self):
        if self._has_cycle():
            raise exceptions.ValidationError(
                self.env._("A channel cannot be below one of its own sub-channels.")
            )

    @api.constrains("capacity", "sequential")
    def _check_capacity(self):
        for record in self:
            if record.sequential and record.capacity != 1:
                raise exceptions.ValidationError(
                    self.env._(
                        "The sequential channel '%s' runs one job after the other: "
                        "its capacity must be 1.",
                        record.complete_name,
                    )
                )
            if record.capacity is not False and record.capacity < 0:
                raise exceptions.ValidationError(
                    self.env._(
                        "The capacity of '%s' cannot be negative.", record.complete_name
                    )
                )
            if (
                record._is_root()
                and record.capacity is not False
                and not record.capacity
            ):
                raise exceptions.ValidationError(
                    self.env._(
                        "The root channel needs a capacity of at least 1. To stop all jobs, "
                        "pause it."
                    )
                )

    @api.constrains("objective_user_id")
    def _check_objective_user(self):
        for record in self:
            user = record.objective_user_id
            if user and not user.has_group("queue_job.group_queue_job_manager"):
                raise exceptions.ValidationError(
                    self.env._(
                        "%s is no manager of the job queue, and could not open the channel.",
                        user.name,
                    )
                )

    @api.constrains("capacity_default", "sequential_default")
    def _check_sequential_default(self):
        for record in self:
            if record.sequential_default and record.capacity_default != 1:
                raise exceptions.ValidationError(
                    self.env._(
                        "The sub-channels of '%s' run one job after the other: "
                        "their capacity must be 1.",
                        record.complete_name,
                    )
                )

    @api.constrains(
        "throttle",
        "removal_interval",
        "removal_interval_failed",
        "objective",
        "capacity_default",
    )
    def _check_not_negative(self):
        names = ("throttle", "removal_interval", "removal_interval_failed", "objective")
        names += ("capacity_default",)
        for record in self:
            for name in names:
                if record[name] < 0:
                    raise exceptions.ValidationError(
                        self.env._(
                            "'%(field)s' of the channel '%(channel)s' cannot be negative.",
                            field=record._fields[name].get_description(self.env)[
                                "string"
                            ],
                            channel=record.complete_name,
                        )
                    )

    @api.onchange("sequential")
    def _onchange_sequential(self):
        if self.sequential:
            self.capacity = 1

    @api.model_create_multi
    def create(self, vals_list):
        if self.env.context.get("install_mode"):
            return create_or_reuse(super().create, vals_list, self._find_declared)
        channels = super().create(vals_list)
        if any(vals.get("objective") for vals in vals_list):
            self._follow_objectives()
        return channels

    def write(self, vals):
        if (
            not self.env.context.get("install_mode")
            and {"name", "parent_id"} & vals.keys()
        ):
            self._refuse_move_of_root()
        vals = self._with_author_of_pause(vals)
        result = super().write(vals)
        if "pause_date" in vals and not self.env.context.get("install_mode"):
            self._log_pause()
        if "objective" in vals:
            self._follow_objectives()
        if {"name", "parent_id"} & vals.keys():
            # The settings of job functions hold the complete name.
            self.env.flush_all()
            self.env.registry.clear_cache()
        return result

    def _order_field_to_sql(self, alias, field_name, direction, nulls, query):
        order = super()._order_field_to_sql(alias, field_name, direction, nulls, query)
        if field_name != "complete_name":
            return order
        # Name by name, so that sub-channels follow their channel: the collations of
        # most languages do not look at the dots.
        column = self._field_to_sql(alias, field_name, query)
        return SQL("string_to_array(%s, '.') %s %s", column, direction, nulls)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_root(self):
        if any(record._is_root() for record in self):
            raise exceptions.UserError(
                self.env._("The root channel cannot be deleted.")
            )

    # Objectives -------------------------------------------------------------

    @api.model
    def _follow_objectives(self):
        """Let the scheduled action be active while a channel has an objective."""
        cron = self.env.ref(
            "queue_job.queue_job_objective_cron", raise_if_not_found=False
        )
        wanted = bool(
            self.sudo().search_count(
                [
                    *("|", ("objective", ">", 0)),
                    ("objective_missed_since", "!=", False),
                ],
                limit=1,
            )
        )
        if cron and cron.sudo().active != wanted:
            cron.sudo().active = wanted

    @api.model
    def _cron_check_objectives(self, now=None):
        """Note which channels miss their objective, and since when.

        Missed for five minutes, one activity is made for the responsible user; it is
        closed when the objective is met again.
        """
        now = now or datetime.now()
        channels = self.search(
            ["|", ("objective", ">", 0), ("objective_missed_since", "!=", False)]
        )
        figures = ChannelCounts(self.env).channels() if channels else {}
        for channel in channels:
            load = figures.get(channel.complete_name) or {}
            channel._check_objective(load.get("oldest"), now)
        self._follow_objectives()

    def _is_missed_by(self, oldest, now):
        """Return whether a job that is ready since ``oldest`` should have begun."""
        return bool(
            self.objective
            and oldest
            and now - oldest > timedelta(seconds=self.objective)
        )

    def _check_objective(self, oldest, now):
        if not self._is_missed_by(oldest, now):
            if self.objective_missed_since:
                self.write(
                    {"objective_missed_since": False, "has_objective_activity": False}
                )
                self.activity_feedback(
                    [OBJECTIVE_ACTIVITY],
                    feedback=self.env._("The objective is met again."),
                )
            return
        if not self.objective_missed_since:
            due = oldest + timedelta(seconds=self.objective)
            self.objective_missed_since = due.replace(microsecond=0)
        is_late = now - self.objective_missed_since >= OBJECTIVE_PATIENCE
        if is_late and self.objective_user_id and not self.has_objective_activity:
            self.has_objective_activity = True
            self.activity_schedule(
                OBJECTIVE_ACTIVITY,
                user_id=self.objective_user_id.id,
                summary=self.env._("Jobs begin late"),
                note=self.env._(
                    "The oldest job of %(channel)s has been ready for %(age)s; the objective "
                    "is %(objective)s.",
                    channel=self.complete_name,
                    age=duration_text(self.env, (now - oldest).total_seconds()),
                    objective=duration_text(self.env, self.objective),
                ),
            )

    @api.model
    def _with_author_of_pause(self, vals):
        """Return the values of a write with who pauses or resumes, and when."""
        if not {"paused", "paused_until"} & vals.keys():
            return vals
        is_pause = vals.get("paused") or vals.get("paused_until")
        author = {
            "pause_user_id": self.env.uid if is_pause else False,
            "pause_date": fields.Datetime.now() if is_pause else False,
        }
        return {"pause_reason": False, **vals, **author}

    def _log_pause(self):
        """Note in the chatter what was paused and resumed."""
        for channel in self:
            text = (
                self.env._("Paused %s", channel.pause_text)
                if channel.is_paused
                else self.env._("Resumed")
            )
            channel._message_log(body=text)

    @api.private
    def pause(self, until=False, reason=False):
        """Stop starting jobs of these channels and of what is below them.

        :param until: naive UTC datetime at which they start again by themselves, or False
        """
        values = {"paused": not until, "paused_until": until, "pause_reason": reason}
        return self.write(values)

    def action_pause(self):
        """Stop starting jobs of these channels and of what is below them, until resumed."""
        return self.pause()

    def action_resume(self):
        """Start jobs of these channels again."""
        return self.write({"paused": False, "paused_until": False})

    def action_pause_for(self):
        """Return the dialog that asks for how long."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "queue_job.action_queue_job_pause"
        )
        return {**action, "context": {"default_channel_id": self.id}}

    def action_open_jobs(self):
        """Return the action that lists the jobs of this channel and of what is below it."""
        self.ensure_one()
        if self._is_root():
            return self.env["queue.job"]._action_list(self.env._("Jobs"), [])
        name = self.env._("Jobs of %s", self.complete_name)
        return self.env["queue.job"]._action_list(
            name, self._domain_of(self.complete_name)
        )

    @api.model
    def _domain_of(self, complete_name):
        """Return the domain of the jobs of a channel, not root, and of what is below it."""
        # Jobs may name their channel without the root.
        names = Snapshot.spellings(complete_name)
        return [
            *("|", "|"),
            ("channel", "in", names),
            *(("channel", "=like", f"{escape_psql(it)}.%") for it in names),
        ]

    @api.model
    def _removal_deadlines(self, now, field="removal_interval"):
        """Return, by channel, the date before which jobs that ended are deleted.

        A channel stands there as jobs may spell it.

        :param field: ``removal_interval``, or ``removal_interval_failed``: a
            channel where this one is 0 keeps its failed jobs, and is left out
        """
        channels = self.search([(field, ">", 0)] if field != "removal_interval" else [])
        deadlines = {
            channel.complete_name: now - timedelta(days=min(channel[field], _LONG_AGO))
            for channel in channels
        }
        short = {
            name.removeprefix("root."): deadline for name, deadline in deadlines.items()
        }
        return {**short, **deadlines}

    @api.model
    def _warn_unlimited(self, name):
        """Log a channel that nothing but root limits, once in each process."""
        known = (self.env.cr.dbname, name)
        if known in _warned or name == "root":
            return
        if len(_warned) >= _MOST_WARNED:
            _warned.clear()
        _warned.add(known)
        parts = name.split(".")
        names = [".".join(parts[:end]) for end in range(2, len(parts) + 1)]
        if self._settings_of_configuration().keys().isdisjoint(names):
            if not self.sudo().search_count([("complete_name", "in", names)], limit=1):
                _logger.warning(
                    "channel %s has no record and no setting; limited by root only",
                    name,
                )

    def _is_root(self):
        return self.name == "root" and not self.parent_id

    def _refuse_move_of_root(self):
        if any(record._is_root() for record in self):
            raise exceptions.UserError(
                self.env._("The root channel cannot be renamed or moved.")
            )

    def _find_declared(self, vals):
        """Return the channel that ``vals`` of an XML record declare again."""
        if not vals.get("name"):
            return self.browse()
        return self.search(
            [
                ("name", "=", vals["name"]),
                ("parent_id", "=", vals.get("parent_id", False)),
            ],
            limit=1,
        )

    def _load_text(self, load, key):
        if key == "oldest":
            age = seconds_since(load["oldest"])
            return "" if age is None else duration_text(self.env, age)
        if key == "later":
            number = load["later"] + load["depending"]
            return self._number_text(number, "")
        if key == "running":
            text = self._number_text(load["running"])
            return f"{text} / {load['capacity']}" if load["capacity"] else text
        return self._number_text(load[key], "")

    def _number_text(self, number, none="0"):
        """Return a number as text.

        :param none: what stands for none at all
        """
        if not number.count and number.exact:
            return none
        text = formatLang(self.env, number.count, digits=0)
        if number.exact:
            return text
        return f"≈ {text}" if number.estimated else f"{text}+"
