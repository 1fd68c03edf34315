# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Runs, how long they get, and when to try again after one failed."""

from dataclasses import dataclass, field

from ..protocol import MAX_LENGTH, TIME_BUDGET

# Seconds. A function that takes longer on average gets runs of one job: the
# request is cheap against it, and nobody waits behind it. Not less: on a busy
# machine short jobs take long, and that is when requests should be few.
SHORT = 0.1
# Seconds that the jobs of a run are expected to take together: less than a worker
# may spend, for what it does not begin has to be taken back and sent again.
FILL = 0.6 * TIME_BUDGET
# Share of the newest duration in the average.
WEIGHT = 0.2
# Functions remembered; far more than any server has.
MAX_FUNCTIONS = 10_000


@dataclass(eq=False)
class Run:
    """Jobs of one channel that are sent to a worker in one request.

    ``slot`` is the job that holds the slot of the whole run; ``heard`` are the
    uuids of which something was told while the request was open.
    """

    db_name: str
    jobs: list
    slot: object
    sent_at: float
    heard: set = field(default_factory=set)

    @property
    def uuids(self):
        return [job.uuid for job in self.jobs]

    @property
    def channel(self):
        return self.jobs[0].channel


class Pace:
    """How long the jobs of each function took lately."""

    def __init__(self):
        self._seen = {}

    def saw(self, function, seconds):
        """Learn that a job of ``function`` took ``seconds``."""
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
        """Return how many jobs a run that begins with ``function`` may have.

        One until the function was seen, then more the more often it was.
        """
        if self.expected(function) is None:
            return 1
        return min(MAX_LENGTH, 1 + 4 * self._seen[function][1])

    def fill(self, head, limit, next_job):
        """Yield the jobs that follow ``head`` in a run of up to ``limit`` jobs.

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
    """Return what each job of a run took on average at least.

    A run that was not finished spent its time budget on the jobs it did, also
    on what a worker does not measure as theirs.
    """
    if not report.left or not report.outcomes:
        return 0.0
    return TIME_BUDGET / len(report.outcomes)


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
        """Count a try that began at ``began``; return whether it is news.

        Tries that were under way at the last failure tell nothing new.

        :param severe: nobody was there to answer: wait from the first time on
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
