# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.tools import SQL
from odoo.tools.misc import formatLang
from odoo.tools.sql import escape_psql

from .queue_job_companies import companies_seen
from .queue_job_load import Load, seconds_since
from .queue_job_situation import Situation, duration_text


class QueueJobChannel(models.Model):
    """What a channel does now, for people: numbers with what is below it."""

    _inherit = "queue.job.channel"

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

    def _order_field_to_sql(self, alias, field_name, direction, nulls, query):
        order = super()._order_field_to_sql(alias, field_name, direction, nulls, query)
        if field_name != "complete_name":
            return order
        # Name by name, so that sub-channels follow their channel: the collations of
        # most languages do not look at the dots.
        column = self._field_to_sql(alias, field_name, query)
        return SQL("string_to_array(%s, '.') %s %s", column, direction, nulls)

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
        figures = Load(self.env, companies_seen(self.env)).channels() if stored else {}
        for channel in self:
            load = figures.get(channel.complete_name)
            for key in ("running", "waiting", "later", "failed", "oldest"):
                channel[f"{key}_text"] = self._load_text(load, key) if load else ""
            channel.failed_count = load["failed"].count if load else 0
            channel.is_stopped = bool(load and load["stopped"])

    def action_open_jobs(self):
        """Return the action that lists the jobs of this channel and of what is below it."""
        self.ensure_one()
        if self._is_root():
            return self.env["queue.job"]._action_list(self.env._("Jobs"), [])
        # Jobs may name their channel without the root.
        names = Situation.spellings(self.complete_name)
        domain = [
            *("|", "|"),
            ("channel", "in", names),
            *(("channel", "=like", f"{escape_psql(it)}.%") for it in names),
        ]
        name = self.env._("Jobs of %s", self.complete_name)
        return self.env["queue.job"]._action_list(name, domain)

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
