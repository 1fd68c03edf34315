# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.fields import Domain

from ..states import CAN_REQUEUE, DONE

# More are neither shown nor sent to the browser one by one.
SHOWN = 500


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
    done_count = fields.Integer(
        compute="_compute_done_count", help="Those that were done run once more."
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

    @api.depends("job_ids", "jobs_domain")
    def _compute_counts(self):
        for wizard in self:
            domain = wizard._domain()
            jobs = self.env["queue.job"]
            wizard.jobs_count = jobs.search_count(domain)
            wizard.moved_count = jobs.search_count(wizard._moved_domain())
            wizard.left_count = wizard.jobs_count - wizard.moved_count

    @api.depends("job_ids", "jobs_domain")
    def _compute_done_count(self):
        for wizard in self:
            domain = wizard._moved_domain() & Domain("state", "=", DONE)
            wizard.done_count = self.env["queue.job"].search_count(domain)

    def _domain(self):
        if self.jobs_domain:
            return Domain(self.jobs_domain)
        return Domain("id", "in", self.job_ids._origin.ids)

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
        self._jobs().requeue()
        return {"type": "ir.actions.act_window_close"}
