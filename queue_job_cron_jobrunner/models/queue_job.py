# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import datetime, timezone

from odoo import SUPERUSER_ID, api, models

from odoo.addons.queue_job.states import PENDING
from odoo.addons.queue_job.worker import claim_first

from ..alarm import alarm_clock
from ..bundle import CronBundle, perform_uncommitted
from ..cron_pass import CronPass
from .queue_job_pick import Pick

# Key of the cursor's cache.
_PICK = "queue_job_cron.pick"


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
        start. Skips rows that other sessions have locked, and keys that a refused
        caller holds. Takes the lock of picks, held until the transaction ends.
        """
        self.env.flush_all()
        pick = self.env.cr.cache[_PICK] = self._pick_next()
        return self.search([("uuid", "=", pick.uuid)]) if pick.uuid else self.browse()

    @api.model
    def _last_pick(self):
        """Return what the last pick of this cursor found."""
        return self.env.cr.cache.get(_PICK, Pick())

    def _process(self, commit=False):
        """Perform this pending job, and with ``commit`` what may follow it at once.

        The outcome is recorded, whatever it is; nothing is raised for a job that
        failed. Return the report of a bundle that was committed.
        """
        self.ensure_one()
        # A job knows nothing of the cron that performs it.
        env = api.Environment(self.env.cr, SUPERUSER_ID, {})
        pick = self._last_pick()
        lease = claim_first(env, [self.uuid], commits=commit)
        if not lease:
            return None
        if not commit:
            perform_uncommitted(env, lease)
            return None
        # `started` is for all sessions to see, and counted if this process dies.
        self.env["ir.cron"]._commit_progress(1, remaining=1)
        followers = pick.followers if pick.uuid == lease.job.uuid else ()
        return CronBundle(env, lease, followers, pick.in_order).perform()
