# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import threading
import weakref

from odoo import api, fields, models

from ..sql import statements as sql

_TOLD = "queue_job_cron_jobrunner.told"
# The cursor of the round in which this thread has run a runner cron.
_round = threading.local()


def _round_of_this_thread():
    return getattr(_round, "cursors", ())


class IrCron(models.Model):
    """A cron whose cron workers perform jobs.

    Odoo never runs a cron twice at once: as many jobs run at the same time as
    there are runner crons, workers and channels permitting.
    """

    _inherit = "ir.cron"

    _most_runners = 64

    queue_job_runner = fields.Boolean(
        string="Job Queue Runner",
        help="Run this as soon as a job of the job queue may start.",
    )
    queue_job_runner_note = fields.Char(
        string="Job Queue Note", compute="_compute_queue_job_runner_note"
    )

    @api.depends("queue_job_runner")
    def _compute_queue_job_runner_note(self):
        runners = self.filtered("queue_job_runner")
        is_alive = runners and self.env["queue.job"].sudo()._is_regular_runner_alive()
        note = self.env._(
            "The job runner of the server performs the jobs of this database, so this action does "
            "nothing. Archive it, or stop the runner with the channels root:0."
        )
        for cron in self:
            cron.queue_job_runner_note = note if is_alive and cron in runners else False

    @api.model_create_multi
    def create(self, vals_list):
        crons = super().create(vals_list)
        runners = crons.filtered(lambda cron: cron.queue_job_runner and cron.active)
        for cron in runners:
            cron._trigger()
        return crons

    def write(self, vals):
        result = super().write(vals)
        if {"active", "queue_job_runner"} & vals.keys():
            for cron in self.filtered(
                lambda cron: cron.queue_job_runner and cron.active
            ):
                cron._trigger()
        return result

    def method_direct_trigger(self):
        # A call for one more pass counts.
        _round.cursors = weakref.WeakSet()
        return super().method_direct_trigger()

    @classmethod
    def _process_job(cls, cron_cr, job):
        """Run one runner cron in each round of a worker, and wake a worker for what it left.

        A worker goes through the ready crons one after another, on one cursor. Were
        it to run all runner crons that no other worker had time for, the crons behind
        them would wait for all their passes. The others stay ready.

        A cron that hands over is ready again at once, but Odoo lets it wait for the
        next look, a minute later.
        """
        if not job.get("queue_job_runner"):
            super()._process_job(cron_cr, job)
            return
        if cron_cr in _round_of_this_thread():
            return
        _round.cursors = weakref.WeakSet([cron_cr])
        super()._process_job(cron_cr, job)
        cron_cr.execute(sql.has_trigger, {"cron": job["id"], "now": cron_cr.now()})
        if cron_cr.rowcount:
            cron_cr.postcommit.add(
                api.Environment(cron_cr, job["user_id"], {})["ir.cron"]._notifydb
            )

    @api.model
    def _notifydb(self):
        """Notify once for each commit, however many triggers it made: the message is the same."""
        told = self.env.cr.postcommit.data
        # Called by the hooks of the commit, after which the data is cleared.
        if not told.get(_TOLD):
            told[_TOLD] = True
            return super()._notifydb()
        return None

    # Runner crons -----------------------------------------------------------

    @api.model
    def _runner_crons(self):
        """Return the active runner crons, the first one made first."""
        # Named, for the settings come with archived records in sight.
        return self.search(
            [("queue_job_runner", "=", True), ("active", "=", True)], order="id"
        )

    def _set_runner_count(self, count):
        """Have ``count`` active runner crons: archived ones first, then copies.

        Archives those that do not run now first; a cron that runs cannot be
        archived, and Odoo's error says so.
        """
        runners = self._runner_crons()
        missing = count - len(runners)
        if missing > 0:
            archived = self.with_context(active_test=False).search(
                [("queue_job_runner", "=", True), ("active", "=", False)],
                order="id",
                limit=missing,
            )
            archived.write({"active": True})
            for _number in range(missing - len(archived)):
                self._copy_runner()
        elif missing < 0:
            # The first one is the record of the addon: it goes last.
            idle = runners.sorted("id", reverse=True).try_lock_for_update(
                allow_referencing=True
            )
            candidates = idle.sorted("id", reverse=True) + (runners - idle)
            candidates[:-missing].write({"active": False})

    def _copy_runner(self):
        """Return a copy of the addon's runner cron, to run beside it."""
        original = self.env.ref(
            "queue_job_cron_jobrunner.queue_job_cron", raise_if_not_found=False
        ) or self.with_context(active_test=False).search(
            [("queue_job_runner", "=", True)], order="id", limit=1
        )
        return original.copy({"name": original.name, "active": True})
