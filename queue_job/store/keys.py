# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One waiting job per key, between concurrent transactions.

The reservation of a key is a row of queue.job.key: made before the job is stored, given
up when the job leaves the states in which it blocks a twin, taken again when
it comes back and the key is free. Triggers on queue_job keep that up,
whichever statement moves the state.

A search would see the past: under REPEATABLE READ a twin that is pending in the
caller's snapshot may have run already. The unique index of that table shows
the present: an INSERT waits for the transaction that makes or gives up the key, and then
reports whether it is taken. ``ON CONFLICT DO NOTHING`` reports it by inserting
nothing when the other row is in the snapshot, and by 40001 when it is newer;
a refusal of the first kind uses up no transaction id, as a caught violation would.

Key locks keep a refused caller from being overtaken: it holds the advisory
lock of the key shared until the end of its transaction; a claim tries it
exclusively and never waits. So the twin of a refused caller starts when the
caller's changes can be seen. The lock comes before the last try of the
key: a caller that comes while the twin starts waits for that short moment,
finds the key free, and gets a job. No lock is taken without a refusal, nor for a job
of the caller's own transaction, which no worker sees.

PostgreSQL's table of locks has an end, and locks shared by several keys would hold up
jobs that are no twins. So a transaction takes a bounded number; of further refusals
its number is written to the reservation itself, by a transaction of its own that commits
at once. A claim locks the reservation, so it sees the newest one or fails with 40001, and
is refused while a transaction that is named there is in progress.

A reservation counts while its job waits. Triggers can be disabled, so that is verified
at each refusal, and swept.
"""

import contextlib
import logging

from psycopg2.errors import LockNotAvailable, SerializationFailure

from odoo.exceptions import UserError

from ..exception import KeyBusyError
from ..job import Job
from ..sql import statements as sql

_logger = logging.getLogger(__name__)

# The kinds of keys, and how many hexadecimal digits of the digest are the lock of the second.
IDENTITY = "identity"
POLICY = "policy"
POLICY_LOCK_LENGTH = int(sql.parts["policy_lock_length"])

# Seconds that a caller waits for another one's transaction.
WAIT = 10.0


class CallerKeyBusyError(KeyBusyError, UserError):
    """The same, shown to people as a sentence."""

    context = {"exception_class": "odoo.exceptions.UserError"}


def reserve_all(jobs, new):
    """Reserve the keys of new jobs; return the twins that stand for all of them.

    The result is empty when at least one keyed job has no twin: then all of
    ``new`` are to be stored. Else it maps each job to the job of a twin.

    :param jobs: the model queue.job, whose ``_key_requests`` names the keys
    """
    reserved = False
    for kind, blocking, requests in jobs._key_requests(new):
        requests = [request for request in requests if request[0].is_new()]
        if not requests:
            continue
        jobs.flush_model(["state", "identity_key", "twin_key"])
        refused = reserve(jobs.env, kind, requests, blocking)
        if len(refused) < len(requests):
            reserved = True
        else:
            if reserved:
                give_up(jobs.env, new)
            return jobs._twins_for(kind, new, refused)
    return {}


def reserve(env, kind, requests, blocking):
    """Reserve keys; return ``{job: uuid of the twin}`` for those refused.

    Waits for a transaction that is storing a job of the same key, no longer than
    the system parameter ``queue_job.key_wait`` says. Keeps the twins of those refused
    from starting until the end of the transaction.

    :param requests: ``(job, short text for the lock, key)``
    :param blocking: states in which a twin blocks
    :raise KeyBusyError: when the wait is over; nothing is reserved
    """
    asked, refused = requests, {}
    while requests:
        by_uuid = {job.uuid: (job, lock_key, key) for job, lock_key, key in requests}
        requests, crowded = [], []
        for job_uuid, verdict, twin in _ask(env, kind, by_uuid.values(), blocking):
            job, _lock_key, key = by_uuid[job_uuid]
            if verdict == "busy":
                refuse_busy(env, [job for job, _lock_key, _key in asked], key)
            if verdict == "crowded":
                crowded.append(by_uuid[job_uuid])
                continue
            if verdict == "newer":
                twin = _holder_now(env, kind, key)
            if twin:
                refused[job] = twin
            else:  # the holder was cancelled or deleted since
                requests.append(by_uuid[job_uuid])
        if crowded:
            keys = [key for _job, _lock_key, key in crowded]
            try:
                twins = _name_as_refused(env, kind, keys)
            except LockNotAvailable:
                refuse_busy(env, [job for job, _lock_key, _key in asked], keys[0])
            for job, lock_key, key in crowded:
                if key in twins:
                    refused[job] = twins[key]
                else:
                    requests.append((job, lock_key, key))
    return refused


def give_up(env, jobs):
    """Give up what was reserved for jobs that will not be stored."""
    values = {"uuids": [job.uuid for job in jobs]}
    env.cr.execute(sql.give_up_keys, values, log_exceptions=False)


def sweep(cr, statement=sql.sweep_keys, **values):
    """Delete the reservations of jobs that do not wait."""
    cr.execute(statement, values)
    if cr.rowcount:
        _logger.warning(
            "%s reservations of keys removed: their jobs do not wait", cr.rowcount
        )


def longest_wait(env):
    """Return how many seconds a caller waits for another one."""
    value = env["ir.config_parameter"].sudo().get_param("queue_job.key_wait")
    try:
        return min(max(0.0, float(value or WAIT)), 86400.0)
    except ValueError:
        _logger.warning("system parameter queue_job.key_wait: %r is no number", value)
        return WAIT


def refuse_busy(env, jobs, key):
    """Give up what was reserved and raise."""
    give_up(env, jobs)
    raise CallerKeyBusyError(
        env._(
            "Another transaction is delaying the same job (key %(key)s) and has not "
            "ended for %(seconds)g seconds. Try again later.",
            key=key if len(key) <= 100 else f"{key[:100]}…",
            seconds=longest_wait(env),
        )
    )


def _ask(env, kind, requests, blocking):
    jobs, lock_keys, keys = zip(*requests, strict=True)
    values = {
        "kind": kind,
        "lock_keys": list(lock_keys),
        "keys": list(keys),
        "uuids": [job.uuid for job in jobs],
        "blocking": list(blocking),
        "wait": round(longest_wait(env) * 1000),
    }
    env.cr.execute(sql.ask_for_keys, values)
    return env.cr.fetchall()


def _name_as_refused(env, kind, keys):
    """Keep jobs that wait from starting until the end of this transaction.

    Return ``{key: uuid of the job}`` of those that wait. Committed at once, by another
    transaction: claims have to see it.

    :raise LockNotAvailable: when another transaction holds one for too long
    """
    env.cr.execute(sql.transaction_number)
    values = {"kind": kind, "keys": keys, "caller": env.cr.fetchone()[0]}
    wait = max(round(longest_wait(env) * 1000), 1)
    while True:
        with contextlib.suppress(SerializationFailure):
            with env.registry.cursor() as cr:
                cr.execute(sql.limit_wait_for_keys, {"wait": wait})
                cr.execute(sql.name_refused_caller, values, log_exceptions=False)
                return dict(cr.fetchall())


def _holder_now(env, kind, key):
    """Return the uuid that holds a key now, past the snapshot of this cursor."""
    with env.registry.cursor() as cr:
        sweep(cr, sql.sweep_key, key=key)
        cr.execute(sql.holder_of_key, {"kind": kind, "key": key})
        row = cr.fetchone()
    return row and row[0]


def twins_for(env, jobs, refused):
    """Return ``{job: job of its twin}``; a job that was not refused gets the first twin."""
    twins = {uuid: Twin(env, uuid) for uuid in refused.values()}
    first = next(iter(twins.values()))
    return {job: twins[refused[job]] if job in refused else first for job in jobs}


class Twin(Job):
    """A stored job whose row is read when more than its uuid is asked for.

    Most callers use nothing of it, and a refusal shall cost one query. It is a
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
