# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL

from ..insight.labels import label_of
from ..sql import statements as sql


class QueueJobFailure(models.Model):
    """The failed jobs by function, kind of error (its cause, if tries ran out) and company.

    A row stands for a group; its id is that of the oldest job in it.
    """

    _name = "queue.job.failure"
    _description = "Failures of Jobs"
    _auto = False
    _depends = {
        "queue.job": [
            "channel_method_name",
            "company_id",
            "date_created",
            "date_enqueued",
            "date_started",
            "exc_cause",
            "exc_name",
            "state",
        ]
    }
    _order = "last_seen DESC, id"
    _rec_name = "function"

    function = fields.Char(string="Job Function")
    function_label = fields.Char(compute="_compute_function_label")
    exc_name = fields.Char(string="Exception")
    company_id = fields.Many2one("res.company")
    jobs_count = fields.Integer(string="Jobs")
    last_hour = fields.Integer(help="Failed within the last hour.")
    last_day = fields.Integer(help="Failed within the last 24 hours.")
    last_week = fields.Integer(help="Failed within the last 7 days.")
    first_seen = fields.Datetime(help="Start of the run that failed first.")
    last_seen = fields.Datetime(help="Start of the run that failed last.")
    last_job_id = fields.Many2one("queue.job")
    exc_message = fields.Char(related="last_job_id.exc_message", string="Last Message")

    is_new = fields.Boolean(
        string="New",
        compute="_compute_is_new",
        help="Failed for the first time after the last deploy.",
    )

    @api.depends("function")
    def _compute_function_label(self):
        for failure in self:
            failure.function_label = label_of(self.env, failure.function)

    @api.depends("first_seen")
    def _compute_is_new(self):
        deploy = self.env["queue.job.deploy"]._last_deploy()
        for failure in self:
            failure.is_new = bool(
                deploy and failure.first_seen and failure.first_seen >= deploy
            )

    @property
    def _table_query(self):
        return SQL(sql.failures)

    def _jobs_domain(self):
        """Return the domain of the failed jobs in these groups."""
        return [("state", "=", "failed"), *Domain.OR(map(self._group_domain, self))]

    @staticmethod
    def _group_domain(failure):
        name = failure.exc_name
        error = Domain("exc_cause", "=", False) & Domain("exc_name", "=", name)
        if name:
            error |= Domain("exc_cause", "=", name)
        return error & Domain(
            [
                ("channel_method_name", "=", failure.function),
                ("company_id", "=", failure.company_id.id),
            ]
        )

    def action_open_jobs(self):
        """Return the action that lists the jobs of these groups."""
        return self.env["queue.job"]._action_list(
            self.env._("Failed Jobs"), self._jobs_domain(), context={}
        )

    def action_open_jobs_since(self, hours):
        """Return the action that lists the jobs of these groups that failed lately."""
        action = self.action_open_jobs()
        since = fields.Datetime.now() - timedelta(hours=hours)
        return {**action, "domain": [*action["domain"], *failed_since(since)]}

    def action_requeue(self):
        return self._confirm("queue_job.action_requeue_job")

    def action_set_done(self):
        return self._confirm("queue_job.action_set_jobs_done")

    def action_cancel(self):
        return self._confirm("queue_job.action_set_jobs_cancelled")

    def _confirm(self, xmlid):
        """Return the wizard that says how many jobs there are, and moves them."""
        action = self.env["ir.actions.act_window"]._for_xml_id(xmlid)
        context = {"default_jobs_domain": self._jobs_domain()}
        if len(self) == 1 and xmlid == "queue_job.action_requeue_job":
            context["default_error_text"] = ": ".join(
                filter(None, [self.function, self.exc_name])
            )
        action["context"] = context
        return action


def failed_since(date):
    """Return the domain of failed jobs whose last run began after a date.

    As ``failed_at`` in ``sql/insight.sql``: a job that never began counts by its dates.
    """
    return [
        "|",
        ("date_started", ">=", date),
        "&",
        ("date_started", "=", False),
        "|",
        ("date_enqueued", ">=", date),
        "&",
        ("date_enqueued", "=", False),
        ("date_created", ">=", date),
    ]
