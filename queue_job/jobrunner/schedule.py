# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""When the steps of a round are due, and whether the clock was set."""

import time

# Seconds by which a clock that jumps was set, and does not merely drift.
JUMP = 5


class Schedule:
    """Times by name, UNIX seconds; a name that was never set is due."""

    def __init__(self):
        self._times = {}

    def set(self, name, when):
        self._times[name] = when

    def due(self, name, now):
        return self._times.get(name, 0) <= now

    def next(self, *names):
        """Return the earliest of the times of ``names``."""
        return min(self._times.get(name, 0) for name in names)


class Clock:
    """Notices that the clock was set, by a clock that cannot be set."""

    def __init__(self):
        self._lead = time.time() - time.monotonic()

    def jump(self):
        """Return by how many seconds the clock was set since the last call, mostly 0."""
        before, self._lead = self._lead, time.time() - time.monotonic()
        jump = self._lead - before
        return jump if abs(jump) >= JUMP else 0
