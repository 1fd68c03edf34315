"""Run one command so that nothing of it survives its caller: ``guard.py FD GRACE CMD...``.

The guard is the parent of the command and, as a child subreaper, of whatever the
command leaves behind, be it in another session. FD is the reading end of a
pipe whose writing end only the caller holds: it closes when the caller dies,
even by SIGKILL. Then the command gets SIGTERM and a moment; when the caller asks by
SIGTERM, it gets GRACE seconds. In the end everything below the guard is killed. Exits as
the command did.

A script of its own, stdlib only: it must start fast, in any Python.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# Seconds to end for a command whose caller is dead: nobody waits for its last words.
ORPHAN_GRACE = 1


def prctl(option, value):
    """Set one property of this process; Linux only, silent elsewhere."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        pass


def descendants():
    """Return the ids of all living processes below this one."""
    parents = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name) as stat:
                # The command name may hold spaces and brackets: skip behind it.
                state, parent = stat.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents[int(name)] = int(parent)
    found, level = [], {os.getpid()}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level}
        found.extend(level)
    return found


def reap():
    """Collect the children that ended, so that none stays as a zombie."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def sweep():
    """Kill all descendants, and those that they start meanwhile."""
    while True:
        alive = descendants()
        if not alive:
            return
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.01)
        reap()


def main(argv):
    """Run the command of ``argv`` to its end, or to the caller's."""
    pipe, grace, command = int(argv[1]), float(argv[2]), argv[3:]
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    asked = []
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_args: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_args: asked.append(True))

    guard = os.getpid()

    def tie():
        # Second line of defence, for a guard that is itself killed.
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != guard:
            os._exit(1)

    child = subprocess.Popen(command, preexec_fn=tie)
    watched = [pipe, wake_read]
    deadline = None
    while child.poll() is None:
        left = None if deadline is None else max(0, deadline - time.monotonic())
        ready = select.select(watched, [], [], left)[0]
        if wake_read in ready:
            os.read(wake_read, 4096)
        if pipe in ready:
            watched.remove(pipe)
            asked.append(True)
            grace, deadline = min(grace, ORPHAN_GRACE), None
        if asked and deadline is None:
            deadline = time.monotonic() + grace
            child.terminate()
        if deadline is not None and time.monotonic() >= deadline:
            break
    if child.poll() is None:
        child.kill()
    # Before the sweep, whose reap() would swallow the exit code.
    code = child.wait()
    sweep()
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
