# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Which channel below another one has the best job, without asking all of them."""

from heapq import heapify, heappop, heappush
from itertools import count

# Entries of a heap that are outdated, at least, before it is built anew.
MOST_OUTDATED = 64


class Heads:
    """The channels below one, in the order of the job that each would start.

    A channel is asked when something in it has changed, and when time alone may have
    changed its answer: there may be thousands that have nothing to start.
    """

    def __init__(self):
        self._changed = {}
        # ``{channel: (number of its newest answer, when to ask again or 0)}``
        self._answers = {}
        self._numbers = count()
        # ``(rank, number, channel)`` and ``(when, number, channel)``.
        self._by_rank, self._by_time = [], []

    def changed(self, channel):
        """Ask a channel again before the next choice."""
        self._changed[channel] = None
        self._answers.pop(channel, None)

    def forget(self, channel):
        self._changed.pop(channel, None)
        self._answers.pop(channel, None)

    def best(self, now):
        """Return the best job that may run at ``now``, None if there is none."""
        while self._by_time and self._by_time[0][0] <= now:
            entry = heappop(self._by_time)
            if self._is_newest(entry):
                self.changed(entry[2])
        while True:
            while self._changed:
                self._ask(self._changed.popitem()[0], now)
            first = self._first(self._by_rank)
            if first is None:
                return None
            job = first.best(now)
            if job is not None and job.rank == self._by_rank[0][0]:
                return job
            self.changed(first)

    def get_wakeup_time(self):
        """Return when time alone may let a job of these channels run; 0 is never."""
        times = [channel.get_wakeup_time() for channel in self._changed]
        first = self._first(self._by_time)
        if first is not None:
            times.append(self._answers[first][1])
        return min(filter(None, times), default=0)

    def _ask(self, channel, now):
        number, job = next(self._numbers), channel.best(now)
        when = channel.get_wakeup_time()
        self._answers[channel] = (number, when)
        if job is not None:
            heappush(self._by_rank, (job.rank, number, channel))
        if when:
            heappush(self._by_time, (when, number, channel))
        for heap in (self._by_rank, self._by_time):
            if len(heap) > 2 * len(self._answers) + MOST_OUTDATED:
                heap[:] = filter(self._is_newest, heap)
                heapify(heap)

    def _is_newest(self, entry):
        _key, number, channel = entry
        return self._answers.get(channel, (None,))[0] == number

    def _first(self, heap):
        while heap and not self._is_newest(heap[0]):
            heappop(heap)
        return heap[0][2] if heap else None
