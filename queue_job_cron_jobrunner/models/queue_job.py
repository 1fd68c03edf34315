# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import datetime, timezone

from odoo import SUPERUSER_ID, api, models

from odoo.addons.queue_job.job import PENDING, Job

from ..alarm import alarm_clock
from ..bundle import CronBundle, claim, perform_uncommitted
from ..cron_pass import CronPass

PASS = "queue_job_cron_pass"


class QueueJob(models.Model):
    _inherit = "queue.job"

    @api.private
    @api.model_create_multi
    def create(self, vals_list):
        jobs = super().create(vals_list)
        jobs._ensure_cron_trigger()
        return jobs

    def _modules_without_interest(self):
        # Only pending jobs have a trigger.
        return (
            *super()._modules_without_interest(),
            "odoo.addons.queue_job_cron_jobrunner.",
        )

    def _is_release_overridden(self):
        return True

    def write(self, vals):
        result = super().write(vals)
        if "state" in vals or "eta" in vals:
            self._ensure_cron_trigger()
        return result

    # Waking -----------------------------------------------------------------

    @api.model
    def _cron_trigger(self, at=None):
        """Make every runner cron run, now or ``at`` a datetime or several."""
        crons = self.env["ir.cron"].sudo()._runner_crons()
        for cron in crons:
            cron._trigger(at=at)
        if at and crons:
            moments = [at] if isinstance(at, datetime) else at
            times = {
                moment.replace(tzinfo=timezone.utc).timestamp() for moment in moments
            }
            db_name = self.env.cr.dbname
            self.env.cr.postcommit.add(lambda: alarm_clock.set(db_name, times))

    def _ensure_cron_trigger(self):
        """Make the runner crons run when those of these jobs that are pending may start."""
        pending = self.filtered(lambda job: job.state == PENDING)
        if not pending:
            return
        etas = {job.eta for job in pending if job.eta}
        if any(not job.eta for job in pending):
            self._cron_trigger()
        if etas:
            self._cron_trigger(at=sorted(etas))

    # Running ----------------------------------------------------------------

    @api.model
    def _job_runner(self, commit=True):
        """Perform jobs until none may start, or until this cron has had its time.

        With ``commit`` each job is claimed and ended by a commit of its own. Without,
        all happens in the transaction of the caller.
        """
        if commit:
            CronPass(self).run()
            return
        while job := self._acquire_one_job():
            job._process(commit=False)

    @api.model
    def _acquire_one_job(self):
        """Return the job to perform next, its row locked until the end of the
        transaction, or an empty recordset.

        Of the jobs that are pending and whose eta has come the one with the
        best priority, then the oldest, among those that their channels let
        start. Skips rows that somebody else has locked, and keys that a refused
        caller holds. Takes the lock of the turn, held until the transaction ends.
        """
        self.env.flush_all()
        look = self._look()
        cron_pass = self.env.context.get(PASS)
        if cron_pass:
            cron_pass.look = look
        return self.search([("uuid", "=", look.uuid)]) if look.uuid else self.browse()

    def _process(self, commit=False):
        """Perform this pending job, and with ``commit`` what may follow it at once.

        The outcome is recorded, whatever it is; nothing is raised for a job that
        failed.
        """
        self.ensure_one()
        # A job knows nothing of the cron that performs it.
        env = api.Environment(self.env.cr, SUPERUSER_ID, {})
        cron_pass = self.env.context.get(PASS)
        if not cron_pass and not env["queue.job"]._lock_pending([self.uuid])[0]:
            return
        lease = claim(env, Job.load(env, self.uuid), commits=commit)
        if not commit:
            perform_uncommitted(env, lease)
            return
        # `started` is for everybody to see, and counted if this process dies.
        self.env["ir.cron"]._commit_progress(1, remaining=1)
        if cron_pass:
            cron_pass.end_bundle(cron_pass.begin_bundle(env, lease).perform())
        else:
            CronBundle(env, lease).perform()
