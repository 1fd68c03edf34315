# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Scheduled actions that run as jobs.

The scheduler locks the row of an action while it enqueues, and moves ``nextcall`` in that
transaction; the job is stored in another one. So the job never writes the row in its own
transaction, which would conflict with the scheduler and repeat the work: what is recorded
at its end goes in a transaction apart.
"""

import functools
import logging
import time

from psycopg2 import OperationalError

from odoo import SUPERUSER_ID, api, fields, models
from odoo.service.model import PG_CONCURRENCY_ERRORS_TO_RETRY

from odoo.addons.base.models.ir_cron import (
    MIN_RUNS_PER_JOB,
    MIN_TIME_PER_JOB,
    CompletionStatus,
    _intervalTypes,
)
from odoo.addons.queue_job.exception import BaseQueueJobError
from odoo.addons.queue_job.job import identity_exact

from ..sql import statements as sql

_logger = logging.getLogger(__name__)

RECORD_TRIES = 5
# Key of the context: the end of a job, not of its enqueuing, is recorded.
_END_OF_JOB = "queue_job_cron.end_of_job"


class IrCron(models.Model):
    _inherit = "ir.cron"

    run_as_queue_job = fields.Boolean(
        string="Run as Job",
        help="Run this action as a job of the job queue, with its channels, retries and "
        "screens.",
    )
    no_parallel_queue_job_run = fields.Boolean(
        string="No Parallel Jobs",
        default=True,
        help="No second job while a job of this action waits.",
    )
    channel_id = fields.Many2one(
        "queue.job.channel",
        compute="_compute_run_as_queue_job",
        store=True,
        readonly=False,
    )
    missed_queue_job_runs = fields.Selection(
        [("one", "Run Once"), ("skip", "Skip")],
        string="Missed Runs",
        default="one",
        help="Handling of planned times that passed while no scheduler ran.",
    )
    last_queue_job_ids = fields.Many2many(
        "queue.job", string="Last Jobs", compute="_compute_last_queue_job_ids"
    )

    _last_queue_jobs = 10

    @api.depends("run_as_queue_job")
    def _compute_run_as_queue_job(self):
        channel = self.env.ref(
            "queue_job_cron.channel_root_ir_cron", raise_if_not_found=False
        )
        for cron in self:
            if cron.channel_id:
                continue
            cron.channel_id = channel if cron.run_as_queue_job else False

    def _compute_last_queue_job_ids(self):
        jobs = self.env["queue.job"]
        is_reader = jobs.has_access("read")
        for cron in self:
            domain = [("ir_cron_id", "=", cron._origin.id)]
            cron.last_queue_job_ids = (
                jobs.search(domain, order="id DESC", limit=self._last_queue_jobs)
                if is_reader and cron._origin
                else jobs
            )

    def write(self, vals):
        result = super().write(vals)
        if "nextcall" in vals:
            self._plan_again()
        return result

    def _plan_again(self):
        """Let an action run at a planned time that a person set, even if it ran then."""
        jobs = self.env["queue.job"].sudo()
        for cron in self.sudo():
            jobs.search(
                cron._domain_of_planned(cron.nextcall)
            ).ir_cron_planned_at = False

    def _domain_of_planned(self, planned_at):
        return [
            ("ir_cron_id", "=", self.id),
            ("ir_cron_planned_at", "=", planned_at),
        ]

    # Enqueuing --------------------------------------------------------------

    def _is_run_as_queue_job(self):
        """Return whether the scheduler delays a job; never for what performs jobs."""
        cron = self.sudo()
        performs_jobs = "queue_job_runner" in cron._fields and cron["queue_job_runner"]
        return bool(cron.run_as_queue_job and not performs_jobs)

    def _callback(self, cron_name, server_action_id):
        """Delay one job instead of running the action; the caller commits."""
        if not self._is_run_as_queue_job():
            return super()._callback(cron_name, server_action_id)
        self.ensure_one()
        planned_at = self._planned_at()
        if not self._is_wanted(planned_at):
            return None
        server_action = self.env["ir.actions.server"].browse(server_action_id)
        # The scheduler commits what this leaves, also after an error.
        with self.env.cr.savepoint():
            cron = self.with_context(ir_cron_planned_at=planned_at)
            cron._delay_run_job_as_queue_job(server_action=server_action)
        return None

    def method_direct_trigger(self):
        """Delay a job by hand, and return the action that opens it."""
        self.ensure_one()
        self.browse().check_access("write")
        if not self._is_run_as_queue_job():
            return super().method_direct_trigger()
        job = self.with_context(
            lastcall=self.lastcall, ir_cron_planned_at=None
        )._delay_run_job_as_queue_job(server_action=self.ir_actions_server_id)
        record = self.env["queue.job"].sudo().search([("uuid", "=", job.uuid)])
        if not record.sudo(False).has_access("read"):
            return True
        return {
            "type": "ir.actions.act_window",
            "name": record.name,
            "res_model": "queue.job",
            "res_id": record.id,
            "views": [(False, "form")],
        }

    def _delay_run_job_as_queue_job(self, server_action):
        """Delay the job of one action as the user of the action; return the job.

        Like the scheduler, it passes on nothing of the caller's context but ``lastcall``.
        """
        self.ensure_one()
        cron = self.sudo()
        names = ("lastcall", "ir_cron_planned_at")
        context = {name: self.env.context.get(name) for name in names}
        as_user = self.with_user(cron.user_id).with_context(context)  # pylint: disable=context-overridden # as Odoo's scheduler
        return as_user.with_delay(
            priority=cron.priority,
            description=cron.name,
            channel=cron.channel_id.complete_name or None,
            identity_key=identity_exact if cron.no_parallel_queue_job_run else None,
        )._run_job_as_queue_job(server_action=server_action.with_env(as_user.env))

    def _planned_at(self):
        """Return the planned time for which the scheduler calls, None for a trigger.

        ``nextcall`` is moved when the call has returned.
        """
        if self.env.context.get("cron_id") != self.id:
            return None
        nextcall = self.sudo().nextcall
        return nextcall if nextcall <= self.env.cr.now() else None

    def _is_wanted(self, planned_at):
        """Return whether a planned time needs a job.

        Not if there is one, whose enqueuing died before the scheduler moved
        ``nextcall``; nor if all of the interval has passed and missed times are skipped.
        """
        if not planned_at:
            return True
        jobs = self.env["queue.job"].sudo()
        if jobs.search_count(self._domain_of_planned(planned_at), limit=1):
            return False
        return not self._is_missed(planned_at)

    def _is_missed(self, planned_at):
        cron, now = self.sudo(), self.env.cr.now()
        if cron.missed_queue_job_runs != "skip":
            return False
        interval = _intervalTypes[cron.interval_type](cron.interval_number)
        if planned_at + interval > now:
            return False
        triggered = [("cron_id", "=", self.id), ("call_at", "<=", now)]
        return not self.env["ir.cron.trigger"].sudo().search_count(triggered, limit=1)

    def _job_prepare_context_before_enqueue(self):
        """Keep the time of the last run, which the action reads from its context."""
        context = super()._job_prepare_context_before_enqueue()
        lastcall = self.env.context.get("lastcall")
        if lastcall:
            context["lastcall"] = fields.Datetime.to_string(lastcall)
        return context

    def _job_store_values_for__run_job_as_queue_job(self, job):
        """Return the columns that tie a new job to its action."""
        if job.row_id is not None or not self:
            return {}
        planned_at = self.env.context.get("ir_cron_planned_at")
        return {"ir_cron_id": self.id, "ir_cron_planned_at": planned_at}

    # The job ----------------------------------------------------------------

    def _run_job_as_queue_job(self, server_action):
        """Run a server action, again while it reports work that remains; return its result.

        The job that a scheduled action becomes. An empty recordset runs the action
        once. The user needs no right on scheduled actions.

        :raise Exception: that of the action, unless it has reported progress with a
            commit and work remains: then it is logged, and the action runs again
        """
        if not self:
            return server_action.run()
        self.ensure_one()
        cron = self.with_context(
            lastcall=fields.Datetime.to_datetime(self.env.context.get("lastcall")),
            cron_id=self.id,
            cron_end_time=time.monotonic() + MIN_TIME_PER_JOB,
        )
        result = progress = None
        for number in range(MIN_RUNS_PER_JOB):
            cron, progress = cron._add_progress()
            result = cron._run_once(server_action, progress)
            if not progress.remaining:
                break
            if not progress.done:
                if not number:
                    _logger.warning("scheduled action %s: processed no record", self.id)
                break
        if progress.remaining:
            self.sudo()._reschedule_asap({"id": self.id})
            self.env.cr.postcommit.add(self.sudo()._notifydb)
        self._record_success(progress.deactivate and not progress.remaining)
        return result

    def _run_once(self, server_action, progress):
        action = server_action.with_env(self.env)
        try:
            result = action.run()
            self.env.flush_all()
            return result
        except (BaseQueueJobError, OperationalError):
            raise
        except Exception:
            # The work since the last commit is undone; committed progress stays.
            self.env.cr.rollback()
            progress.invalidate_recordset()
            if not (progress.exists() and progress.done and progress.remaining):
                raise
            _logger.exception("scheduled action %s: failed, will go on", self.id)
            return None

    # Its end ----------------------------------------------------------------

    def _record_success(self, deactivate):
        """Record, once this is committed, what a success changes on the action."""
        if deactivate or self.sudo().failure_count:
            self.env.cr.postcommit.add(
                functools.partial(
                    _record_end,
                    *(self.env.registry, self.id),
                    *(CompletionStatus.FULLY_DONE, deactivate),
                )
            )

    def _on_queue_job_failed(self, **failure):
        """Count the failure of a job on its action; commits apart."""
        for cron in self:
            _record_end(self.env.registry, cron.id, CompletionStatus.FAILED)

    @api.model
    def _update_failure_count(self, job, status):
        """Leave the counter to the end of the job: its enqueuing is no success."""
        is_enqueuing = job.get("run_as_queue_job") and not job.get("queue_job_runner")
        if (
            is_enqueuing
            and status != CompletionStatus.FAILED
            and not self.env.context.get(_END_OF_JOB)
        ):
            return None
        return super()._update_failure_count(job, status)


def _record_end(registry, cron_id, status, deactivate=False):
    """Record the end of a job on its action, in a transaction apart."""
    for _try in range(RECORD_TRIES):
        try:
            with registry.cursor() as cr:
                cr.execute(sql.lock_cron, {"cron": cron_id})
                row = cr.dictfetchone()
                if row:
                    row["active"] = row["active"] and not deactivate
                    env = api.Environment(cr, SUPERUSER_ID, {_END_OF_JOB: True})
                    env["ir.cron"]._update_failure_count(row, status)
                return
        except OperationalError as error:
            if error.pgcode not in PG_CONCURRENCY_ERRORS_TO_RETRY:
                raise
    _logger.warning("scheduled action %s: end of its job not recorded", cron_id)
