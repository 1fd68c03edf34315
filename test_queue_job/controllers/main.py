# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A controller as a monitoring addon extends it."""

from odoo.addons.queue_job.controllers.main import RunJobController


class ThirdPartyRunJobController(RunJobController):
    #: (step, uuid) of each job, filled when a test makes it a list
    third_party_journal = None

    @classmethod
    def _note_step(cls, step, job):
        if ThirdPartyRunJobController.third_party_journal is not None:
            ThirdPartyRunJobController.third_party_journal.append((step, job.uuid))

    @classmethod
    def _runjob(cls, env, job):
        cls._note_step("run", job)
        return super()._runjob(env, job)

    @classmethod
    def _try_perform_job(cls, env, job):
        cls._note_step("try", job)
        result = super()._try_perform_job(env, job)
        cls._note_step("tried", job)
        return result

    @classmethod
    def _enqueue_dependent_jobs(cls, env, job):
        cls._note_step("dependents", job)
        return super()._enqueue_dependent_jobs(env, job)
