# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How a cron worker claims jobs; how they are performed is the executor of queue_job.

A job goes from pending to started: nobody sends it, so it is never enqueued. The
first job of a run is chosen in a turn of its own (``models/queue_job_turn.py``).
The commit that ends one job claims the next of the same channel: as many
jobs run in the channel after it as before, so nobody needs to count. After
anything else than success the run ends, and the next job is chosen in a turn.
"""

import logging
from contextlib import nullcontext
from itertools import islice

from odoo.addons.queue_job import run
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.executor_run import OUTCOMES, Run, RunExecutor

_logger = logging.getLogger("odoo.addons.queue_job_cron_jobrunner.models.queue_job")

# Jobs read together with the next one: others may take them first.
READ_AHEAD = 9


class CronRun(Run):
    """The jobs of one channel that a cron worker performs one after another.

    :param guard: context manager factory that watches over a job, see ``limits.py``
    """

    def __init__(
        self, followers=(), guard=None, budget=run.TIME_BUDGET, in_order=False
    ):
        super().__init__(followers, budget)
        self.guard = guard
        self.in_order = in_order

    def leave_look(self, job):
        """Leave nothing: no runner looks meanwhile when the next job turns out long."""

    def take_up_to(self, uuid):
        """Remove a job, and those before it that could not be had."""
        while self.waiting.popleft() != uuid:
            pass


class CronExecutor(RunExecutor):
    """Performs a chosen job and what follows it in its channel; commits each."""

    _failure_logger = _logger

    @classmethod
    def start(cls, env, job):
        """Move a job whose row this transaction has locked to started.

        The row is written first, then others hear of it: who objects makes
        the job fail, and does not keep it from being counted.
        """
        job._has_lock_row = True
        job.set_started()
        job.date_enqueued = cls._date_enqueued(job)
        job._record()._write_started(job)
        job._known["date_enqueued"] = job.date_enqueued
        job._tell_started()
        env.flush_all()
        return job

    @classmethod
    def _date_enqueued(cls, job):
        """Return what the rule of dead jobs looks at: nobody enqueues here."""
        return job.date_started

    @classmethod
    def perform(cls, env, job_run):
        """Perform the claimed job of a run, committed as started, and those after it."""
        while job_run.claimed:
            job = cls._next_in_run(env, job_run)
            if job:
                cls._perform_in_run(env, job, job_run)
        return job_run.report

    @classmethod
    def _perform_in_run(cls, env, job, job_run):
        with job_run.guard.watch(job) if job_run.guard else nullcontext():
            return super()._perform_in_run(env, job, job_run)

    @classmethod
    def _claim_next(cls, env, job_run):
        """Claim the first follower that can be had, in the transaction that ends this job.

        Its snapshot is that of the job: what was moved since is passed over.
        """
        if not job_run.next_uuid():
            return
        jobs = env["queue.job"].sudo()
        uuid, version = jobs._lock_pending(list(job_run.waiting), job_run.in_order)
        if not uuid:
            job_run.stop()
            return
        job_run.take_up_to(uuid)
        job, known_version = job_run.read.pop(uuid, (None, None))
        if version != known_version:
            job = cls._read_ahead(env, job_run, uuid)
        job_run.claimed = cls.start(env, job)

    @classmethod
    def _read_ahead(cls, env, job_run, uuid):
        """Read a job, and some that may follow it; return the first."""
        uuids = [uuid, *islice(job_run.waiting, READ_AHEAD)]
        job_run.read.update(cls._read(env, uuids))
        return job_run.read.pop(uuid)[0]


class UncommittedExecutor(CronExecutor):
    """Performs one job without a commit: all in the transaction of the caller.

    The job's savepoint does what the rollback does elsewhere. Tests run
    jobs so.
    """

    # The snapshot of the caller stays what it is: a conflict waits for another time.
    _tries_at_once = 1

    @classmethod
    def _date_enqueued(cls, job):
        """Return None: nobody else sees the claim, and a rollback undoes it."""
        return None

    @classmethod
    def perform(cls, env, job_run):
        job, job_run.claimed = job_run.claimed, None
        if cls._lock_or_warn(job):
            # What is recorded elsewhere after a rollback stays in this transaction.
            job.in_temporary_env = nullcontext
            cls._runjob(env, job)
            job_run.report.add(job.uuid, OUTCOMES.get(job.state, run.REFUSED))
        return job_run.report

    @classmethod
    def _runjob(cls, env, job):
        state = job._known.get("state", job.state)
        try:
            cls._try_perform_job_at_once(env, job)
        except RetryableJobError as error:
            cls._record_postponed(job, state, error)
        except Exception as error:  # noqa: BLE001 a job may raise anything
            cls._record_failure(job, state, error)
        else:
            cls._enqueue_dependent_jobs(env, job)

    @classmethod
    def _commit_done(cls, env, job):
        """Leave the commit to the caller."""
        job._end_work()
