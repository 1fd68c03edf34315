# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The jobs of one database, as the runner reads and moves them.

Each statement is guarded by the state that it expects: a row that another session
has moved is left alone.
"""

import logging
import time
from contextlib import closing, contextmanager
from datetime import datetime, timedelta

import psycopg2
from psycopg2.errors import (
    LockNotAvailable,
    UndefinedColumn,
    UndefinedFunction,
    UndefinedTable,
)

from ..channels import ChannelRecord
from ..sql import statements as sql
from .connection import Connection, application_name
from .log_throttle import LogThrottle
from .rows import Row

_logger = logging.getLogger(__package__ + ".runner")

# Of notifications; the other one that is listened to is of channel records.
JOB_CHANNEL = "queue_job"

EPOCH = datetime(1970, 1, 1)  # also where SQL sorts jobs without a date

# Columns that came after OCA's: without them the database needs an upgrade.
NEEDED_COLUMNS = ("date_stopped", "run_number", "to_report", "twin_key")

# Each of them may take the locks of two keys, of which PostgreSQL has some thousand.
MARKED_AT_ONCE = 500

# Jobs that wait for less may be released by their worker.
FORGOTTEN_AGE = "1 minute"

# Faults of databases.
_throttle = LogThrottle()


def _odoo_now():
    """Return now as Odoo stores it: UTC, whole seconds."""
    return datetime.utcnow().replace(microsecond=0)


def _name():
    """Return node and process of this runner."""
    return application_name().removeprefix("queue_job runner ")


def _timestamp(eta):
    """Return a UNIX time as PostgreSQL takes it, also one of a year that Python lacks."""
    try:
        return EPOCH + timedelta(seconds=eta)
    except OverflowError:
        return "infinity" if eta > 0 else "-infinity"


class Database(Connection):
    """A connection that is elected to dispatch the jobs of ``db_name``.

    ``has_queue_job`` is false when there is nothing to dispatch there; then
    the connection is open, and no lock is held. ``MasterElectionLost`` when
    another runner has the role. ``lacks_triggers`` when a trigger is missing and
    could not be restored yet: rows are read often then, because not all changes notify.

    :param dormant_after: first look whether there is something to do within so many
        seconds. If not, ``is_dormant`` is set, and the connection is closed: no lock was
        taken. 0 does not look
    """

    def __init__(self, db_name, dormant_after=0):
        super().__init__(db_name)
        self.lacks_triggers = False
        self.has_queue_job = False
        self._has_condition = False
        self.is_dormant = False
        # When the next job with an eta is due, UNIX time; None without one.
        self.next_eta = None
        try:
            if dormant_after:
                self._reach()
                self.is_dormant = not self.visit(dormant_after)
                if self.is_dormant:
                    self.close()
                    return
                self._set_up()
            else:
                self._connect()
            self.has_queue_job = self._has_queue_job()
            if self.has_queue_job:
                self._acquire_master_lock()
                self._begin_condition()
                self._listen()
                self._execute(sql.prepare)
        except BaseException:
            self.close()
            raise

    def visit(self, seconds):
        """Return whether there is something to do within so many seconds.

        One message, no lock. A database without the table has nothing to do.
        """
        statement = f"{sql.session_settings}; {sql.visit}"
        values = {"seconds": seconds, "after": 0, "age": FORGOTTEN_AGE}
        try:
            ((is_due, self.next_eta),) = self._fetch(statement, values)
        except UndefinedTable:
            return False
        except (UndefinedColumn, UndefinedFunction):
            # Of an older version: who opens it logs what it needs.
            return True
        return is_due or (
            self.next_eta is not None and self.next_eta <= time.time() + seconds
        )

    def let_go(self, seconds):
        """Let go of the election, and visit then; ``is_dormant`` is the result.

        Not before: a process that delays a job in between sees that no runner is elected.
        """
        self._release_master_lock()
        self.is_dormant = not self.visit(seconds)

    def _has_queue_job(self):
        if not self._value(sql.has_module_table):
            _logger.debug("%s doesn't seem to be an odoo db", self.db_name)
            return False
        if not self._value(sql.is_installed):
            _logger.debug("queue_job is not installed for db %s", self.db_name)
            return False
        needed = list(NEEDED_COLUMNS)
        if self._value(sql.count_columns, {"names": needed}) < len(needed) or (
            not self._value(sql.has_functions)
        ):
            if _throttle.should_log(self.db_name, "needs an upgrade"):
                _logger.error(
                    "db %s needs an upgrade of queue_job (-u queue_job)", self.db_name
                )
            return False
        self.check_triggers()
        return True

    def check_triggers(self):
        """Restore the triggers that are missing (B32: the database was ignored).

        It waits for a second at most for transactions that write jobs; until
        they are there ``lacks_triggers`` is set, which is logged once.
        """
        lacked_triggers, self.lacks_triggers = self.lacks_triggers, False
        missing = dict(self._fetch(sql.missing_triggers))
        if not missing:
            return
        names = " and ".join(missing)
        if not lacked_triggers:
            _logger.error("%s trigger is missing in db %s", names, self.db_name)
        try:
            for functions in dict.fromkeys(missing.values()):
                self._execute(getattr(sql, functions))
            self._execute(sql.make_triggers, {"names": list(missing)})
        except psycopg2.Error as error:
            self.lacks_triggers = True
            if not lacked_triggers:
                _logger.error("%s cannot be restored yet: %s", names, error)
        else:
            _logger.info("%s trigger restored in db %s", names, self.db_name)

    def _begin_condition(self):
        """Record this runner, for the screens."""
        if self.is_pooled and _throttle.should_log(self.db_name, "pooled"):
            _logger.warning(
                "db %s: connected through a pooler; jobs start late or never unless it "
                "passes session locks and LISTEN on, set jobrunner_db_host and "
                "jobrunner_db_port",
                self.db_name,
            )
        self._has_condition = self._value(sql.has_condition)
        if self._has_condition:
            self._execute(
                sql.begin_condition, {"name": _name(), "is_pooled": self.is_pooled}
            )

    def record_condition(self, trouble, status=None, address=None):
        """Record how requests to the workers fail; None when they are answered again."""
        if self._has_condition:
            values = {"trouble": trouble, "status": status, "address": address}
            self._execute(sql.record_condition, {"name": _name(), **values})

    def _listen(self):
        self._execute(sql.listen)

    def poll(self):
        """Return ``(uuids, whether channel records changed)``, notified since the last call."""
        self.conn.poll()
        notes, self.conn.notifies[:] = list(self.conn.notifies), []
        uuids = {note.payload for note in notes if note.channel == JOB_CHANNEL}
        return uuids, any(note.channel != JOB_CHANNEL for note in notes)

    @property
    def has_notifications(self):
        """Whether notifications came along with the answer to a statement.

        They do not make the connection readable any more.
        """
        return bool(self.conn.notifies)

    # Reading ----------------------------------------------------------------

    @contextmanager
    def select_jobs(self, where, args):
        """Give a cursor over jobs: the arguments of ``ChannelManager.notify``."""
        with closing(self.conn.cursor()) as cr:
            self._send(cr, f"{sql.select_jobs} {where}", args)
            yield cr

    def read(self, uuids):
        """Return the rows of jobs."""
        return self._rows(sql.read_jobs, {"uuids": list(uuids)})

    def waiting_channels(self):
        """Return the channel names, as stored, in which jobs are pending."""
        return self._column(sql.waiting_channels)

    def candidates(self, names, limit, after=None):
        """Return the best pending jobs without eta of each channel, best first.

        :param after: rank of the last job known
        """
        statement = sql.candidates if after is None else sql.candidates_after
        if after is not None:
            priority, _dated, created, job_id = after
            after = (priority, created or EPOCH, job_id)
        return self._rows(
            statement, {"names": list(names), "limit": limit, "after": after}
        )

    def timed_candidates(self, names, limit, after=None):
        """Return the pending jobs of each channel whose eta comes next.

        :param after: ``(eta, id)`` of the last job known
        """
        statement = (
            sql.timed_candidates if after is None else sql.timed_candidates_after
        )
        if after is not None:
            eta, job_id = after
            after = (_timestamp(eta), job_id)
        return self._rows(
            statement, {"names": list(names), "limit": limit, "after": after}
        )

    def running(self):
        """Return the jobs that are enqueued or started."""
        return self._rows(sql.running_jobs)

    def failed(self, names, limit):
        """Return failed jobs of each channel, no more than ``limit`` of each."""
        return self._rows(sql.failed_jobs, {"names": list(names), "limit": limit})

    def failed_channels(self):
        """Return the channel names, as stored, in which jobs have failed."""
        return self._column(sql.failed_channels)

    def channel_records(self):
        """Return the settings of the channel records."""
        columns = self._column(sql.channel_columns)
        if not set(ChannelRecord._fields) - {"paused_until"} <= set(columns):
            return []
        return [ChannelRecord(*row) for row in self._fetch(sql.channel_records)]

    def is_changing(self):
        """Return whether modules are to be installed, upgraded or removed."""
        return self._value(sql.modules_changing)

    def secret(self):
        """Return the secret that requests are signed with, None if there is none."""
        return self._value(sql.secret)

    def functions_in_steps(self):
        """Return the names of the job functions whose jobs commit in steps."""
        return frozenset(self._column(sql.functions_in_steps))

    def unreported(self, behind=()):
        """Return the uuids of some jobs whose failure is still to be announced.

        :param behind: uuids that come last
        """
        return self._column(sql.unreported, behind=list(behind))

    def waiting_of_channels(self, names, limit):
        """Return ``{name: (jobs that are ready, UNIX time of the oldest)}``.

        :param limit: the most that are counted of one channel
        """
        rows = self._fetch(
            sql.waiting_of_channels, {"names": list(names), "limit": limit}
        )
        return {name: (count, oldest) for name, count, oldest in rows}

    def objectives(self):
        """Return ``{complete name: seconds}`` within which jobs of channels begin."""
        return dict(self._fetch(sql.objectives))

    def oldest_snapshot(self):
        """Return ``(UNIX time, pid, program, uuid of its job)`` of the session that has
        the oldest snapshot, None when none has one."""
        rows = self._fetch(sql.oldest_snapshot)
        if not rows:
            return None
        since, pid, program, job = rows[0]
        return since, pid, program or "", job or ""

    # Moving -----------------------------------------------------------------

    def mark_enqueued(self, ids, now):
        """Mark pending jobs as enqueued; return the uuids that were obtained.

        Skipped are jobs that are no longer pending (B8), whose row is
        locked, whose eta moved, or whose key a refused caller still holds.

        :param now: UNIX time
        """
        ids, marked = list(ids), set()
        for start in range(0, len(ids), MARKED_AT_ONCE):
            part = ids[start : start + MARKED_AT_ONCE]
            marked.update(self._column(sql.mark, ids=part, now=now, date=_odoo_now()))
        return marked

    def obtainable(self, ids, now):
        """Return the ids of the jobs that :meth:`mark_enqueued` would mark now."""
        return set(self._column(sql.obtainable, ids=list(ids), now=now))

    def set_job_enqueued(self, uuid):
        """Mark one job as enqueued if it is pending."""
        self._execute(sql.mark_one, {"uuid": uuid, "date": _odoo_now()})

    def stopped_among(self, uuids):
        """Return those of some jobs that were stopped while they ran."""
        return set(self._column(sql.stopped_among, uuids=list(uuids)))

    def interrupt_stopped(self):
        """Interrupt the work of stopped jobs; return how many still work.

        Cancels the statement that runs, and ends the backend of a job that was stopped ten
        seconds ago.
        """
        found = self._fetch(sql.interrupt_stopped)
        for uuid, pid, _is_sent in found:
            _logger.info("job %s: stopped; interrupted backend %s", uuid, pid)
        return len(found)

    def put_back(self, uuids):
        """Make enqueued jobs that no worker has claimed pending; return their uuids."""
        return set(self._column(sql.put_back, uuids=list(uuids)))

    def recover(self, uuids):
        """Requeue or fail dead jobs of a request that broke; return their uuids.

        As :meth:`requeue_dead_among`, also those that were sent a moment ago.
        """
        return self._requeue(sql.requeue_dead_among, uuids=list(uuids), at_once=True)

    def free_locks(self, uuids, at_once=False):
        """Return ``{uuid: last lock}`` of running jobs whose liveness row is free; locks nothing.

        One check proves no death, see :class:`.liveness.DeadJobs`.

        :param at_once: those that were sent less than ten seconds ago, too
        """
        if not uuids:
            return {}
        values = {"uuids": list(uuids), "at_once": at_once}
        return dict(self._fetch(sql.free_locks, values))

    def free_locks_of_begun(self, uuids):
        """Return the same of jobs that began a while ago."""
        if not uuids:
            return {}
        return dict(self._fetch(sql.free_locks_of_begun, {"uuids": list(uuids)}))

    def requeue_dead_among(self, uuids):
        """Requeue or fail some jobs that two checks found dead; return their uuids.

        By key, and so cheap, whatever passed through the table.
        """
        return self._requeue(sql.requeue_dead_among, uuids=list(uuids), at_once=False)

    def requeue_dead_jobs(self):
        """Requeue or fail the jobs whose liveness row is free now; return their uuids.

        A door for others. The runner checks twice before, and sweeps the jobs that it found.
        """
        return self._requeue(self._query_requeue_dead_jobs())

    def _query_requeue_dead_jobs(self):
        """Return the sweep as complete SQL: no parameters, no percent signs."""
        return sql.requeue_dead

    def _requeue(self, query, **values):
        uuids = self._column(query, **values)
        for uuid in uuids:
            _logger.warning("Re-queued dead job with uuid: %s", uuid)
        return uuids

    def release_behind(self, uuids):
        """Make pending what waited for some jobs and waits for nothing now; return uuids.

        Locked rows are left to :meth:`release_forgotten`.
        """
        try:
            return self._column(sql.release_behind_ended, uuids=list(uuids))
        except LockNotAvailable:
            return []

    def release_forgotten(self, after_id):
        """Make pending what waits for dependencies that are all over.

        That never happens, and is repaired if it does. Reads a bounded number
        of jobs from ``after_id`` on; return ``(uuids, id to go on from)``,
        0 when all were read.
        """
        rows = self._fetch(sql.old_waiting, {"after": after_id, "age": FORGOTTEN_AGE})
        if not rows:
            return [], 0
        ids = [job_id for job_id, blocked in rows if not blocked]
        uuids = self._column(sql.release_unblocked, ids=ids) if ids else []
        for uuid in uuids:
            _logger.warning("job %s waited for nothing, it is pending now", uuid)
        return uuids, rows[-1][0]

    def fail_unusable(self, job_id, reason):
        """Fail a pending job that can never run, unless its row is locked."""
        try:
            self._execute(sql.fail_unusable, {"id": job_id, "reason": reason})
        except psycopg2.DatabaseError as error:
            if self.conn.closed:
                raise
            _logger.debug("job with id %s cannot be failed: %s", job_id, error)

    # Plumbing ---------------------------------------------------------------

    def _rows(self, statement, values=None):
        return [Row(*row) for row in self._fetch(statement, values)]

    def _column(self, statement, **values):
        return [value for (value,) in self._fetch(statement, values or None)]
