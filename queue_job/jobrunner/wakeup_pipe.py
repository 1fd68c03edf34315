# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The pipe that ends a ``select`` early."""

import os
import threading
from contextlib import suppress


class WakeupPipe:
    """Owns both ends of a pipe: writing to one wakes the thread that selects on the other.

    Nothing is written after ``close``: the number of a closed descriptor soon
    belongs to something else.
    """

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self._lock = threading.RLock()
        self._closed = False
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)

    def fileno(self):
        return self._reader

    def wake(self):
        """Wake the thread that selects; safe in other threads and in signal handlers."""
        with self._lock, suppress(OSError):
            # A full pipe wakes as well.
            if not self._closed:
                os.write(self._writer, b".")

    def clear(self):
        """Forget the wake-ups so far."""
        with suppress(OSError):
            while len(os.read(self._reader, 4096)) == 4096:
                pass

    def close(self):
        """Close both ends, even when they were closed already."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for descriptor in (self._reader, self._writer):
                with suppress(OSError):
                    os.close(descriptor)
