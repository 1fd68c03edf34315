# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The side connection: what a worker says and asks while the transaction of a job is open.

The transaction of a job shows nothing to other sessions before its commit, and sees
nothing of theirs. So each worker process has one more connection, beside ``db_maxconn``:
opened when first needed, after the fork, and closed when idle. Each statement is a
transaction of its own that waits for no disk and for no lock longer than a moment. What
goes over it is a hint: an error is logged and never raised to the job.

A row that the side connection writes must not be written by the transaction of a job: its
snapshot is older, and PostgreSQL would refuse one of both with 40001.
"""

import logging
import os
import threading
import time

import psycopg2

from odoo.sql_db import connection_info_for

from ..sql import statements as sql

_logger = logging.getLogger(__name__)

# Seconds without a statement after which the connection is closed.
IDLE = 60
# Seconds at least between two statements of one key that were posted.
INTERVAL = 1
CONNECT_TIMEOUT = 5
# Seconds between two log lines about a connection that does not work.
LOG_INTERVAL = 60


class SideConnection:
    """One connection to one database at a time, for all threads of a process.

    :param idle: seconds without a statement after which it is closed
    """

    def __init__(self, idle=IDLE):
        self._idle = idle
        # Held while the connection is used.
        self._lock = threading.Lock()
        self._connection = None
        self._db_name = None
        # Guards the rest.
        self._changed = threading.Condition()
        self._posted = {}
        self._sent_at = {}
        self._used_at = 0
        self._logged_at = None
        self._thread = None

    def query(self, db_name, statement, values=None):
        """Execute a statement at once; return its rows, None when that is impossible.

        A connection that was lost is opened again. Waits for a lock a second at most.
        """
        self._keep_awake()
        with self._lock:
            was_open = self._is_open(db_name)
            try:
                try:
                    return self._execute(db_name, statement, values)
                except (psycopg2.OperationalError, psycopg2.InterfaceError):
                    if not was_open or self._is_open(db_name):
                        raise
                    return self._execute(db_name, statement, values)
            except psycopg2.Error as error:
                self._log(db_name, error)
                return None

    def post(self, key, db_name, statement, values=None):
        """Execute a statement soon, in another thread; the caller never waits.

        Of several that are posted with one key within a second, only the last counts.
        """
        with self._changed:
            self._posted[key] = (db_name, statement, values)
            self._start()
            self._changed.notify()

    def withdraw(self, key):
        """Forget what was posted with a key and is not sent yet."""
        with self._changed:
            self._posted.pop(key, None)

    def flush(self):
        """Execute what is posted, now and in this thread."""
        with self._changed:
            posted, self._posted = self._posted, {}
        for statement in posted.values():
            self.query(*statement)

    def close(self):
        """Close the connection; it is opened again when needed."""
        with self._lock:
            self._close()

    # Connection -------------------------------------------------------------

    def _is_open(self, db_name):
        connection = self._connection
        return bool(connection and not connection.closed and self._db_name == db_name)

    def _execute(self, db_name, statement, values):
        if not self._is_open(db_name):
            self._close()
            _name, info = connection_info_for(db_name)
            self._connection = psycopg2.connect(**info, connect_timeout=CONNECT_TIMEOUT)
            self._connection.autocommit = True
            self._db_name = db_name
            with self._connection.cursor() as cursor:
                cursor.execute(sql.side_settings)
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def _close(self):
        if self._connection is not None:
            self._connection.close()
        self._connection = self._db_name = None

    def _log(self, db_name, error):
        now = time.monotonic()
        if self._logged_at is None or now > self._logged_at + LOG_INTERVAL:
            self._logged_at = now
            _logger.warning(
                "db %s: side connection failed; progress is not shown: %s",
                db_name,
                str(error).strip(),
            )

    # Thread -----------------------------------------------------------------

    def _keep_awake(self):
        with self._changed:
            self._used_at = time.monotonic()
            self._start()

    def _start(self):
        """Start the thread, which lives as long as the connection is in use."""
        self._used_at = time.monotonic()
        if self._thread is None:
            thread = threading.Thread(
                target=self._run, name="queue_job side connection", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:
                # No thread is left: progress is not shown, the next caller tries again.
                return
            self._thread = thread

    def _run(self):
        while True:
            with self._changed:
                due = self._take_due()
                if not due:
                    pause = self._pause()
                    if pause > 0:
                        self._changed.wait(pause)
                        continue
                    # The next caller starts another thread, which waits for this lock.
                    self._thread = None
                    self._sent_at.clear()
                    self.close()
                    return
            for statement in due:
                self.query(*statement)

    def _take_due(self):
        """Remove and return the statements whose key was not sent within the interval."""
        now = time.monotonic()
        keys = [
            key for key in self._posted if self._sent_at.get(key, 0) + INTERVAL <= now
        ]
        recent = {
            key: sent for key, sent in self._sent_at.items() if sent + INTERVAL > now
        }
        self._sent_at = {**recent, **dict.fromkeys(keys, now)}
        return [self._posted.pop(key) for key in keys]

    def _pause(self):
        """Return the seconds until there is something to do."""
        moments = [self._sent_at.get(key, 0) + INTERVAL for key in self._posted]
        return min([self._used_at + self._idle, *moments]) - time.monotonic()


# By process number: a fork inherits a connection that is not its own, and must not use it.
_of_process = {}


def side_connection():
    """Return the side connection of this process."""
    pid = os.getpid()
    if pid not in _of_process:
        _of_process.setdefault(pid, SideConnection())
    return _of_process[pid]
