# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""When things are due again."""


class Schedule:
    """Times by name, UNIX seconds; what was never set is due."""

    def __init__(self):
        self._times = {}

    def set(self, name, when):
        self._times[name] = when

    def due(self, name, now):
        return self._times.get(name, 0) <= now

    def next(self, *names):
        """Return the earliest of the times of ``names``."""
        return min(self._times.get(name, 0) for name in names)
