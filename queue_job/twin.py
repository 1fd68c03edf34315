# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The job that stands for a refused one."""

from .job import Job


class Twin(Job):
    """A stored job whose row is read when more than its uuid is asked for.

    Most callers look at nothing, and a refusal is to cost one look-up. It is a
    plain :class:`Job` from then on.
    """

    def __init__(self, env, job_uuid):
        vars(self).update(_uuid=job_uuid, _unread_env=env)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.read(), name)

    def __setattr__(self, name, value):
        setattr(self.read(), name, value)

    def read(self):  # pylint: disable=method-required-super # of no model
        """Read the row and return this job; ``NoSuchJobError`` when it was deleted."""
        env, job_uuid = self._unread_env, self._uuid
        jobs = Job.load_many(env, [job_uuid])
        if jobs:
            job = jobs.pop()
        else:  # newer than the snapshot of this transaction
            with env.registry.cursor() as cr:
                job = Job.load(env(cr=cr), job_uuid)
                job._env = job.env(cr=env.cr)
        object.__setattr__(self, "__class__", Job)
        self._become(job)
        return self
