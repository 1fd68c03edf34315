# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Databases that are let go while they have nothing to do: dormant ones.

A connection to each of a thousand databases would cost PostgreSQL a process, and its
signs of life a core. So a database that was silent for a while, and has no job that is due
soon, is let go, lock and connection. Three things wake it:

* its next eta, which is remembered;
* a process that delayed a job there, committed, and found no runner elected: it notifies
  the database ``postgres``, where this process listens (see ``store/waking.py``). The runner
  lets go of the lock first and looks for jobs then, the other one commits first and looks
  for the lock then: one of the two sees the other;
* a visit: a look without a lock, for what was inserted by plain SQL, or notified while no
  runner listened. All databases are visited after a start, before they are known.

A process that cannot listen lets no database go.
"""

import logging

from ..protocol import WAKING_DATABASE
from ..sql import statements as sql
from .agenda import NEVER, Agenda
from .connection import Connection
from .connector import Connector, attempt
from .log_throttle import LogThrottle

_logger = logging.getLogger(__package__ + ".runner")

# Its socket has the name of no database.
LISTENER = "\n"
# Databases of a start that are opened without a visit before. Of more, those without a
# job would cost as many connections.
OPENED_AT_START = 10

# Seconds between two visits: while some databases are not known yet, and later; and of
# the same database at least.
FIRST_VISITS_EVERY, VISITS_EVERY, VISIT_AGAIN = 0.05, 1, 60
# Seconds before an eta at which its database is opened.
LEAD = 2
# Seconds between two signs of life of the listener, and until it is opened again.
BEAT_EVERY, LISTEN_AGAIN = 10, 5


class WakeListener(Connection):
    """Receives the names of databases in which jobs were delayed while no runner was elected."""

    def __init__(self):
        super().__init__(WAKING_DATABASE)
        try:
            self._connect()
            self._execute(sql.listen_to_wakes)
        except BaseException:
            self.close()
            raise

    def poll(self):
        """Return the names that were notified since the last call."""
        self.conn.poll()
        notes, self.conn.notifies[:] = list(self.conn.notifies), []
        return {note.payload for note in notes}


def _open_listener(_name):
    return WakeListener()


class DormantDatabases:
    """The dormant databases, and when to look after each.

    :param after: seconds of silence after which a database goes dormant, 0 for never
    :param wake: ends a wait of the loop
    """

    def __init__(self, sockets, wake):
        self.after = 0
        self._sockets = sockets
        self._connector = Connector(_open_listener, wake)
        self._listener = None
        self._listen_at, self._beat_at = 0, 0
        self._throttle = LogThrottle()
        # When to open each, and when to visit each at the earliest.
        self._due, self._rota = Agenda(), Agenda()
        self._visit_at = 0
        self._unknown = set()

    @property
    def names(self):
        return self._rota.names

    @property
    def is_possible(self):
        """Whether a database may go dormant."""
        return bool(self.after and self._listener)

    # Databases --------------------------------------------------------------

    def add(self, name):
        """Have a database visited soon: whether it has something to do is not known."""
        self._unknown.add(name)
        self._rota.set(name, 0)

    def slept(self, name, eta, now):
        """Know that a database has nothing to do before ``eta``, None for ever."""
        self._unknown.discard(name)
        self._rota.set(name, now + VISIT_AGAIN)
        if eta is not None:
            self._due.set(name, max(eta - LEAD, now))

    def discard(self, name):
        for known in (self._due, self._rota, self._unknown):
            known.discard(name)

    def doubt_all(self):
        """Have all visited soon: a notification may have been lost."""
        for name in list(self.names):
            self.add(name)

    def pop(self, now):
        """Return the next database to open or visit, None without one; it is forgotten here."""
        name = self._due.pop(now)
        if name is None and now >= self._visit_at:
            name = self._rota.pop(now)
            if name is not None:
                every = FIRST_VISITS_EVERY if self._unknown else VISITS_EVERY
                self._visit_at = now + every
        if name is not None:
            self.discard(name)
        return name

    def next(self):
        """Return when the next database has to be opened or visited."""
        return min(self._due.next(), max(self._rota.next(), self._visit_at))

    # The listener -----------------------------------------------------------

    def listen(self, now):
        """Open the listener, and wait until it is."""
        if self.after and self._listener is None:
            self._began_to_listen(now, *attempt(_open_listener, WAKING_DATABASE))

    def wakes(self, now):
        """Keep the listener alive; return the names of databases to open now."""
        for _name, listener, error in self._connector.finished():
            self._began_to_listen(now, listener, error)
        if not self.after:
            return set()
        if self._listener is None:
            if now >= self._listen_at and self._connector.room:
                self._listen_at = NEVER
                self._connector.begin(WAKING_DATABASE)
            return set()
        try:
            if now >= self._beat_at:
                self._beat_at = now + BEAT_EVERY
                self._listener.keep_alive()
            return self._listener.poll()
        except Exception as error:  # noqa: BLE001 whatever it is, jobs go on
            self._lost_listener(now, error)
            return set()

    def next_sign(self):
        """Return when :meth:`wakes` has to be called without an event."""
        if not self.after:
            return NEVER
        return self._listen_at if self._listener is None else self._beat_at

    def close(self):
        """Stop listening."""
        self._connector.close()
        self._close_listener()

    def _began_to_listen(self, now, listener, error):
        if error is not None:
            self._lost_listener(now, error)
            return
        self._listener = listener
        self._sockets.add(LISTENER, listener.conn)
        self._beat_at = now + BEAT_EVERY
        # Earlier notifications were missed.
        self.doubt_all()

    def _lost_listener(self, now, error):
        self._close_listener()
        self._listen_at = now + LISTEN_AGAIN
        self.doubt_all()
        if self._throttle.should_log(None, str(error)):
            _logger.warning(
                "db %s: cannot listen there, no database goes dormant: %s",
                WAKING_DATABASE,
                str(error).strip() or repr(error),
            )

    def _close_listener(self):
        self._sockets.discard(LISTENER)
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
