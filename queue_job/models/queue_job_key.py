# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One waiting job per key, between concurrent transactions.

The reservation of a key is a row here: made before the job is stored, given
up when the job leaves the states in which it blocks a twin, taken again when
it comes back and the key is free. Triggers on queue_job keep that up,
whoever moves the state.

A search would see the past: under REPEATABLE READ a twin that is pending in the
caller's snapshot may have run already. The unique index of this table tells
the present: an INSERT waits for whoever is making or giving up the key, and then
says whether it is taken. ``ON CONFLICT DO NOTHING`` says so by inserting
nothing when the other row is in the snapshot, and by 40001 when it is newer;
a refusal of the first kind uses up no transaction id, as a caught violation would.

Key locks keep a refused caller from being overtaken: it holds the advisory
lock of the key shared until the end of its transaction; a claim tries it
exclusively and never waits. So the twin of a refused caller starts when the
caller's changes can be seen. The lock comes before the last look at the
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

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..exception import KeyBusyError

_logger = logging.getLogger(__name__)

# Seconds that a caller waits for another one's transaction.
WAIT = 10.0


class CallerKeyBusyError(KeyBusyError, UserError):
    """The same, shown to people as a sentence."""

    context = {"exception_class": "odoo.exceptions.UserError"}


class QueueJobKey(models.Model):
    _name = "queue.job.key"
    _description = "Queue Job Key"
    _log_access = False
    _rec_name = "key"

    kind = fields.Char(required=True, readonly=True)
    # sha256: an index entry is bounded, a key is not.
    digest = fields.Char(required=True, readonly=True)
    key = fields.Text(required=True, readonly=True)
    job_uuid = fields.Char(required=True, readonly=True, index=True)
    transaction = fields.Char(
        readonly=True, help="Who made it, while it is not committed."
    )
    callers = fields.Char(
        readonly=True, help="Transactions of refused callers that took no key lock."
    )

    _digest_uniq = models.UniqueIndex("(digest, kind)")

    def init(self):
        # A refused key uses up an id too. Few rows exist at a time: begin anew some day.
        # Altered once only, for that waits for whoever has taken an id.
        self.env.cr.execute(
            "SELECT FROM pg_sequence "
            "WHERE seqrelid = 'queue_job_key_id_seq'::regclass AND NOT seqcycle"
        )
        if self.env.cr.rowcount:
            self.env.cr.execute("ALTER SEQUENCE queue_job_key_id_seq CYCLE")

    @api.model
    def _reserve(self, kind, requests, blocking):
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
            by_uuid = {
                job.uuid: (job, lock_key, key) for job, lock_key, key in requests
            }
            requests, crowded = [], []
            for job_uuid, verdict, twin in self._ask(kind, by_uuid.values(), blocking):
                job, _lock_key, key = by_uuid[job_uuid]
                if verdict == "busy":
                    self._refuse_busy([job for job, _lock_key, _key in asked], key)
                if verdict == "crowded":
                    crowded.append(by_uuid[job_uuid])
                    continue
                if verdict == "newer":
                    twin = self._holder_now(kind, key)
                if twin:
                    refused[job] = twin
                else:  # the holder was cancelled or deleted meanwhile
                    requests.append(by_uuid[job_uuid])
            if crowded:
                keys = [key for _job, _lock_key, key in crowded]
                try:
                    twins = self._hold(keys, kind)
                except LockNotAvailable:
                    self._refuse_busy([job for job, _lock_key, _key in asked], keys[0])
                for job, lock_key, key in crowded:
                    if key in twins:
                        refused[job] = twins[key]
                    else:
                        requests.append((job, lock_key, key))
        return refused

    def _ask(self, kind, requests, blocking):
        jobs, lock_keys, keys = zip(*requests, strict=True)
        uuids = [job.uuid for job in jobs]
        self.env.cr.execute(
            SQL(
                "SELECT job_uuid, verdict, twin FROM queue_job_key_request("
                "%s, %s::text[], %s::text[], %s::text[], %s::text[], %s)",
                *(kind, list(lock_keys), list(keys), uuids, list(blocking)),
                round(self._longest_wait() * 1000),
            )
        )
        return self.env.cr.fetchall()

    def _longest_wait(self):
        """Return how many seconds a caller waits for another one."""
        parameters = self.env["ir.config_parameter"].sudo()
        value = parameters.get_param("queue_job.key_wait")
        try:
            return min(max(0.0, float(value or WAIT)), 86400.0)
        except ValueError:
            _logger.warning(
                "system parameter queue_job.key_wait: %r is no number", value
            )
            return WAIT

    def _refuse_busy(self, jobs, key):
        self._give_up(jobs)
        raise CallerKeyBusyError(
            self.env._(
                "Another transaction is delaying the same job (key %(key)s) and has not "
                "ended for %(seconds)g seconds. Try again later.",
                key=key if len(key) <= 100 else f"{key[:100]}…",
                seconds=self._longest_wait(),
            )
        )

    def _hold(self, keys, kind):
        """Keep jobs that wait from starting until the end of this transaction.

        Return ``{key: uuid of the job}`` of those that wait. Committed at once, by another
        transaction: claims have to see it.

        :raise LockNotAvailable: when another transaction holds one for too long
        """
        self.env.cr.execute("SELECT pg_current_xact_id()::text")
        caller = self.env.cr.fetchone()[0]
        statement = SQL(
            """
            WITH held AS MATERIALIZED (
                SELECT id FROM queue_job_key WHERE kind = %(kind)s AND digest IN (
                    SELECT queue_job_key_digest(k) FROM unnest(%(keys)s::text[]) AS k
                ) AND queue_job_key_is_kept(kind, key, job_uuid)
                ORDER BY id FOR UPDATE
            )
            UPDATE queue_job_key q
            SET callers = concat_ws(',', queue_job_key_open(array_to_string(
                array_remove(string_to_array(q.callers, ','), %(caller)s), ','
            )), %(caller)s)
            FROM held WHERE held.id = q.id RETURNING q.key, q.job_uuid
            """,
            kind=kind,
            keys=keys,
            caller=caller,
        )
        wait = max(round(self._longest_wait() * 1000), 1)
        while True:
            with contextlib.suppress(SerializationFailure):
                with self.env.registry.cursor() as cr:
                    cr.execute(
                        "SET LOCAL synchronous_commit = off; "
                        f"SET LOCAL lock_timeout = {wait}"
                    )
                    cr.execute(statement, log_exceptions=False)
                    return dict(cr.fetchall())

    def _holder_now(self, kind, key):
        """Return the uuid that holds a key now, past the snapshot of this cursor."""
        with self.env.registry.cursor() as cr:
            self._sweep(cr, SQL("digest = queue_job_key_digest(%s)", key))
            cr.execute(
                SQL(
                    "SELECT job_uuid FROM queue_job_key "
                    "WHERE digest = queue_job_key_digest(%s) AND kind = %s",
                    *(key, kind),
                )
            )
            row = cr.fetchone()
        return row and row[0]

    @api.model
    def _sweep(self, cr, condition):
        """Delete the reservations of jobs that do not wait; return how many."""
        cr.execute(
            SQL(
                """
                DELETE FROM queue_job_key WHERE id IN (
                    SELECT id FROM queue_job_key
                    WHERE %s AND NOT queue_job_key_is_kept(kind, key, job_uuid)
                    FOR UPDATE SKIP LOCKED
                )
                """,
                condition,
            )
        )
        if cr.rowcount:
            _logger.warning(
                "%s reservations of keys removed: their jobs do not wait", cr.rowcount
            )
        return cr.rowcount

    @api.autovacuum
    def _gc_reservations(self):
        """Delete what is left where jobs were changed past the triggers."""
        self._sweep(self.env.cr, SQL("TRUE"))

    @api.model
    def _give_up(self, jobs):
        """Give up what was reserved for jobs that will not be stored."""
        uuids = [job.uuid for job in jobs]
        self.env.cr.execute(
            SQL("DELETE FROM queue_job_key WHERE job_uuid = ANY(%s)", uuids),
            log_exceptions=False,
        )
