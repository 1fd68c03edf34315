"""Progress on stderr, so that stdout carries results only.

One thread watches the silence of the whole process: whichever step is at work, it never
lasts longer than 15 seconds. A long wait therefore needs no beat of its own, only a step.
"""

import contextlib
import sys
import threading
import time

# Seconds of silence after which a sign of life is printed. The promise is 15.
SILENCE = 10
# Characters of the detail of a sign of life.
DETAIL = 100

_last = time.monotonic()
# The steps at work, outermost first: (title, time of start, function that returns a detail).
_steps = []


def say(text):
    """Print one line of progress at once."""
    global _last  # noqa: PLW0603 there is one stderr
    _last = time.monotonic()
    # The reader may have gone away (a closed terminal or pipe): the work goes on.
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)


def watch():
    """Print a sign of life whenever a step has been silent for SILENCE seconds, for ever."""

    def beat():
        while True:
            time.sleep(max(0.1, _last + SILENCE - time.monotonic()))
            if _steps and time.monotonic() - _last >= SILENCE:
                say(_sign_of_life(*_steps[-1]))

    threading.Thread(target=beat, name="progress", daemon=True).start()


def _sign_of_life(title, started, detail):
    more = ""
    # A detail may read a file that is being replaced.
    with contextlib.suppress(OSError):
        more = detail and detail().strip()[:DETAIL]
    text = "    ... %s, %d s" % (title, time.monotonic() - started)
    return "%s: %s" % (text, more) if more else text


@contextlib.contextmanager
def during(title, detail=None):
    """Name the step at work, for the signs of life.

    :param detail: returns a text that each sign of life ends with
    """
    entry = (title, time.monotonic(), detail)
    _steps.append(entry)
    try:
        yield
    finally:
        _steps.remove(entry)


@contextlib.contextmanager
def step(title, detail=None):
    """Announce a step, and say how long it took; as ``during`` else."""
    started = time.monotonic()
    say("==> %s" % title)
    with during(title, detail):
        yield
    say("    done in %.1f s" % (time.monotonic() - started))


@contextlib.contextmanager
def rest():
    """Print no sign of life, because the command only waits for its user."""
    steps, _steps[:] = _steps[:], []
    try:
        yield
    finally:
        _steps[:] = steps
