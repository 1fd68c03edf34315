# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How a cron worker claims jobs; how they are performed is ``worker/`` of queue_job.

A job goes from pending to started: no runner sends it, so it is never enqueued. The
first job of a bundle is chosen in a turn of its own (``models/queue_job_turn.py``).
The commit that ends one job claims the next of the same channel: as many
jobs run in the channel after it as before, so no count is needed. After
anything else than success the bundle ends, and the next job is chosen in a turn.
"""

import logging
from contextlib import nullcontext
from datetime import datetime
from itertools import islice

from odoo.addons.queue_job.worker import (
    Bundle,
    Kind,
    Lease,
    WorkerDoors,
    perform,
    record,
)

# Jobs read together with the next one: others may take them first.
READ_AHEAD = 9


class CronDoors(WorkerDoors):
    """The steps of an attempt in a cron worker."""

    _failure_logger = logging.getLogger(
        "odoo.addons.queue_job_cron_jobrunner.models.queue_job"
    )


def claim(env, job, commits=True):
    """Move a job whose row this transaction has locked to started; return its lease.

    The row is written first, then overrides of ``write`` are called: one that raises
    makes the job fail, and does not keep the claim from being counted.

    :param commits: False: other sessions never see the claim, and a rollback undoes
        it; then it has no date that the rule of dead jobs would look at
    """
    job.become_started(datetime.now())
    job.date_enqueued = job.date_started if commits else None
    job.record._write_started(job)
    job.stored["date_enqueued"] = job.date_enqueued
    lease = Lease.of(job)
    lease.commits = commits
    lease.notify_write_overrides()
    env.flush_all()
    return lease


def perform_uncommitted(env, lease):
    """Perform one claimed job in the transaction of the caller, as tests do.

    The job's savepoint does what the rollback does elsewhere.
    """
    if not lease.lock():
        return
    outcome = perform(CronDoors, env, lease.job)
    if outcome.kind is Kind.DONE:
        CronDoors._enqueue_dependent_jobs(env, lease.job)
    else:
        record(CronDoors, lease.job, outcome)


class CronBundle(Bundle):
    """The jobs of one channel that a cron worker performs one after another.

    :param claimed: the lease of the first job, committed as started
    :param followers: uuids of jobs that may run after it
    :param guard: watches over each job, see ``limits.py``
    :param in_order: only the first follower may be next
    """

    def __init__(self, env, claimed, followers=(), guard=None, in_order=False):
        super().__init__(CronDoors, env, followers)
        self.claimed = claimed
        self.guard = guard
        self.in_order = in_order

    def perform(self):
        return self.drain()

    def has_next(self):
        return bool(self.claimed)

    def defer_release(self, lease):
        """Defer nothing: no runner releases in between when the next job turns out long."""

    def perform_one(self, job):
        with self.guard.watch(job) if self.guard else nullcontext():
            super().perform_one(job)

    def claim_next(self):
        """Claim the first follower that can be had, in the transaction that ends this job.

        Its snapshot is that of the job: a row that was moved since is passed over.
        """
        if not self.next_uuid():
            return
        jobs = self.env["queue.job"].sudo()
        uuid, version = jobs._lock_pending(list(self.waiting), self.in_order)
        if not uuid:
            self.stop()
            return
        while self.waiting.popleft() != uuid:
            pass
        job, known_version = self.prefetched.pop(uuid, (None, None))
        if version != known_version:
            self.prefetch([uuid, *islice(self.waiting, READ_AHEAD)])
            job, _version = self.prefetched.pop(uuid)
        self.claimed = claim(self.env, job)
