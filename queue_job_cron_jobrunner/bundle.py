# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The bundle of a cron worker; leases and attempts are those of ``worker/``.

A job goes from pending to started: no runner sends it, so it is never enqueued. The
first job of a bundle is chosen by a pick (``models/queue_job_pick.py``).
The commit that ends one job claims the next of the same channel: as many
jobs run in the channel after it as before, so no count is needed. After
anything else than success the bundle ends, and the next job is picked.
"""

import logging
from itertools import islice

from odoo.addons.queue_job.worker import (
    Bundle,
    Kind,
    WorkerDoors,
    claim_first,
    perform,
    record,
)

from .limits import watched

# Jobs read together: other workers may claim them first.
READ_AHEAD = 10


class CronDoors(WorkerDoors):
    """The steps of an attempt in a cron worker."""

    _failure_logger = logging.getLogger(
        "odoo.addons.queue_job_cron_jobrunner.models.queue_job"
    )


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
    :param in_order: only the first follower may be next
    """

    def __init__(self, env, claimed, followers=(), in_order=False):
        super().__init__(CronDoors, env, followers)
        self.claimed = claimed
        self.in_order = in_order

    def perform(self):
        return self.drain()

    def has_next(self):
        return bool(self.claimed)

    def defer_release(self, lease):
        """Defer nothing: no runner releases in between when the next job turns out long."""

    def perform_one(self, job):
        with watched(job):
            return super().perform_one(job)

    def claim_next(self):
        """Claim the first follower that can be had, in the transaction that ends this job.

        Its snapshot is that of the job: a row that was moved since is skipped.
        """
        uuid = self.next_uuid()
        if not uuid:
            return
        if uuid not in self.prefetched:
            self.prefetch(list(islice(self.waiting, READ_AHEAD)))
        uuids = [uuid] if self.in_order else self.waiting
        self.claimed = claim_first(self.env, uuids, self.prefetched)
        if not self.claimed:
            self.stop()
            return
        while self.waiting.popleft() != self.claimed.job.uuid:
            pass
