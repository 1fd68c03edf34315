# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""When each name is due: a heap, so that a round costs by what is due, not by what sleeps."""

import heapq

NEVER = float("inf")


class Agenda:
    """One time for each name, UNIX seconds."""

    def __init__(self):
        self._times = {}
        # Entries of times that were changed since are skipped.
        self._heap = []

    def __contains__(self, name):
        return name in self._times

    @property
    def names(self):
        return self._times.keys()

    def __len__(self):
        return len(self._times)

    def set(self, name, when):
        """Make a name due at a time, in place of the one before."""
        if self._times.get(name) == when:
            return
        self._times[name] = when
        heapq.heappush(self._heap, (when, name))
        if len(self._heap) > 2 * len(self._times) + 100:
            self._heap = [(when, name) for name, when in self._times.items()]
            heapq.heapify(self._heap)

    def discard(self, name):
        self._times.pop(name, None)

    def next(self):
        """Return the earliest time, ``NEVER`` without one."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else NEVER

    def pop(self, now):
        """Return a name that is due, the earliest first, and forget it; None without one."""
        if self.next() > now or not self._heap:
            return None
        name = heapq.heappop(self._heap)[1]
        del self._times[name]
        return name
