# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The jobs of one database as the runner knows them.

* waiting jobs are in the window of pending jobs, kept up by notifications;
* jobs *in flight* are in an open request of this process. A notification of one only
  marks it dirty: its outcome is in the answer, and until then the slot is taken.
  Nothing else may call it dead (B29: long jobs were requeued while they ran);
* *detached* jobs are enqueued or started without an open request: the
  runner before left them, or their connection broke. They are read until
  they end, and the sweep finds the dead ones among them;
* *blocked* jobs are tried again shortly: their row or key was locked.

Every doubt is resolved in one way: read the row, and place the job where
its row says it is. The row is the truth, all else a hint.
"""

from ..states import ENQUEUED, FAILED, PENDING, STARTED
from .pending_window import WINDOW, PendingJobs
from .rows import RowGuard

# Uuids notified at once above which all that waits is read anew (B28: each was read alone).
MANY = 300
# Failed jobs kept of a sequential channel: one is enough to hold it up.
FAILED_KEPT = 50
# Seconds until a job whose row or key was locked is tried again, and at most
# when it is locked again and again.
RETRY_BLOCKED, RETRY_BLOCKED_LAST = 0.1, 1.0


class JobTracker:
    """Where each job of one database is: waiting, running, failed, or nowhere.

    :param db: the elected ``Database``
    :param tree: the ``DatabaseTree`` of its channels
    :param in_flight: ``{uuid: SentBundle}`` of requests that are open
    """

    def __init__(self, db, tree, in_flight):
        self.db = db
        self.tree = tree
        self.in_flight = in_flight
        self.detached = set()
        # Waiting jobs that are left out of the queues until they are tried again.
        self.suspended = set()
        self._guard = RowGuard(db.db_name, db.fail_unusable)
        self.pending = PendingJobs(db, tree, in_flight, self.suspended, self._guard)
        self._retry_at = {}
        self._blocked_times = {}
        self._adopt()

    def _adopt(self):
        """Let the bundles that are under way hold their slots in this tree."""
        for bundle in set(self.in_flight.values()):
            channel = self.tree._channel_for_job(bundle.channel.fullname)
            for job in bundle.jobs:
                self.tree.adopt(job, channel)
            channel.set_running(bundle.slot)

    # Reading everything -----------------------------------------------------

    def load(self):
        """Read everything anew: channels, running, failed and waiting jobs."""
        running = [row for row in self.db.running() if row.uuid not in self.in_flight]
        self._forget_running_except({row.uuid for row in running})
        for row in running:
            self._place(row)
        self.load_waiting()

    def load_waiting(self):
        """Read anew the jobs that may run and the failed ones that block them."""
        self.tree.apply(self.db.channel_records())
        self._load_failed()
        self.pending.load()

    def _forget_running_except(self, uuids):
        for channel in self.tree.channels():
            for job in list(channel._running):
                if (
                    job.channel is channel
                    and job.uuid not in uuids | self.in_flight.keys()
                ):
                    self._forget(job.uuid)
        self.detached &= uuids

    def _load_failed(self):
        """Keep failed jobs of sequential channels, and no others."""
        for channel in self.tree.channels():
            for job in list(channel._failed):
                channel.remove(job)
        names = [
            name
            for name in self.db.failed_channels()
            if self.tree._channel_for_job(name).sequential
        ]
        if names:
            for row in self.db.failed(names, FAILED_KEPT):
                self._place(row)

    # Reading some jobs ------------------------------------------------------

    def apply_changes(self, uuids):
        """Read jobs that may have moved; if they are many, all that wait."""
        if len(uuids) > MANY:
            self.load_waiting()
            uuids = uuids & (self.detached | self.in_flight.keys())
        self.refresh(uuids)

    def refresh(self, uuids):
        """Read the rows of jobs and place them; mark those in flight as dirty."""
        others = []
        for uuid in uuids:
            if uuid in self.in_flight:
                self.in_flight[uuid].dirty.add(uuid)
            else:
                others.append(uuid)
        if others:
            found = set()
            for row in self.db.read(others):
                found.add(row.uuid)
                self._place(row)
            for uuid in set(others) - found:
                self._forget(uuid)

    def _place(self, row):
        """Put a job that is not in flight where its row says it is."""
        if row.state in (ENQUEUED, STARTED):
            self.detached.add(row.uuid)
            self._guard.place(self._place_in_tree, row)
            return
        self.detached.discard(row.uuid)
        if row.state == PENDING:
            self.pending.add(row)
        elif row.state == FAILED and self.tree._channel_for_job(row.channel).sequential:
            self._guard.place(self._place_in_tree, row)
        else:
            self._forget(row.uuid)

    def _place_in_tree(self, row):
        return self.tree.place(self.db.db_name, *row[:7])

    def _forget(self, uuid):
        self.detached.discard(uuid)
        self.unblock(uuid)
        self.tree.remove_job(uuid, self.db.db_name)

    def rests_until(self, moment):
        """Return whether no job may start before ``moment``, as far as is known here."""
        return not (self.detached or self._retry_at) and all(
            channel.rests_until(moment) for channel in self.tree.channels()
        )

    # Blocked jobs -----------------------------------------------------------

    def defer(self, job, now):
        """Try a pending job again shortly; its row or key is locked."""
        times = self._blocked_times[job.uuid] = self._blocked_times.get(job.uuid, 0) + 1
        delay = min(RETRY_BLOCKED * 2 ** max(times - 3, 0), RETRY_BLOCKED_LAST)
        self._retry_at[job.uuid] = now + delay
        if job.channel.sequential:
            job.channel.hold(job)
        else:
            job.channel.remove(job)

    def skip_blocked(self, channel, now):
        """Defer the next jobs of a channel that are blocked too.

        As many are tried as are blocked already: however many there are, few
        statements find the first job that is free.
        """
        if channel.sequential:
            return
        jobs = channel._queue.best(min(len(self._retry_at), WINDOW))
        free = self.db.obtainable([job.seq for job in jobs], now) if jobs else ()
        for job in jobs:
            if job.seq not in free:
                self.defer(job, now)

    def suspend(self, uuid, until):
        """Leave a job out of the queues for a while, whatever notifications come."""
        self.suspended.add(uuid)
        self._retry_at[uuid] = until

    def unblock(self, uuid):
        """Forget that a job was blocked."""
        self._retry_at.pop(uuid, None)
        self.suspended.discard(uuid)
        self._blocked_times.pop(uuid, None)

    def retry_blocked(self, now):
        """Read the blocked jobs whose time has come."""
        uuids = {uuid for uuid, when in self._retry_at.items() if when <= now}
        for uuid in uuids:
            del self._retry_at[uuid]
        self.suspended -= uuids
        self.apply_changes(uuids)

    def next_retry(self):
        """Return when the next blocked job is due, None if there is none."""
        return min(self._retry_at.values(), default=None)
