# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The runner's connection to one database, and the election that lives with it.

Election: the runner that holds one advisory lock of a database dispatches its jobs.
The lock lives and dies with this connection, and every mark that makes a job run goes
through this connection too. So a runner that lost its connection has lost the role and
the power to act on it in the same moment, and no two runners ever need to agree on
anything else.

A peer that vanishes would keep the lock until PostgreSQL notices, and would let
this side wait for ever (B30: a runner waited behind a silent network). Both ends ask the
network within half a minute (keepalives, user timeout). Both ends close a connection whose
network is well and whose peer is silent: this side waits for each answer for a while
only, PostgreSQL ends a session that sent no statement, not even a sign of life,
for a while. And a connection that was lost is ended by its process number when
the next one finds its lock taken.

The connection is asynchronous (see :mod:`.deadlines`): it takes one statement at a
time, each alone in its transaction. Names are still resolved in the call, so
connections are made beside the loop (see :mod:`.connector`).
"""

import contextlib
import logging
import os
import socket
import time
from contextlib import closing

import psycopg2

from ..sql import statements as sql
from .config import connection_info_for
from .deadlines import deadlines

_logger = logging.getLogger(__package__ + ".runner")

PG_ADVISORY_LOCK_ID = 2293787760715711918

# Seconds. A dead peer is noticed after about keepalive idle + count * interval.
CONNECTION_OPTIONS = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}

# Seconds that PostgreSQL may take to answer a sign of life, and any other statement:
# more than PostgreSQL itself lets one take (see ``sql/session.sql``).
BEAT_PATIENCE, PATIENCE = 10, 45
# After which PostgreSQL, from version 14 on, ends a session that sent nothing: more
# than a beat of the session and a round in which other databases hang.
IDLE_LIMIT = "45s"

# Process number of a connection to each database that was lost, not closed.
_lost_backends = {}
# Process number of the connection that had the lock of each database last, until this
# process tries to get that again.
_held_before = {}
# Seconds to wait for the end of such a connection: PostgreSQL notices it a little later,
# on a busy machine much later.
GHOST_PATIENCE = 1


class MasterElectionLost(Exception):
    """Another runner dispatches the jobs of this database."""


def _connection_info_for(db_name):
    return connection_info_for(db_name)


def application_name():
    """Return what names this runner in ``pg_stat_activity``."""
    return f"queue_job runner {socket.gethostname()[:35]}:{os.getpid()}"[:63]


def _named(pid):
    return {"pid": pid, "name": application_name()}


def _each_host(info):
    """Return the parameters for each host of a list: one deadline each, as libpq does.

    An asynchronous libpq leaves deadlines to its caller, and would never ask the
    second host when the first is silent.
    """
    hosts = str(info.get("host") or "").split(",")
    ports = str(info.get("port") or "").split(",")
    if len(hosts) == 1:
        return [info]
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return [
        {**info, "host": host, "port": port or None}
        for host, port in zip(hosts, ports, strict=False)
    ]


class Connection:
    """A connection to a database, elected or not.

    ``conn`` is None until it is made, and when it is closed.
    """

    def __init__(self, db_name):
        self.db_name = db_name
        self.conn = None
        self.is_pooled = False
        self._is_elected = False
        # When PostgreSQL answered last, by the clock that cannot be set.
        self.heard_at = time.monotonic()

    def close(self):
        """Close the connection, and with it the election; never raises."""
        conn, self.conn = self.conn, None
        if conn is not None:
            try:
                conn.close()
            except Exception:
                _logger.debug(
                    "closing the connection to %s", self.db_name, exc_info=True
                )

    def abandon(self):
        """Close a connection that failed: PostgreSQL may not know that it is over."""
        if self.conn is not None and self._is_elected:
            _lost_backends[self.db_name] = self._backend_pid
        self.close()

    def _connect(self):
        self._reach()
        self._set_up()

    def _set_up(self):
        self._execute(sql.session_settings)
        self._execute(sql.limit_idleness, {"limit": IDLE_LIMIT})

    def _reach(self):
        """Make the connection, and send nothing yet."""
        info = {
            **CONNECTION_OPTIONS,
            **_connection_info_for(self.db_name),
            "application_name": application_name(),
        }
        *others, last = _each_host(info)
        for host in others:
            with contextlib.suppress(psycopg2.OperationalError):
                self._connect_to(host)
                break
        else:
            self._connect_to(last)
        self._backend_pid = self.conn.get_backend_pid()
        # A pooler gives its clients process numbers of its own.
        self.is_pooled = self._value(sql.backend_pid) != self._backend_pid

    def _connect_to(self, info):
        # In autocommit, as asynchronous connections are.
        self.conn = psycopg2.connect(**info, async_=True)
        deadlines.wait(self.conn, float(info["connect_timeout"]))

    def _acquire_master_lock(self):
        if not self._try_master_lock():
            lost_backend = _lost_backends.pop(self.db_name, None)
            if lost_backend is not None:
                self._execute(sql.end_backend, _named(lost_backend))
            raise MasterElectionLost(
                f"could not acquire master runner lock on {self.db_name}"
            )
        _lost_backends.pop(self.db_name, None)
        _held_before[self.db_name] = self._backend_pid
        self._is_elected = True

    def _release_master_lock(self):
        """Let go of the election at once; the end of a connection takes a moment."""
        self._execute(sql.unlock, {"key": PG_ADVISORY_LOCK_ID})
        self._is_elected = False
        _held_before.pop(self.db_name, None)

    def _try_master_lock(self):
        """Try to get the lock, for a moment if this process has just let go of it."""
        ghost = _held_before.pop(self.db_name, None)
        deadline = time.monotonic() + GHOST_PATIENCE
        while True:
            waits = (
                ghost is not None
                and time.monotonic() < deadline
                and self._value(sql.backend_lives, _named(ghost))
            )
            if self._value(sql.try_lock, {"key": PG_ADVISORY_LOCK_ID}):
                return True
            if not waits:
                return False
            time.sleep(0.05)

    def keep_alive(self):
        """Give and ask for a sign of life; ``SilentError`` when none comes."""
        self._execute(sql.keep_alive, limit=BEAT_PATIENCE)

    # Plumbing ---------------------------------------------------------------

    def _execute(self, statement, values=None, limit=None):
        with closing(self.conn.cursor()) as cr:
            self._send(cr, statement, values, limit)

    def _fetch(self, statement, values=None):
        with closing(self.conn.cursor()) as cr:
            self._send(cr, statement, values)
            return cr.fetchall()

    def _send(self, cr, statement, values, limit=None):
        cr.execute(statement, values)
        deadlines.wait(self.conn, limit or PATIENCE)
        self.heard_at = time.monotonic()

    def _value(self, statement, values=None):
        rows = self._fetch(statement, values)
        return rows[0][0] if rows else None
