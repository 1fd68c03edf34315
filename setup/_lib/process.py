"""Start commands that cannot outlive us, through ``guard.py``."""

import os
import re
import subprocess
import sys
from pathlib import Path

from .errors import SetupError

GUARD = Path(__file__).with_name("guard.py")
# Lines of a failed command's log shown to the reader.
TAIL = 25


class Guarded:
    """A running command; it and all its descendants end with this process.

    :param grace: seconds between SIGTERM and SIGKILL when it is asked to end.
    """

    def __init__(self, argv, *, grace=5, **popen):
        read, self._life = os.pipe()
        command = [sys.executable, "-I", "-S", str(GUARD), str(read), str(grace)]
        try:
            # A session of its own: Ctrl-C reaches this process only, which then
            # ends its commands in the right order.
            self.popen = subprocess.Popen(
                [*command, *map(str, argv)],
                pass_fds=(read,),
                start_new_session=True,
                **popen,
            )
        except BaseException:
            os.close(self._life)
            raise
        finally:
            os.close(read)

    @property
    def pid(self):
        return self.popen.pid

    def poll(self):
        """Return the exit code, or None while the command runs."""
        return self.popen.poll()

    def wait(self, timeout=None):
        """Wait for the end and return the exit code."""
        return self.popen.wait(timeout)

    def stop(self):
        """End the command and everything it started; return when nothing is left."""
        self.popen.terminate()
        code = self.popen.wait()
        if self._life is not None:
            os.close(self._life)
            self._life = None
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.stop()


def tail(path, lines=TAIL):
    """Return the last lines of a text file, or an empty text when there is none."""
    try:
        return "\n".join(Path(path).read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def last_words(path):
    """Return the last line of a log, without the time, process and database of Odoo's."""
    return re.sub(r"^[\d-]+ [\d:,]+ \d+ [A-Z]+ \S+ ", "", tail(path, 1))


def run_logged(argv, log, what, hint="", **popen):
    """Run a command to its end with its output in ``log``; raise SetupError on failure."""
    with open(log, "a") as output:
        output.write("$ %s\n" % " ".join(map(str, argv)))
        output.flush()
        try:
            with Guarded(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **popen,
            ) as guarded:
                code = guarded.wait()
        except OSError as error:
            raise SetupError("%s: %s" % (what, error), hint) from error
    if code:
        raise SetupError(
            "%s failed (exit code %s).\n%s" % (what, code, tail(log)),
            hint or "The whole output is in %s." % log,
        )
