# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The worker: claim jobs, perform them, record the outcome.

* :mod:`.lease`: the claim of one worker on one job
* :mod:`.attempt`: the pipeline claim, perform, outcome, and its doors
* :mod:`.outcome`: what is recorded of a job that is not done
* :mod:`.bundle`: the jobs of one request
* :mod:`.warm_up`: the work of a first request, done before there is one
* :mod:`.current`: what a method may say and ask of its own job
* :mod:`.suspension`: when a job in steps goes on in another process
* :mod:`.side`: the connection of a worker beside those of its jobs
"""

from ..store.waking import inside_job
from .attempt import CONFLICT_TRIES_AT_ONCE, PG_RETRY, WorkerDoors, perform
from .bundle import Bundle
from .current import current_job
from .lease import Lease, claim_first, lock_first
from .outcome import Kind, Outcome, announce_dead, record
from .warm_up import warm_up

__all__ = [
    "CONFLICT_TRIES_AT_ONCE",
    "PG_RETRY",
    "Bundle",
    "Kind",
    "Lease",
    "Outcome",
    "WorkerDoors",
    "announce_dead",
    "claim_first",
    "current_job",
    "inside_job",
    "lock_first",
    "perform",
    "record",
    "warm_up",
]
