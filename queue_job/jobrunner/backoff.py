# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""When to try again after tries that failed."""


class Backoff:
    """When to try again after tries that failed one after another.

    The first failure of something that worked costs no time: a worker that
    died is followed by another. Times are UNIX times, in seconds.
    """

    FIRST = 0.5
    LAST = 30

    def __init__(self):
        self.until = 0
        self.failures = 0
        self._failed_at = 0

    def failed(self, began, now, severe=False, reached=False):
        """Count a try that began at ``began``; return whether it is a new failure.

        Tries that were under way at the last failure are the same failure.

        :param severe: no server was reached: wait from the first time on
        :param reached: a worker began the job: no failure of the way to it
        """
        if reached:
            self.failures, self.until = 0, 0
        if began < self._failed_at:
            return False
        self._failed_at = now
        if reached:
            return True
        self.failures += 1
        exponent = self.failures if severe else self.failures - 1
        delay = min(self.FIRST * 2 ** min(exponent, 10), self.LAST) if exponent else 0
        self.until = now + delay
        return True

    def succeeded(self):
        """Return whether there had been failures."""
        had_failed, self.failures, self.until = bool(self.failures), 0, 0
        return had_failed
