"""Progress on stderr, so that stdout carries results only."""

import contextlib
import sys
import threading
import time

# Seconds between two signs of life of a long step.
HEARTBEAT = 15


def say(text):
    """Print one line of progress at once."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(title):
    """Announce a step, give signs of life while it lasts, and say how long it took."""
    started = time.monotonic()
    ended = threading.Event()

    def beat():
        while not ended.wait(HEARTBEAT):
            say("    ... %s, %d s" % (title, time.monotonic() - started))

    say("==> %s" % title)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    say("    done in %.1f s" % (time.monotonic() - started))
