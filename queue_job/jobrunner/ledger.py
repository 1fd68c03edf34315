# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the runner knows of the jobs of one database.

* waiting jobs are in the backlog, told of by notifications;
* *carried* jobs are in an open request of this process. What is told of them
  meanwhile is only noted: the answer says what became of them, and until then
  the slot is taken. Nothing else may call them dead (B29);
* *orphans* are enqueued or started, and no open request carries them: the
  runner before left them, or their connection broke. They are looked up until
  they end, and the sweep finds the dead ones among them;
* some jobs are looked at *again* shortly: their row or key was held.

Whatever is unclear is settled in one way: read the row, and place the job where
its row says it is. The row is the truth, all else a hint.
"""

from ..states import ENQUEUED, FAILED, PENDING, STARTED
from .backlog import WINDOW, Backlog
from .rows import RowGuard

# Uuids told at once above which all that waits is read anew (B28).
MANY = 300
# Failed jobs held of a sequential channel: one is enough to hold it up.
FAILED_HELD = 50
# Seconds until a job whose row or key was held is looked at again, and at most
# when it is held again and again.
LOOK_AGAIN, LOOK_AGAIN_LAST = 0.1, 1.0


class Ledger:
    """Where each job of one database is: waiting, running, failed, or nowhere.

    :param db: the elected ``Database``
    :param tree: the ``DatabaseTree`` of its channels
    :param carried: ``{uuid: Run}`` of requests that are open
    """

    def __init__(self, db, tree, carried):
        self.db = db
        self.tree = tree
        self.carried = carried
        self.orphans = set()
        # Waiting jobs that are left out of the queues until they are looked at again.
        self.suspended = set()
        self._guard = RowGuard(db.db_name, db.fail_unusable)
        self.backlog = Backlog(db, tree, carried, self.suspended, self._guard)
        self._again = {}
        self._held_times = {}
        self._adopt()

    def _adopt(self):
        """Let the runs that are under way hold their slots in this tree."""
        for run in set(self.carried.values()):
            channel = self.tree._channel_for_job(run.channel.fullname)
            for job in run.jobs:
                self.tree.adopt(job, channel)
            channel.set_running(run.slot)

    # Reading everything -----------------------------------------------------

    def load(self):
        """Read everything anew: channels, running, failed and waiting jobs."""
        running = [row for row in self.db.running() if row.uuid not in self.carried]
        self._forget_running_except({row.uuid for row in running})
        for row in running:
            self._place(row)
        self.load_waiting()

    def load_waiting(self):
        """Read anew what may run and what holds it up."""
        self.tree.apply(self.db.channel_records())
        self._load_failed()
        self.backlog.load()

    def _forget_running_except(self, uuids):
        for channel in self.tree.channels():
            for job in list(channel._running):
                if (
                    job.channel is channel
                    and job.uuid not in uuids | self.carried.keys()
                ):
                    self._forget(job.uuid)
        self.orphans &= uuids

    def _load_failed(self):
        """Hold failed jobs of sequential channels, and no others."""
        for channel in self.tree.channels():
            for job in list(channel._failed):
                channel.remove(job)
        names = [
            name
            for name in self.db.failed_channels()
            if self.tree._channel_for_job(name).sequential
        ]
        if names:
            for row in self.db.failed(names, FAILED_HELD):
                self._place(row)

    # Reading some jobs ------------------------------------------------------

    def learn(self, uuids):
        """Look at jobs that somebody may have moved; if they are many, at what waits."""
        if len(uuids) > MANY:
            self.load_waiting()
            uuids = uuids & (self.orphans | self.carried.keys())
        self.look_at(uuids)

    def look_at(self, uuids):
        """Read the rows of jobs and place them; of carried ones, remember that."""
        uncarried = []
        for uuid in uuids:
            if uuid in self.carried:
                self.carried[uuid].heard.add(uuid)
            else:
                uncarried.append(uuid)
        if uncarried:
            found = set()
            for row in self.db.read(uncarried):
                found.add(row.uuid)
                self._place(row)
            for uuid in set(uncarried) - found:
                self._forget(uuid)

    def _place(self, row):
        """Put a job that is not carried where its row says it is."""
        if row.state in (ENQUEUED, STARTED):
            self.orphans.add(row.uuid)
            self._guard.place(self._place_in_tree, row)
            return
        self.orphans.discard(row.uuid)
        if row.state == PENDING:
            self.backlog.learn(row)
        elif row.state == FAILED and self.tree._channel_for_job(row.channel).sequential:
            self._guard.place(self._place_in_tree, row)
        else:
            self._forget(row.uuid)

    def _place_in_tree(self, row):
        return self.tree.place(self.db.db_name, *row[:7])

    def _forget(self, uuid):
        self.orphans.discard(uuid)
        self.release(uuid)
        self.tree.remove_job(uuid, self.db.db_name)

    # Jobs that are held -----------------------------------------------------

    def hold_back(self, job, now):
        """Look at a pending job again shortly; its row or key is held."""
        times = self._held_times[job.uuid] = self._held_times.get(job.uuid, 0) + 1
        delay = min(LOOK_AGAIN * 2 ** max(times - 3, 0), LOOK_AGAIN_LAST)
        self._again[job.uuid] = now + delay
        if job.channel.sequential:
            job.channel.hold(job)
        else:
            job.channel.remove(job)

    def skip_held(self, channel, now):
        """Hold back the next jobs of a channel that are held too.

        As many are asked about as are held already: however many there are, few
        statements find the first job that is free.
        """
        if channel.sequential:
            return
        jobs = channel._queue.best(min(len(self._again), WINDOW))
        free = self.db.obtainable([job.seq for job in jobs], now) if jobs else ()
        for job in jobs:
            if job.seq not in free:
                self.hold_back(job, now)

    def suspend(self, uuid, until):
        """Leave a job out of the queues for a while, whatever is told of it."""
        self.suspended.add(uuid)
        self._again[uuid] = until

    def release(self, uuid):
        """Forget that a job was held."""
        self._again.pop(uuid, None)
        self.suspended.discard(uuid)
        self._held_times.pop(uuid, None)

    def look_again(self, now):
        """Look at the held jobs whose time has come."""
        uuids = {uuid for uuid, when in self._again.items() if when <= now}
        for uuid in uuids:
            del self._again[uuid]
        self.suspended -= uuids
        self.learn(uuids)

    def look_again_time(self):
        """Return when the next held job is to be looked at, None if there is none."""
        return min(self._again.values(), default=None)
