# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How a dead job is recognised: its liveness row was free twice, and not locked in between.

A worker releases its lock for a moment at each step of a job, and when it begins again
after a conflict. The ``xmax`` of the row, the transaction that locked it last, changes
then. So a job is dead when its row is free at two checks with the same ``xmax``.
"""

# Seconds between the two checks, longer than any pause of a worker between two locks.
CHECK_INTERVAL = 1


class DeadJobs:
    """Remembers which liveness rows were free at the last check."""

    def __init__(self):
        self._free = {}
        # The jobs that another check is to confirm.
        self.suspects = set()

    def confirm(self, free, now):
        """Return the uuids of jobs that are dead; those that are not named are not.

        :param free: ``{uuid: last lock}`` of the jobs whose row is free now; the last lock
            is any text that differs after another lock or another claim
        :param now: UNIX time
        """
        before, self._free = self._free, {}
        for uuid, last_lock in free.items():
            known, since = before.get(uuid, (None, now))
            self._free[uuid] = (last_lock, since if known == last_lock else now)
        dead = {
            uuid
            for uuid, (_last_lock, since) in self._free.items()
            if since + CHECK_INTERVAL <= now
        }
        self.suspects = self._free.keys() - dead
        return dead
