# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The sockets that the loop waits for, each registered once for its whole life."""

import selectors


class Sockets:
    """Connections by name, and the wakeup pipe.

    :param pipe: ends a wait; has no name
    """

    def __init__(self, pipe):
        self._selector = selectors.DefaultSelector()
        self._descriptors = {}
        self.watch(pipe)

    def __len__(self):
        return len(self._descriptors)

    def add(self, name, conn):
        """Wait for a psycopg2 connection from now on, in place of the one before."""
        self.discard(name)
        descriptor = conn.fileno()
        # Of a connection that was closed, and not discarded.
        for other, known in list(self._descriptors.items()):
            if known == descriptor:
                self.discard(other)
        self._selector.register(descriptor, selectors.EVENT_READ, name)
        self._descriptors[name] = descriptor

    def watch(self, descriptor):
        """Let what is no database end a wait, too."""
        self._selector.register(descriptor, selectors.EVENT_READ, None)

    def unwatch(self, descriptor):
        self._selector.unregister(descriptor)

    def discard(self, name):
        """Wait for it no more; fine when it is closed, or was never added."""
        descriptor = self._descriptors.pop(name, None)
        if descriptor is not None:
            self._selector.unregister(descriptor)

    def ready(self, timeout=0):
        """Return the names of the connections with something to read, within a time."""
        return {key.data for key, _events in self._selector.select(timeout) if key.data}

    def close(self):
        self._selector.close()
