"""Serve an embedded PostgreSQL until its last user is gone: ``pgkeeper.py USERS UID GID CMD...``.

Every call of the suite holds the lock file USERS shared while it needs the server; the
kernel drops that lock when the call dies, however it dies. The keeper tries to get it alone,
and when it does, nobody uses the server: it stops it and ends. It keeps the lock until
the server is down, so a newcomer waits and then starts a fresh one.

A script of its own, stdlib only, started in a session of its own.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
# Seconds between two looks at the lock.
POLL = 0.5
# Seconds that PostgreSQL gets to end.
GRACE = 20


def main(argv):
    """Start the server and keep it while somebody holds the lock."""
    users, uid, gid, command = argv[1], int(argv[2]), int(argv[3]), argv[4:]
    keeper = os.getpid()

    def tie():
        # After the change of user, which would clear it. SIGQUIT ends PostgreSQL with
        # all its backends at once.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)
        if os.getppid() != keeper:
            os._exit(1)

    # PostgreSQL refuses to run as root.
    other = {"user": uid, "group": gid, "extra_groups": []} if os.getuid() == 0 else {}
    server = subprocess.Popen(command, preexec_fn=tie, **other)
    asked = []
    signal.signal(signal.SIGTERM, lambda *_args: asked.append(True))
    lock = os.open(users, os.O_RDWR | os.O_CREAT, 0o600)
    while server.poll() is None and not asked:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(POLL)
    if server.poll() is None:
        # SIGINT is PostgreSQL's fast shutdown: sessions are ended, data is flushed.
        server.send_signal(signal.SIGINT)
        try:
            server.wait(GRACE)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)
            server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
