# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import format_datetime

from ..models.queue_job_failure import failed_since
from ..states import CAN_REQUEUE, DONE, PENDING

# More are neither shown nor sent to the browser one by one.
SHOWN = 500
# Distinct starts when jobs are spread: each is one write.
SLOTS = 60


class QueueRequeueJob(models.TransientModel):
    """Put the selected jobs back to pending.

    The selection is ``job_ids`` or, when it is large or a filter, the domain
    ``jobs_domain``: then the jobs that match when the button is pressed are
    moved. The form says how many that are, and how many are left alone.
    """

    _name = "queue.requeue.job"
    _description = "Wizard to requeue a selection of jobs"

    # In these states the wizard moves a job.
    _moved_states = CAN_REQUEUE

    def _default_job_ids(self):
        context = self.env.context
        if (
            self._is_for_jobs()
            and context.get("active_ids")
            and not self._selected_domain()
        ):
            return context["active_ids"]
        return False

    job_ids = fields.Many2many(
        comodel_name="queue.job",
        string="Jobs",
        default=lambda self: self._default_job_ids(),
    )
    jobs_domain = fields.Json(
        default=lambda self: self._selected_domain(),
        help="Stands for the jobs when they are many.",
    )
    jobs_count = fields.Integer(compute="_compute_counts")
    moved_count = fields.Integer(compute="_compute_counts")
    left_count = fields.Integer(compute="_compute_counts")
    error_text = fields.Char(
        readonly=True, help="The error of the failed jobs that are requeued."
    )
    scope = fields.Selection(
        "_scopes", default="all", required=True, help="Since when the jobs failed."
    )
    spread_minutes = fields.Integer(
        string="Spread Over (minutes)",
        help="Minutes over which the starts of the jobs are spread. 0: all at once.",
    )
    done_count = fields.Integer(
        compute="_compute_done_count", help="Those that were done run once more."
    )

    @api.model
    def _scopes(self):
        """Return since when; of a deploy only where one is known."""
        scopes = [
            ("all", self.env._("All")),
            ("hour", self.env._("1 hour")),
            ("day", self.env._("24 hours")),
        ]
        deploy = self.env["queue.job.deploy"]._last_deploy()
        if deploy:
            text = self.env._(
                "Since the deploy (%s)", format_datetime(self.env, deploy)
            )
            scopes.append(("deploy", text))
        return scopes

    def _scope_domain(self):
        now = fields.Datetime.now()
        since = {
            "hour": now - timedelta(hours=1),
            "day": now - timedelta(days=1),
            "deploy": self.env["queue.job.deploy"]._last_deploy(),
        }.get(self.scope)
        return Domain(failed_since(since)) if since else Domain.TRUE

    kept_count = fields.Integer(
        compute="_compute_kept_count", help="Those that go on behind their last step."
    )
    from_beginning = fields.Boolean(
        string="From the beginning", help="Forget the steps that are over."
    )

    def _is_for_jobs(self):
        return self.env.context.get("active_model") == "queue.job"

    def _selected_domain(self):
        """Return the domain that stands for a large selection, False for a small one."""
        context = self.env.context
        ids = context.get("active_ids") or []
        if not self._is_for_jobs() or len(ids) <= SHOWN:
            return False
        # The browser sends no more ids than this, and the domain they are from.
        domain = context.get("active_domain")
        if domain is None or len(ids) < self._active_ids_limit():
            return [("id", "in", ids)]
        # That of a list without filters is empty, as if there were none.
        return domain or list(Domain.TRUE)

    def _active_ids_limit(self):
        parameters = self.env["ir.config_parameter"].sudo()
        return int(parameters.get_param("web.active_ids_limit", default="20000"))

    @api.depends("job_ids", "jobs_domain", "scope")
    def _compute_counts(self):
        for wizard in self:
            domain = wizard._domain()
            jobs = self.env["queue.job"]
            wizard.jobs_count = jobs.search_count(domain)
            wizard.moved_count = jobs.search_count(wizard._moved_domain())
            wizard.left_count = wizard.jobs_count - wizard.moved_count

    @api.depends("job_ids", "jobs_domain", "scope")
    def _compute_done_count(self):
        for wizard in self:
            domain = wizard._moved_domain() & Domain("state", "=", DONE)
            wizard.done_count = self.env["queue.job"].search_count(domain)

    @api.depends("job_ids", "jobs_domain")
    def _compute_kept_count(self):
        for wizard in self:
            wizard.kept_count = self.env["queue.job.checkpoint"].search_count(
                [("job_id", "any", wizard._moved_domain())]
            )

    def _domain(self):
        if self.jobs_domain:
            return Domain(self.jobs_domain) & self._scope_domain()
        return Domain("id", "in", self.job_ids._origin.ids) & self._scope_domain()

    def _moved_domain(self):
        return self._domain() & Domain("state", "in", self._moved_states)

    def _jobs(self):
        """Return the jobs to move: those that the person may see, in a state that allows it.

        Of so many jobs only the state is read.
        """
        return self.env["queue.job"].search_fetch(
            self._moved_domain(), ["state"], order="id"
        )

    def requeue(self):
        jobs = self._jobs()
        jobs.requeue()
        if self.from_beginning:
            jobs._forget_steps()
        self._spread(jobs)
        return {"type": "ir.actions.act_window_close"}

    def _spread(self, jobs):
        """Give the jobs that are pending now etas over the minutes that were asked for."""
        if self.spread_minutes <= 0:
            return
        pending = jobs.filtered(lambda job: job.state == PENDING)
        slots = min(len(pending), SLOTS)
        now = fields.Datetime.now()
        for slot in range(1, slots):
            part = pending[
                slot * len(pending) // slots : (slot + 1) * len(pending) // slots
            ]
            seconds = slot * self.spread_minutes * 60 // slots
            part._editor().write({"eta": now + timedelta(seconds=seconds)})

    def try_one(self):
        """Requeue one job, then ten, then all: each step only if the one before is done."""
        self.ensure_one()
        jobs = self.env["queue.job"]
        ids = jobs.search(self._moved_domain(), order="id").ids
        if ids:
            jobs._try_requeue(ids)
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "message": self.env._(
                    "One job was requeued. The others follow once it is done; if it fails, "
                    "they stay as they are."
                ),
                "next": {"type": "ir.actions.act_window_close"},
            },
        }
