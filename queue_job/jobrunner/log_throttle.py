# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Rate-limit repeated error messages."""

import time

# Seconds after which a fault that did not come again is a new one, and after which one
# that keeps coming is logged again.
QUIET, REMIND = 60, 3600


class LogThrottle:
    """Faults by their subject: when they were logged, and when they came last."""

    def __init__(self):
        self._known = {}

    def should_log(self, about, text):
        """Return whether to log a fault that has just come."""
        now = time.monotonic()
        known = {
            other: (logged, came)
            for other, (logged, came) in self._known.get(about, {}).items()
            if now < came + QUIET
        }
        logged, _came = known.get(text, (None, None))
        is_due = logged is None or now >= logged + REMIND
        known[text] = (now if is_due else logged, now)
        self._known[about] = known
        return is_due

    def forget(self, about):
        self._known.pop(about, None)
