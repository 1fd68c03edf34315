# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Deadlines of the runner's statements and calls (B30: a runner that waits for ever).

libpq waits for as long as a connection lasts. The network ends a connection whose
peer acknowledges nothing; but a tunnel, a proxy or a frozen server acknowledges
everything and never replies. So the runner's connections are asynchronous: every
wait is a select with a deadline, per connection, without a thread.
"""

import selectors
import threading
from time import monotonic

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

# Seconds for the next reply after one that did not come: a network that is silent is
# mostly silent for all databases, and the runner waits for them one after another.
HURRY = 2
# Calls past their deadline that still run in their threads, at most.
MAX_OVERDUE = 3

_EVENTS = {POLL_READ: selectors.EVENT_READ, POLL_WRITE: selectors.EVENT_WRITE}


class SilentError(psycopg2.OperationalError):
    """PostgreSQL did not reply in time; the connection is closed."""


class Deadlines:
    """Wait for replies on asynchronous connections, shortly after one that is silent."""

    def __init__(self):
        self._is_hurried = False

    def wait(self, conn, seconds):
        """Wait until the statement, or the connecting, of ``conn`` is over.

        :raise SilentError: after so many seconds; ``conn`` is closed then, and
            PostgreSQL may still execute its statement
        """
        if self._is_hurried:
            seconds = min(seconds, HURRY)
        ends = monotonic() + seconds
        while (state := conn.poll()) != POLL_OK:
            if not _is_ready(conn, _EVENTS[state], ends - monotonic()):
                self._is_hurried = True
                conn.close()
                raise SilentError(
                    f"no reply from PostgreSQL within {seconds:g} s, connection closed"
                )
        self._is_hurried = False


def _is_ready(conn, event, seconds):
    with selectors.DefaultSelector() as selector:
        selector.register(conn, event)
        return bool(seconds > 0 and selector.select(seconds))


deadlines = Deadlines()

_overdue = set()


def within(seconds, function, *args):
    """Return the result of a function that may never return.

    :raise TimeoutError: after so many seconds; the call goes on in its thread
    """
    _overdue.difference_update([call for call in _overdue if not call.is_alive()])
    if len(_overdue) >= MAX_OVERDUE:
        raise TimeoutError(f"{len(_overdue)} calls have not been answered")
    outcome = {}

    def call():
        try:
            outcome["result"] = function(*args)
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=call, name="queue_job call", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        _overdue.add(thread)
        raise TimeoutError(f"no answer for {seconds:g} seconds")
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]
