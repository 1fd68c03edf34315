# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What was told already: a fault that comes again every few seconds is told once."""

import time

# Seconds after which a fault that did not come again is a new one, and after which one
# that keeps coming is told again.
QUIET, REMIND = 60, 3600


class News:
    """Faults by what they are about: when they were told, and when they came last."""

    def __init__(self):
        self._known = {}

    def is_new(self, about, text):
        """Return whether to tell of a fault that has just come."""
        now = time.monotonic()
        known = {
            other: (told, came)
            for other, (told, came) in self._known.get(about, {}).items()
            if now < came + QUIET
        }
        told, _came = known.get(text, (None, None))
        is_new = told is None or now >= told + REMIND
        known[text] = (now if is_new else told, now)
        self._known[about] = known
        return is_new

    def forget(self, about):
        self._known.pop(about, None)
