# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How long an answer of PostgreSQL is waited for (B30).

libpq waits for as long as the connection lasts. The network gives up a peer that
acknowledges nothing; but a tunnel, a proxy or a frozen server acknowledges
everything and answers nothing, and such a connection lasts for ever. So a thread
looks at the clock and shuts the socket, and the call that waits on it fails as it
does when the server is gone. A wait callback of psycopg2 could do it without a
thread, but would hold for all connections of the process, Odoo's own as well.
"""

import contextlib
import os
import socket
import threading
from time import monotonic

import psycopg2

# Seconds for the next answer when the last one did not come: what hangs mostly
# hangs for all databases, and each of them is asked in its turn.
HURRY = 2
# Calls given up that still wait, at most.
MAX_GIVEN_UP = 3


class SilentError(psycopg2.OperationalError):
    """PostgreSQL did not answer in time; the connection is shut."""


class _Call:
    def __init__(self, descriptor, deadline):
        self.descriptor = descriptor
        self.deadline = deadline
        self.is_over = False

    def end(self):
        self.is_over = True
        with contextlib.suppress(OSError):
            with socket.socket(fileno=os.dup(self.descriptor)) as shared:
                shared.shutdown(socket.SHUT_RDWR)


class Patience:
    """Shuts connections whose answer is overdue; one thread, begun when needed."""

    def __init__(self):
        self._changed = threading.Condition()
        self._calls = set()
        self._wakes_at = None
        self._thread = None
        self._in_a_hurry = False

    @contextlib.contextmanager
    def limit(self, conn, seconds):
        """Let the statement in this block take so many seconds at most.

        :raise SilentError: when it took longer; ``conn`` is of no use then
        """
        if self._in_a_hurry:
            seconds = min(seconds, HURRY)
        call = _Call(conn.fileno(), monotonic() + seconds)
        self._begin(call)
        try:
            yield
        except psycopg2.Error as error:
            if not call.is_over:
                raise
            raise SilentError(
                f"PostgreSQL has not answered for {seconds:g} seconds, "
                "the connection is given up"
            ) from error
        finally:
            # Under the lock: from here on the descriptor may be another file's.
            with self._changed:
                self._calls.discard(call)
            self._in_a_hurry = call.is_over

    def _begin(self, call):
        with self._changed:
            self._calls.add(call)
            # A process that was forked has no thread but the one that forked it.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._watch, name="queue_job patience", daemon=True
                )
                self._thread.start()
            elif self._wakes_at is None or call.deadline < self._wakes_at:
                self._changed.notify()

    def _watch(self):
        with self._changed:
            while True:
                now = monotonic()
                for call in [call for call in self._calls if call.deadline <= now]:
                    self._calls.discard(call)
                    call.end()
                # Not told of each call: most are over long before.
                self._wakes_at = min(
                    (call.deadline for call in self._calls), default=None
                )
                left = None if self._wakes_at is None else self._wakes_at - now
                self._changed.wait(left)


patience = Patience()

_given_up = set()


def within(seconds, function, *args):
    """Return what a function returns, of which nobody knows how long it takes.

    :raise TimeoutError: when that is longer; the call goes on in its thread
    """
    _given_up.difference_update([call for call in _given_up if not call.is_alive()])
    if len(_given_up) >= MAX_GIVEN_UP:
        raise TimeoutError(f"{len(_given_up)} calls have not been answered")
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
        _given_up.add(thread)
        raise TimeoutError(f"no answer for {seconds:g} seconds")
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]
