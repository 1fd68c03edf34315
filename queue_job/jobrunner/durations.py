# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How long jobs take, and how many of them a bundle may have."""

from ..protocol import MAX_LENGTH, TIME_BUDGET

# Seconds. A function that takes longer on average gets bundles of one job: the
# request is cheap against it, and no job waits behind it. Not less: on a busy
# machine short jobs take long, and that is when requests should be few.
SHORT = 0.1
# Seconds that the jobs of a bundle are expected to take together: less than a worker
# may spend, because the jobs that it does not begin have to be put back and sent again.
FILL = 0.6 * TIME_BUDGET
# Share of the newest duration in the average.
WEIGHT = 0.2
# Functions remembered; far more than any server has.
MAX_FUNCTIONS = 10_000


class Durations:
    """How long the jobs of each function took lately."""

    def __init__(self):
        self._seen = {}

    def record(self, function, seconds):
        """Record that a job of ``function`` took ``seconds``."""
        if function is None:
            return
        average, count = self._seen.get(function, (seconds, 0))
        average += WEIGHT * (seconds - average)
        if len(self._seen) >= MAX_FUNCTIONS:
            self._seen.clear()
        self._seen[function] = (average, count + 1)

    def expected(self, function):
        """Return the seconds a job takes if it is known to be short, else None."""
        average, _count = self._seen.get(function, (SHORT, 0))
        return average if average < SHORT else None

    def length(self, function):
        """Return how many jobs a bundle that begins with ``function`` may have.

        One until the function was seen, then more the more often it was.
        """
        if self.expected(function) is None:
            return 1
        return min(MAX_LENGTH, 1 + 4 * self._seen[function][1])

    def fill(self, head, limit, next_job):
        """Yield the jobs that follow ``head`` in a bundle of up to ``limit`` jobs.

        :param next_job: returns the next job of the channel, or None
        """
        spent = self.expected(head.function)
        if spent is None:
            return
        for _number in range(min(limit, self.length(head.function)) - 1):
            job = next_job()
            cost = job and self.expected(job.function)
            if cost is None or spent + cost > FILL:
                return
            spent += cost
            yield job


def least_seconds(report):
    """Return what each job of a bundle took on average at least.

    A bundle that was not finished spent its time budget on the jobs it did, also
    on work that a worker does not measure as theirs.
    """
    if not report.left or not report.outcomes:
        return 0.0
    return TIME_BUDGET / len(report.outcomes)
