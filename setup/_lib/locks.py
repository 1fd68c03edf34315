"""Advisory file locks: the kernel drops them when their holder dies, however it dies."""

import contextlib
import fcntl
import os

from . import progress


class FileLock:
    """An flock on one file, held until ``release`` or the end of the process.

    The descriptor is not inherited by children, so a lock never outlives its process.
    """

    def __init__(self, path):
        self.path = path
        self._fd = None

    def acquire(self, *, shared=False, wait=True):
        """Take the lock; return False when it is held elsewhere and ``wait`` is false."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(fd, mode if wait else mode | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def release(self):
        """Give the lock up; harmless when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


@contextlib.contextmanager
def exclusive(path):
    """Hold the lock of ``path`` alone, saying so when that takes waiting."""
    lock = FileLock(path)
    if not lock.acquire(wait=False):
        with progress.step("Waiting for another provisioning to end"):
            lock.acquire()
    try:
        yield lock
    finally:
        lock.release()
