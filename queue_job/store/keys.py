# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Keys of jobs: reserved when a job is stored, and the twin that stands for a refused one."""

from ..job import Job
from ..key_functions import IDENTITY, POLICY

__all__ = ["IDENTITY", "POLICY", "Twin", "reserve_all", "twins_for"]


def reserve_all(jobs, new):
    """Reserve the keys of new jobs; return the twins that stand for all of them.

    The result is empty when at least one keyed job has no twin: then all of
    ``new`` are to be stored. Else it maps each job to the job of a twin.

    :param jobs: the model queue.job, whose ``_key_requests`` names the keys
    """
    keys = jobs.env["queue.job.key"].sudo()
    reserved = False
    for kind, blocking, requests in jobs._key_requests(new):
        requests = [request for request in requests if request[0].is_new()]
        if not requests:
            continue
        jobs.flush_model(["state", "identity_key", "twin_key"])
        refused = keys._reserve(kind, requests, blocking)
        if len(refused) < len(requests):
            reserved = True
        else:
            if reserved:
                keys._give_up(new)
            return jobs._twins_for(kind, new, refused)
    return {}


def twins_for(env, jobs, refused):
    """Return ``{job: job of its twin}``; a job that was not refused gets the first twin."""
    twins = {uuid: Twin(env, uuid) for uuid in refused.values()}
    first = next(iter(twins.values()))
    return {job: twins[refused[job]] if job in refused else first for job in jobs}


class Twin(Job):
    """A stored job whose row is read when more than its uuid is asked for.

    Most callers use nothing of it, and a refusal shall cost one look-up. It is a
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
        self.become(job)
        return self
