"""Wait for what nobody tells: look again and again."""

import time


def wait_until(condition, timeout, failure, *, process=None, check=None, pause=0.05):
    """Return what ``condition`` returns, once it is true.

    :param timeout: seconds
    :param failure: makes the exception to raise then, or when ``process`` ends
    :param check: called at each look; raises when it can never become true
    :param pause: seconds between two looks
    """
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if check is not None:
            check()
        is_over = process is not None and process.poll() is not None
        if is_over or time.monotonic() > deadline:
            raise failure()
        time.sleep(pause)
    return result
