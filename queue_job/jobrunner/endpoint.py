# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A few pages over HTTP, served by the loop of the runner.

No thread and no wait: the sockets have a selector of their own, and the runner's
``select`` watches that one. A client that is slow costs a connection, which is closed
after a few seconds; it delays no job.
"""

import logging
import selectors
import socket
import time
from contextlib import suppress
from http import HTTPStatus

_logger = logging.getLogger(__name__)

# Connections at once; the oldest one is closed for a new one.
MAX_CONNECTIONS = 20
# Seconds until a connection that is not over is closed.
PATIENCE = 5
# Bytes of a request without its body.
LONGEST_REQUEST = 16 * 1024


class Exchange:
    """One request and its answer over one connection.

    :param get: called with the path and the ``Accept`` header; returns status, content
        type and text
    """

    def __init__(self, connection, get, now):
        self.connection = connection
        self.began = now
        self._get = get
        self._read = b""
        self._left = b""

    @property
    def wants(self):
        """Return the event to wait for."""
        return selectors.EVENT_WRITE if self._left else selectors.EVENT_READ

    def go_on(self):
        """Read or write what is possible at once; return whether the exchange is over."""
        try:
            if not self._left:
                part = self.connection.recv(LONGEST_REQUEST)
                self._read += part
                if b"\r\n\r\n" not in self._read:
                    return not part or len(self._read) > LONGEST_REQUEST
                self._left = self._answer()
            self._left = self._left[self.connection.send(self._left) :]
        except BlockingIOError:
            return False
        except OSError:
            return True
        return not self._left

    def _answer(self):
        first, *lines = self._read.decode("latin-1").split("\r\n")
        method, _blank, target = first.rpartition(" ")[0].partition(" ")
        headers = dict(line.lower().split(":", 1) for line in lines if ":" in line)
        if method not in ("GET", "HEAD"):
            status, kind, text = 405, "text/plain", "only GET and HEAD\n"
        else:
            path = target.partition("?")[0]
            status, kind, text = self._page(path, headers.get("accept", ""))
        body = text.encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        ).encode()
        return head if method == "HEAD" else head + body

    def _page(self, path, accept):
        try:
            return self._get(path, accept)
        except Exception:
            # A page must not end the sessions that share its loop.
            _logger.exception("page %s failed", path)
            return 500, "text/plain", "see the log\n"


class Endpoint:
    """Listens on an address, and answers when :meth:`serve` is called.

    :param get: see :class:`Exchange`
    :raise OSError: when the address cannot be had
    """

    def __init__(self, interface, port, get):
        self._get = get
        # Of open connections, the oldest first.
        self._exchanges = {}
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        self._listener = socket.create_server((interface, port), family=family)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    @property
    def port(self):
        return self._listener.getsockname()[1]

    def fileno(self):
        """Return a descriptor that is readable when there is something to serve."""
        return self._selector.fileno()

    def serve(self):
        """Answer as far as that is possible without waiting."""
        now = time.monotonic()
        for key, _events in self._selector.select(0):
            if key.fileobj is self._listener:
                self._accept(now)
            else:
                self._go_on(key.fileobj)
        for connection, exchange in list(self._exchanges.items()):
            if exchange.began + PATIENCE <= now:
                self._end(connection)

    def close(self):
        """Close all connections and the address."""
        for connection in list(self._exchanges):
            self._end(connection)
        self._selector.close()
        self._listener.close()

    def _accept(self, now):
        with suppress(OSError):
            connection, _address = self._listener.accept()
            connection.setblocking(False)
            if len(self._exchanges) >= MAX_CONNECTIONS:
                self._end(next(iter(self._exchanges)))
            self._exchanges[connection] = Exchange(connection, self._get, now)
            self._selector.register(connection, selectors.EVENT_READ)
            self._go_on(connection)

    def _go_on(self, connection):
        exchange = self._exchanges.get(connection)
        if exchange is None:
            return
        wanted = exchange.wants
        if exchange.go_on():
            self._end(connection)
        elif exchange.wants != wanted:
            self._selector.modify(connection, exchange.wants)

    def _end(self, connection):
        del self._exchanges[connection]
        self._selector.unregister(connection)
        connection.close()
