# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Connect to databases beside the loop.

PostgreSQL refuses connections to a database while that is copied, and a host that drops
packets keeps its caller waiting for the whole time limit, while other databases have
jobs.
"""

import threading
from collections import deque
from contextlib import suppress

# Databases opened at once; what hangs keeps its place until its time limit.
MAX_OPENING = 4


def attempt(open_database, name):
    """Return ``(database, None)``, or ``(None, error)``."""
    try:
        return open_database(name), None
    except Exception as error:
        return None, error


class Connector:
    """Opens databases, each in a thread of its own.

    :param open_database: returns what is elected for the database of a name
    :param wake: called from other threads when an attempt is over
    """

    def __init__(self, open_database, wake):
        self.names = set()
        self._open_database = open_database
        self._wake = wake
        self._finished = deque()
        self._is_closed = False

    @property
    def room(self):
        """How many more may be begun."""
        return MAX_OPENING - len(self.names)

    def begin(self, name, open_database=None):
        """Begin to open a database; ``finished`` gives the result.

        :param open_database: in place of that of the connector
        """
        self.names.add(name)
        thread = threading.Thread(
            target=self._work,
            args=(name, open_database or self._open_database),
            name="queue_job connector",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:
            # The process may have no more threads.
            self._finished.append((name, None, error))

    def finished(self):
        """Return ``(name, database, error)`` of the finished attempts."""
        attempts = []
        with suppress(IndexError):
            while True:
                attempts.append(self._finished.popleft())
        self.names.difference_update(name for name, _database, _error in attempts)
        return attempts

    def close(self):
        """Close databases that were opened too late, now and later."""
        self._is_closed = True
        for _name, database, _error in self.finished():
            if database is not None:
                database.close()

    def _work(self, name, open_database):
        self._finished.append((name, *attempt(open_database, name)))
        if self._is_closed:
            self.close()
        self._wake()
