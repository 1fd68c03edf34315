# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Wake the cron workers when an eta comes.

A cron trigger makes a cron ready at its time, but wakes no worker
then: they look about once a minute. So code that leaves a trigger for later also
sets the alarm clock of its own process, which notifies them at that time. When the
process ends before, the look once a minute is what is left.
"""

import heapq
import logging
import os
import threading
import time

from odoo import SUPERUSER_ID, api
from odoo.modules.registry import Registry

_logger = logging.getLogger(__name__)

# Seconds. Later times are not kept: the workers that pass until then set them again.
HORIZON = 24 * 3600
# Seconds after the time, so that the trigger is due by the clock of the database.
LATE = 0.02
MOST_ALARMS = 10_000


class AlarmClock:
    """One daemon thread for each process that has set an alarm."""

    def __init__(self, ring=None):
        self._ring = ring or notify_cron_workers
        self._forget()

    def _forget(self):
        self._pid = os.getpid()
        self._condition = threading.Condition()
        self._alarms = []
        self._thread = None

    def set(self, db_name, moments):
        """Notify the cron workers of a database at each of ``moments``, UNIX times."""
        if self._pid != os.getpid():
            # Threads do not survive a fork.
            self._forget()
        now = time.time()
        with self._condition:
            known = set(self._alarms)
            for moment in sorted(moments):
                alarm = (moment + LATE, db_name)
                if moment - now <= HORIZON and alarm not in known:
                    heapq.heappush(self._alarms, alarm)
            if len(self._alarms) > MOST_ALARMS:
                self._alarms = heapq.nsmallest(MOST_ALARMS, self._alarms)
            if self._alarms and self._thread is None:
                self._thread = threading.Thread(
                    target=self._loop, name="queue_job alarm", daemon=True
                )
                self._thread.start()
            self._condition.notify()

    def _loop(self):
        while True:
            with self._condition:
                while not self._alarms or self._alarms[0][0] > time.time():
                    pause = self._alarms[0][0] - time.time() if self._alarms else None
                    self._condition.wait(pause)
                due = set()
                while self._alarms and self._alarms[0][0] <= time.time():
                    due.add(heapq.heappop(self._alarms)[1])
            for db_name in due:
                try:
                    self._ring(db_name)
                except Exception:
                    _logger.warning(
                        "cron workers of %s were not woken", db_name, exc_info=True
                    )


def notify_cron_workers(db_name):
    """Wake all cron workers; they look first at this database."""
    with Registry(db_name).cursor() as cr:
        api.Environment(cr, SUPERUSER_ID, {})["ir.cron"]._notifydb()


alarm_clock = AlarmClock()
