# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A priority queue whose members can be taken out."""

import heapq

# Removed members stay in the heap until they surface; above this count, and
# when they outnumber the members, the heap is built anew.
MAX_REMOVED = 64


class PriorityQueue:
    """Keep members sorted, smallest first, each at most once.

    Removing is lazy: a removed member leaves the heap when it reaches the top.
    A member must not change its order while it is here.
    """

    def __init__(self):
        self._heap = []
        self._known = set()
        self._removed = set()

    def __len__(self):
        return len(self._known)

    def __contains__(self, member):
        return member in self._known

    def __iter__(self):
        """Iterate over the members in no order."""
        return iter(self._known)

    def __getitem__(self, index):
        """Return the smallest member; no other index than 0 exists."""
        if index != 0:
            raise IndexError("only the first item of a PriorityQueue can be read")
        self._prune()
        return self._heap[0]

    def add(self, member):
        """Add ``member`` unless it is present."""
        if member is None:
            raise ValueError("None cannot be queued")
        if member in self._known:
            return
        self._known.add(member)
        if member in self._removed:
            self._removed.discard(member)
        else:
            heapq.heappush(self._heap, member)

    def remove(self, member):
        """Take ``member`` out; nothing happens when it is absent."""
        if member is None:
            raise ValueError("None cannot be queued")
        if member not in self._known:
            return
        self._known.discard(member)
        self._removed.add(member)
        if len(self._removed) > max(MAX_REMOVED, len(self._known)):
            self._heap = list(self._known)
            heapq.heapify(self._heap)
            self._removed.clear()
        else:
            self._prune()

    def pop(self):
        """Return the smallest member and forget it; None when empty."""
        self._prune()
        if not self._heap:
            return None
        member = heapq.heappop(self._heap)
        self._known.discard(member)
        return member

    def _prune(self):
        while self._heap and self._heap[0] in self._removed:
            self._removed.discard(heapq.heappop(self._heap))
