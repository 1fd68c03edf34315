# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The rows of jobs, seen from the worker that claims and performs them.

Each statement that moves a state stands beside the lock it needs. Cursors are
REPEATABLE READ: a row that changed after the snapshot raises 40001 instead of
being overwritten, which is what keeps a cancel that arrived meanwhile.

What each job needs is a function in the database, because planning takes longer
than execution, and goes in few messages, because a message costs as much as what
it asks for. States are compared in a way that no index offers: the planner would
walk over all jobs that ever passed through them.
"""

import contextlib
import logging
import os

import psycopg2
from psycopg2.errors import InvalidSavepointSpecification, NoActiveSqlTransaction
from psycopg2.extensions import (
    ISOLATION_LEVEL_REPEATABLE_READ,
    TRANSACTION_STATUS_IDLE,
    TRANSACTION_STATUS_INTRANS,
)

from odoo import api, models, tools
from odoo.sql_db import _FlushingSavepoint
from odoo.tools import SQL

from ..exception import BrokenTransactionError, LostRunError
from ..job_row import CLAIMED, TEXT
from ..run import REFUSED
from ..states import DONE, ENQUEUED, FAILED, PENDING, STARTED
from ..utils import storable_text
from .queue_job_store import read_rows

_logger = logging.getLogger(__name__)

WORK = "queue_job_work"
SAVEPOINT = f'SAVEPOINT "{WORK}"'
RELEASE_SAVEPOINT = f'RELEASE SAVEPOINT "{WORK}"'
BEGIN_WORK = f"SELECT queue_job_lock_own_run(%s, %s); {SAVEPOINT}"
COMMIT_AND_BEGIN_WORK = f"COMMIT AND CHAIN; {BEGIN_WORK}"
# The look comes last: its answer is the one that a message returns.
COMMIT_LOOK_AND_BEGIN_WORK = (
    f"{COMMIT_AND_BEGIN_WORK}; SELECT queue_job_frees_nobody(%s)"
)
# Take from the session what a job left in it, before its outcome is written: a role or
# search path might forbid that. In the message of the outcome: all of it costs
# microseconds, and no other way finds what SQL functions and other cursors of the
# connection did. Temporary tables go when the next job begins, because those of this
# transaction may have checks that wait for its commit.
LEAVE_SESSION = (
    "RESET SESSION AUTHORIZATION; RESET ALL; UNLISTEN *; CLOSE ALL; DEALLOCATE ALL; "
    "DISCARD SEQUENCES; SELECT pg_advisory_unlock_all()"
)
# For a transaction that has done nothing yet. The other connection of the job waits
# in its transaction; this one while the job computes.
ENTER_SESSION = (
    f"DISCARD TEMP; {LEAVE_SESSION}; SET idle_in_transaction_session_timeout = 0"
)
# What is written of a job that is done; the result only where there is one.
DONE_COLUMNS = {"state", "date_done", "exec_time", "retry", "result"}
# Key of the cursor's cache.
WRITES_HELD = "queue_job.writes_held"
# Attribute of an override of ``write`` that does nothing for jobs.
PASSES_OVER = "_queue_job_passes_over"
COMPONENT_EVENT = "odoo.addons.component_event."
# What the function that locks a run raises when it cannot.
LOST_RUN = "QJ002"

# Lock the liveness row of a job, if its last run is this one. While the transaction
# lasts, no timeout of the database or role ends it: the lock would be free while the
# job runs. Temporary tables of this very transaction stay.
_LOCK_RUN = """\
IF pg_current_xact_id_if_assigned() IS NULL THEN
    DISCARD TEMP;
END IF;
PERFORM set_config(name, '0', true) FROM unnest(
    ARRAY['idle_in_transaction_session_timeout', 'transaction_timeout']
) AS name WHERE current_setting(name, true) <> '0';
PERFORM FROM queue_job_lock
    WHERE queue_job_id = job_id AND EXISTS (
        SELECT FROM queue_job
        WHERE id = job_id AND state IS NOT DISTINCT FROM 'started'
          AND COALESCE(run_number, 0) = own_run
    )
    FOR NO KEY UPDATE SKIP LOCKED"""

CLAIM_FUNCTIONS_DDL = f"""
-- Claim a job: lock its row, if it is enqueued and free, and its keys; make its
-- liveness row; move it to started. Skips, never waits. The version of the row before
-- tells whether what was read of it is still true. An exception block instead of a
-- savepoint: the claim of the next job of a run shares the transaction of the one
-- before, which must survive a row that changed after its snapshot.
-- Returns verdict and version: an array, because a set would be stored on its way.
DROP FUNCTION IF EXISTS queue_job_claim(varchar);
CREATE OR REPLACE FUNCTION queue_job_claim(job_uuid varchar, started timestamp, pid integer)
RETURNS text[] AS $$
DECLARE
    job record;
BEGIN
    SELECT id, xmin, identity_key, twin_key INTO job FROM queue_job
    WHERE uuid = job_uuid AND state IS NOT DISTINCT FROM 'enqueued'
    LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN ARRAY['refused', ''];
    ELSIF (job.identity_key IS NOT NULL OR job.twin_key IS NOT NULL) AND NOT (
        queue_job_key_is_free(job.identity_key) AND queue_job_key_is_free(job.twin_key)
        AND queue_job_key_may_start(job_uuid)
    ) THEN
        RETURN ARRAY['held', ''];
    END IF;
    INSERT INTO queue_job_lock (id, queue_job_id) VALUES (job.id, job.id)
    ON CONFLICT (id) DO NOTHING;
    UPDATE queue_job SET state = 'started', date_started = started, worker_pid = pid,
        run_number = COALESCE(run_number, 0) + 1
    WHERE id = job.id;
    RETURN ARRAY['claimed', job.xmin::text];
EXCEPTION WHEN serialization_failure THEN
    RETURN ARRAY['changed', ''];
END;
$$ LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan;

-- Whether the run could be locked.
CREATE OR REPLACE FUNCTION queue_job_lock_run(job_id integer, own_run integer)
RETURNS boolean AS $$
BEGIN
    {_LOCK_RUN};
    RETURN FOUND;
END;
$$ LANGUAGE plpgsql;

-- For a statement whose result nobody reads.
CREATE OR REPLACE FUNCTION queue_job_lock_own_run(job_id integer, own_run integer)
RETURNS void AS $$
BEGIN
    {_LOCK_RUN};
    IF NOT FOUND THEN
        RAISE SQLSTATE '{LOST_RUN}';
    END IF;
END;
$$ LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan;

-- Write what is written of almost every job that is done.
CREATE OR REPLACE FUNCTION queue_job_write_done(
    job_id integer, done timestamp, seconds double precision, tries integer, told text
) RETURNS void AS $$
BEGIN
    UPDATE queue_job SET state = 'done', date_done = done, exec_time = seconds, retry = tries,
        result = COALESCE(told, result)
    WHERE id = job_id;
END;
$$ LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan;
"""


BROKEN_TRANSACTION = (
    "The job ended the transaction of its worker, by COMMIT or ROLLBACK in SQL or on the "
    "connection: what was committed stays, and the job was not protected from running twice. "
    "To commit in a job, set the Allow Commit option of its job function."
)


@contextlib.contextmanager
def _broken_transaction_noticed():
    """Raise ``BrokenTransactionError`` when the savepoint of the work is gone."""
    try:
        yield
    except (InvalidSavepointSpecification, NoActiveSqlTransaction) as error:
        raise BrokenTransactionError(BROKEN_TRANSACTION) from error.__context__


class WorkSavepoint(_FlushingSavepoint):
    """Where the work of a job can be undone without giving up its liveness lock.

    The statement that makes it is sent by :meth:`QueueJob._begin_work`; the commit
    of the work releases it.
    """

    def __init__(self, cr):
        self.name = WORK
        self._cr = cr
        self.closed = False

    def check(self):
        """Refuse a transaction that was ended; the commit finds what this does not see."""
        if self._cr.connection.get_transaction_status() == TRANSACTION_STATUS_IDLE:
            raise BrokenTransactionError(BROKEN_TRANSACTION)

    def rollback(self):
        self._cr.clear()
        with _broken_transaction_noticed():
            self._cr.execute(f"ROLLBACK TO {SAVEPOINT}", log_exceptions=False)

    def _close(self, rollback):
        if rollback:
            return super()._close(rollback)
        # What is done was flushed.
        self.closed = True
        return None


class QueueJob(models.Model):
    _inherit = "queue.job"

    def _create_claim_functions(self):
        self.env.cr.execute(CLAIM_FUNCTIONS_DDL)

    @api.model
    def _claim(self, uuid, date_started):
        """Move an enqueued job to started; keep its row and keys locked until the commit.

        Return ``[verdict, version]``. The verdict is ``claimed``, or why not:
        ``refused`` when it is not enqueued or locked elsewhere, ``held`` while
        a refused caller of its key is in a transaction, ``changed`` when the
        row is newer than this snapshot: try again in another transaction. The
        version is that of the row before, as in :meth:`_read_rows`.
        """
        self._send(SQL("SELECT %s", self._claim_call(uuid, date_started)))
        return self.env.cr.fetchone()[0]

    @api.model
    def _claim_and_read(self, uuid, date_started):
        """Do the same, and add the row as it was before, None if there is none."""
        claim = SQL("%s AS claim", self._claim_call(uuid, date_started))
        self._send(SQL("%s WHERE uuid = %s LIMIT 1", read_rows(claim), uuid))
        row = self.env.cr.dictfetchone()
        verdict, version = row["claim"] if row else (REFUSED, "")
        return verdict, version, row

    @api.model
    def _claim_call(self, uuid, date_started):
        return SQL("queue_job_claim(%s, %s, %s)", uuid, date_started, os.getpid())

    def _tell_started(self, job):
        """Pass the claim, which SQL has written, through the overrides of ``write``.

        They find the row as it was before, enqueued. What they did is undone when
        they raise.
        """
        if not self._are_moves_heard() and not job._has_extra_values():
            job._known.update((name, getattr(job, name)) for name in CLAIMED)
            self._forget_cached()
            return
        with self.env.cr.savepoint():
            before = {**job._known, "state": ENQUEUED}
            values = job._changed_values()
            for name in values.keys() & set(CLAIMED):
                field = self._fields[name]
                field._update_cache(self, field.convert_to_cache(before[name], self))
            self._write_job(job, values)

    def _are_moves_heard(self):
        """Return whether others want to know what a worker writes of a job that goes well.

        They extend ``write``, or store what depends on these columns. Without them
        the ORM has nothing to do: half of the time of a short job.
        """
        modules = self._passing_over_moves()
        for model in type(self).__mro__:
            write = vars(model).get("write")
            # A mock has no module.
            if not write or getattr(write, PASSES_OVER, False):
                continue
            if not (write.__module__ or "").startswith(modules):
                return True
        return self._have_stored_dependents()

    def _passing_over_moves(self):
        """Return where ``write`` does nothing about a job that is started or done."""
        modules = ("odoo.orm.", "odoo.models", "odoo.addons.base.", "odoo.addons.mail.")
        modules += ("odoo.addons.queue_job.",)
        # Listeners are known when the registry is.
        if self.pool.ready and not self._is_write_event_collected():
            modules += (COMPONENT_EVENT,)
        return modules

    @tools.ormcache()
    def _is_write_event_collected(self):
        """Return whether a listener of OCA's component_event waits for writes of jobs.

        It extends ``write`` of all models, to notify listeners that few models have.
        """
        event = getattr(self, "_event", None)
        is_of_component = getattr(event, "__module__", "").startswith(COMPONENT_EVENT)
        return is_of_component and bool(event("on_record_write").events)

    @tools.ormcache()
    def _have_stored_dependents(self):
        return any(
            dependent.store
            for name in (*CLAIMED, *DONE_COLUMNS)
            for dependent in self.pool.get_dependent_fields(self._fields[name])
        )

    def _begin_work(self, run_number=None):
        """Return a savepoint; take the liveness lock of a run before, if one is given.

        :raise LostRunError: when the job is not started by this very claim, or
            somebody else holds the lock
        """
        cr = self.env.cr
        cr.flush()
        if run_number is None:
            cr.execute(SAVEPOINT)
        else:
            self._lock_and_begin(BEGIN_WORK, run_number)
        return WorkSavepoint(cr)

    def _end_work(self):
        """Release the savepoint of the work, right before the commit.

        :raise BrokenTransactionError: when it is gone
        """
        with _broken_transaction_noticed():
            self.env.cr.execute(RELEASE_SAVEPOINT, log_exceptions=False)

    def _commit_and_begin_work(self, run_number, before=None, ends_work=False):
        """Commit, then begin the work of this job; see :meth:`_begin_work`.

        All in one message; a job needs only two. The hooks that run after a
        commit are not called: there must be none.

        :param before: the id of the job that the commit ends, if others may wait
            for it. When somebody is to be released behind it, return None: the
            transaction that has begun is that of the release.
        :param ends_work: whether the commit ends the work of a job
        :raise BrokenTransactionError: as :meth:`_end_work`
        """
        cr = self.env.cr
        cr.flush()
        end = f"{RELEASE_SAVEPOINT}; " if ends_work else ""
        try:
            with _broken_transaction_noticed():
                if before:
                    statement = end + COMMIT_LOOK_AND_BEGIN_WORK
                    self._lock_and_begin(statement, run_number, before)
                    frees_nobody = cr.fetchone()[0]
                else:
                    self._lock_and_begin(end + COMMIT_AND_BEGIN_WORK, run_number)
                    frees_nobody = True
        except LostRunError:
            # The commit came before.
            self._forget_transaction()
            cr.rollback()
            raise
        self._forget_transaction()
        return WorkSavepoint(cr) if frees_nobody else None

    def _forget_transaction(self):
        """Do what a cursor does after a commit."""
        cr = self.env.cr
        cr.clear()
        cr._now = None
        for hooks in (cr.prerollback, cr.postrollback, cr.postcommit):
            hooks.clear()

    def _lock_and_begin(self, statement, run_number, *more):
        try:
            self.env.cr.execute(
                statement, (self.id, run_number, *more), log_exceptions=False
            )
        except psycopg2.Error as error:
            if error.pgcode == LOST_RUN:
                raise LostRunError(
                    f"Job {self.id} is not in run {run_number}"
                ) from error
            raise

    def _enter_session(self):
        """Begin with a clean session, on the connection that a job has for itself."""
        self.env.cr.execute(ENTER_SESSION)

    def _clean_session(self):
        """Take from the session what a job left that ended well."""
        self.env.cr.execute(LEAVE_SESSION)

    def _leave_session(self):
        """Take from the session what a job left that failed; its work was undone before.

        A rollback takes only a part of it. An open transaction goes on, and with it the
        liveness lock; a broken one is rolled back.
        """
        cr = self.env.cr
        if cr.closed:
            return
        connection = cr.connection
        try:
            if connection.get_transaction_status() == TRANSACTION_STATUS_INTRANS:
                self._clean_session()
                return
            # The job may have committed what it did.
            cr.rollback()
            if connection.get_transaction_status() == TRANSACTION_STATUS_IDLE:
                connection.set_session(
                    isolation_level=ISOLATION_LEVEL_REPEATABLE_READ,
                    readonly=False,
                    autocommit=False,
                )
            cr.execute(f"DISCARD TEMP; {LEAVE_SESSION}")
            cr.commit()
        except Exception:
            _logger.warning("session of a job not cleaned; closing it", exc_info=True)
            connection.close()

    # Writes that are held ---------------------------------------------------

    @contextlib.contextmanager
    def _writes_held(self, job):
        """Send the writes of jobs that are done with the next statement of a claim.

        They are sent at the end, if there was none: then the savepoint of the work is
        released with them. Before them the session is cleaned.
        """
        cache = self.env.cr.cache
        held = cache[WRITES_HELD] = [SQL(LEAVE_SESSION)]
        try:
            yield
            # A hook that rolled back to a savepoint of its own has emptied the cache.
            cache[WRITES_HELD] = held
            job.work_ended = bool(held)
            if held:
                with _broken_transaction_noticed():
                    self._send(SQL(RELEASE_SAVEPOINT))
        finally:
            cache.pop(WRITES_HELD, None)

    def _send(self, statement=None):
        """Execute a statement, and before it the writes that are held, in one message."""
        held = self.env.cr.cache.get(WRITES_HELD, [])
        statements = held + [statement] if statement else held
        if statements:
            self.env.cr.execute(SQL("; ").join(statements))
            held.clear()

    def _write_done_past_orm(self, values):
        """Write a row that is done without the ORM, if nothing of it waits to be flushed.

        Return whether it was written, or is held.
        """
        dirty = self.env._field_dirty
        for name in DONE_COLUMNS:
            if self.id in dirty.get(self._fields[name], ()):
                return False
        if not self._write_done([values]):
            return False
        self._forget_cached()
        return True

    def _forget_cached(self):
        """Let the row be read anew; only who looked at it has it in the cache."""
        if self.id in self._fields["state"]._get_cache(self.env):
            self.invalidate_recordset()

    def _write_done(self, vals_list):
        """Write a row that is done by a function, if there is no more to write.

        Return whether it was written, or is held.
        """
        vals = vals_list[0]
        if len(vals_list) > 1 or vals.get("state") != DONE or None in vals.values():
            return False
        if vals.keys() | {"result"} != DONE_COLUMNS:
            return False
        statement = SQL(
            "SELECT queue_job_write_done(%s, %s, %s, %s, %s)",
            *(
                self.id,
                vals["date_done"],
                vals["exec_time"],
                vals["retry"],
                vals.get("result"),
            ),
        )
        held = self.env.cr.cache.get(WRITES_HELD)
        if held is None:
            self.env.cr.execute(statement)
        else:
            held.append(statement)
        return True

    def _put_back(self):
        """Make enqueued jobs pending again; they were not tried."""
        self._editor().write({"state": PENDING, "date_enqueued": False})

    def _add_lock_row(self):
        self.env.cr.execute(
            SQL(
                "INSERT INTO queue_job_lock (id, queue_job_id) SELECT id, id FROM queue_job "
                "WHERE id = %s ON CONFLICT (id) DO NOTHING",
                self.id or None,
            )
        )

    def _lock_row(self, run_number):
        """Lock the liveness row of the job, if this run of it is the last one."""
        self.flush_recordset(["state", "run_number"])
        self.env.cr.execute(
            SQL("SELECT queue_job_lock_run(%s, %s)", self.id or None, run_number or 0)
        )
        return self.env.cr.fetchone()[0]

    def _is_own_run(self, state, run_number):
        """Lock the row and tell whether nobody moved it since ``state`` was written.

        Nobody can have moved a job that has no row yet.
        """
        if not self:
            return True
        self.flush_recordset(["state", "run_number"])
        self.env.cr.execute(
            SQL(
                "SELECT FROM queue_job WHERE id = %s AND state IS NOT DISTINCT FROM %s "
                "AND COALESCE(run_number, 0) = %s FOR NO KEY UPDATE",
                *(self.id or None, state, run_number or 0),
            )
        )
        return bool(self.env.cr.rowcount)

    def _fail_plainly(self, values, run_number):
        """Record a failure by SQL alone, for when the ORM cannot; see the executor."""
        texts = [
            storable_text(values[name], TEXT[name])
            for name in ("exc_name", "exc_message", "exc_info")
        ]
        self.env.cr.execute(
            SQL(
                "UPDATE queue_job SET state = %s, retry = %s, exc_name = %s, exc_message = %s, "
                "exc_info = %s WHERE id = %s AND state = %s AND COALESCE(run_number, 0) = %s",
                *(FAILED, values["retry"], *texts),
                *(self.id or None, STARTED, run_number or 0),
            )
        )
