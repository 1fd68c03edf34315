# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The runner's dealings with one database: what it chooses, sends and learns.

What it knows is in the ledger. Each method is one step of a round; what goes
wrong in one ends the session, and a new one begins with what the rows say.
"""

import logging
import time
from urllib.parse import quote

from .. import protocol
from ..states import ENQUEUED, STARTED
from .dispatch import BROKEN, UNREACHABLE, Request
from .ledger import Ledger
from .news import News
from .runs import Backoff, Pace, Run, least_seconds
from .schedule import Schedule

_logger = logging.getLogger(__package__ + ".runner")

# Seconds after which a run of several jobs should long have been answered.
SLOW_RUN = 2

# Seconds after the election within which every worker that has claimed a job has
# locked it as well.
CLAIM_DELAY = 2

# Seconds after which a job that runs in an open request may have lost its worker.
LONG_RUN = 30

# Seconds that a job waits whose request broke before a worker began it: doubled each
# time, and at most. It is tried after another job has been.
SUSPECT_WAIT, SUSPECT_WAIT_LAST = 1, 60
MAX_SUSPECTS = 10_000
# Bytes of a uuid in an address, above which it is the only one there.
LONG_UUID = 64

# Seconds between two looks at what nobody tells.
ORPHANS_EVERY = 1
MODULES_EVERY = 1
SWEEP_EVERY = 5
FORGOTTEN_EVERY = 1
VANISHED_EVERY = 20
RELOAD_EVERY, RELOAD_EVERY_DEAF = 60, 2
# Share of the time that may go into reading everything: what passed through the
# table makes that slow while a long job runs.
RELOAD_SHARE = 1 / 200
BEAT_EVERY = 10
# Jobs after which a statement that marks runs is sent.
MARKED_TOGETHER = 50


class Session:
    """One database that this process is elected to dispatch.

    :param db: the elected ``Database``
    :param tree: the ``DatabaseTree`` of its channels
    :param send: sends a ``Request``
    :param slots: slots of a channel without any limit
    :param carried: ``{uuid: Run}`` of requests that are open already: from a
        session whose connection was lost
    """

    def __init__(self, db, tree, send, slots, carried=None):
        self.db = db
        self.tree = tree
        self.pace = Pace()
        self.backoff = Backoff()
        self._failures, self._told_of_failure = News(), False
        self.carried = {} if carried is None else carried
        self._send = send
        self._slots = slots
        self.ledger = Ledger(db, tree, self.carried)
        self._to_read, self._to_put_back, self._to_recover = set(), set(), set()
        # Requests that broke: ``(answer, run, {uuid: job})``.
        self._broken = []
        # How often requests with these jobs broke; until one of them is answered.
        self._suspects = {}
        self._reporting, self._reported = set(), set()
        self._inherited, self._lifeless = set(), set()
        self._forgotten_after = 0
        self._schedule = Schedule()
        self._is_changing = False
        self._secret = None

    @property
    def name(self):
        return self.db.db_name

    # Learning ---------------------------------------------------------------

    def begin(self, now):
        """Read everything, and take back what the runner before had sent.

        It mostly is dead, and nobody waits for its answers. Jobs that no worker has
        begun are pending again at once; a worker that still gets to the old
        request finds them taken, or takes them in place of the one that is
        asked anew. Of the others, those that nobody runs are found shortly after.
        """
        self.load(now)
        inherited = set(self.ledger.orphans)
        if inherited:
            put_back = self.db.put_back(inherited)
            self.ledger.look_at(put_back)
            self._inherited = inherited - put_back
            self._schedule.set("inherited", now + CLAIM_DELAY)

    def load(self, now):
        """Read everything anew, and know when to do so again."""
        began = time.monotonic()
        self._secret = self.db.secret()
        self.ledger.load()
        delay = RELOAD_EVERY_DEAF if self.db.deaf else RELOAD_EVERY
        took = time.monotonic() - began
        self._schedule.set("reload", now + max(delay, took / RELOAD_SHARE))

    def hear(self):
        """Learn what notifications tell."""
        uuids, records_changed = self.db.hear()
        if records_changed:
            self.ledger.load_waiting()
        self.ledger.learn(uuids)

    # Choosing and sending ---------------------------------------------------

    def best(self, now):
        """Return the best job that may run now, None if none may."""
        if now < self.backoff.until:
            return None
        self.ledger.backlog.settle(now)
        job = self.tree.root.best(now)
        if job is not None and self._modules_are_changing(now):
            return None
        return job

    def compose(self, head, now):
        """Give ``head`` a slot and return the run that begins with it.

        While nobody answers it is alone: enough to find out whether somebody does.
        A job whose request broke is alone too: it may have been the reason.
        """
        channel = head.channel
        channel.start(head, now)
        jobs = [head]
        is_alone = channel.is_throttled or self._travels_alone(head)
        if not is_alone and not self.backoff.failures:
            waiting = self.ledger.backlog.waiting(channel) + 1
            share = -(-waiting // channel.slots(self._slots))
            for job in self.pace.fill(head, share, lambda: self._next(channel, now)):
                channel.board(job)
                jobs.append(job)
        return Run(self.name, jobs, head, now)

    def _next(self, channel, now):
        self.ledger.backlog.settle_channel(channel, now)
        job = channel._queue.peek(now)
        return None if job is None or self._travels_alone(job) else job

    def _travels_alone(self, job):
        """Return whether a job may break the request, or its uuid fill the address."""
        return job.uuid in self._suspects or len(quote(job.uuid)) > LONG_UUID

    def send(self, runs, now):
        """Mark the jobs of runs as enqueued and send what was obtained.

        Long runs one by one: a worker begins the first while the next is marked.
        Return whether a run got no job, so that its slot is free again.
        """
        together, freed = [], False
        for run in runs:
            together.append(run)
            if sum(len(run.jobs) for run in together) >= MARKED_TOGETHER:
                freed |= self._mark_and_send(together, now)
                together = []
        if together:
            freed |= self._mark_and_send(together, now)
        return freed

    def _mark_and_send(self, runs, now):
        ids = [job.seq for run in runs for job in run.jobs]
        obtained = self.db.mark_enqueued(ids, now)
        empty = set()
        for run in runs:
            channel = run.channel
            self._keep_obtained(run, channel, obtained, now)
            if run.jobs:
                self._send_run(run)
            else:
                empty.add(channel)
        for channel in empty:
            self.ledger.skip_held(channel, now)
        return bool(empty)

    def _keep_obtained(self, run, channel, obtained, now):
        """Leave in the run what was marked; the rest is looked at again."""
        sequential = channel.sequential
        kept, lost = [], []
        for job in run.jobs:
            if job.uuid not in obtained:
                lost.append(job)
            elif sequential and lost:
                # Not before the one that could not be had.
                self._to_put_back.add(job.uuid)
            else:
                kept.append(job)
        if not kept:
            channel.cancel_start(run.slot, now)
            run.slot = None
        elif run.slot not in kept:
            channel.set_running(kept[0])
            channel.remove(run.slot)
            run.slot = kept[0]
        for job in lost:
            self.ledger.hold_back(job, now)
        run.jobs = kept

    def _send_run(self, run):
        for job in run.jobs:
            self.carried[job.uuid] = run
            self.ledger.release(job.uuid)
            _logger.info("asking Odoo to run job %s on db %s", job.uuid, self.name)
        sequential = run.channel.sequential
        uuids = tuple(run.uuids)
        self._send(
            Request(self.name, uuids, self._secret, run=run, sequential=sequential)
        )

    def _modules_are_changing(self, now):
        """Return whether workers may not know all modules now (B33)."""
        if self._schedule.due("modules", now):
            self._schedule.set("modules", now + MODULES_EVERY)
            was_changing, self._is_changing = self._is_changing, self.db.is_changing()
            if self._is_changing and not was_changing:
                _logger.info(
                    "jobs of db %s wait: modules are being changed there", self.name
                )
        return self._is_changing

    # Answers ----------------------------------------------------------------

    def answered(self, answer, now):
        """Learn from the answer to a request; :meth:`settle` completes it."""
        run = answer.request.run
        if run is None:
            self._reporting.difference_update(answer.request.uuids)
            return
        jobs = self._unload(run)
        if answer.report is None:
            self._broken.append((answer, run, jobs))
            return
        if self.backoff.succeeded() and self._told_of_failure:
            self._told_of_failure = False
            _logger.info("Odoo answers again for db %s", self.name)
        least = least_seconds(answer.report)
        for uuid, outcome, seconds in answer.report.outcomes:
            job = jobs.pop(uuid, None)
            self._suspects.pop(uuid, None)
            if job is not None:
                self._job_answered(job, outcome, max(seconds, least), run, now)
        self._to_put_back.update(set(answer.report.left) & jobs.keys())
        self._to_read.update(jobs.keys() - set(answer.report.left))

    def _unload(self, run):
        """End the run: free its slot, return ``{uuid: job}`` of what it carried."""
        jobs = {job.uuid: job for job in run.jobs if self.carried.get(job.uuid) is run}
        for uuid in jobs:
            del self.carried[uuid]
        if run.slot is not None:
            run.channel.remove(run.slot)
        return jobs

    def _job_answered(self, job, outcome, seconds, run, now):
        if outcome in (protocol.DONE, protocol.FAILED):
            self.pace.saw(job.function, seconds)
            if job.uuid not in run.heard and not (
                outcome == protocol.FAILED and job.channel.sequential
            ):
                return
        if outcome == protocol.HELD:
            self.ledger.hold_back(job, now)
        else:
            self._to_read.add(job.uuid)

    def _request_failed(self, answer, run, jobs, put_back, now):
        """Find out whether the way to the workers failed, or a job is the reason.

        A job that was begun proves that a worker was reached. A server that answers, or a
        connection that breaks, may do so because of one job: that waits, the others
        are tried.

        :param put_back: uuids that no worker had begun
        """
        severe = answer.kind == UNREACHABLE
        reached = not severe and not put_back.issuperset(jobs)
        is_new = self.backoff.failed(run.sent_at, now, severe, reached)
        if not reached and answer.may_be_of_its_jobs:
            self._suspect(jobs)
            if len(jobs) == 1:
                (uuid,) = jobs
                delay = min(SUSPECT_WAIT * 2 ** self._suspects[uuid], SUSPECT_WAIT_LAST)
                self.ledger.suspend(uuid, max(now, self.backoff.until) + delay)
        if not is_new:
            return
        if answer.kind == BROKEN:
            _logger.warning("connection of GET %s broke: %s", answer.url, answer.error)
        elif self._failures.is_new(answer.kind, str(answer.status)):
            self._told_of_failure = True
            _logger.error(
                "exception in GET %s: %s; %s",
                *(answer.url, answer.error, answer.hint),
                exc_info=answer.error if answer.kind != UNREACHABLE else None,
            )

    def _suspect(self, uuids):
        """Let jobs travel alone from now on, because their requests broke."""
        if len(self._suspects) > MAX_SUSPECTS:
            self._suspects = {}
        for uuid in uuids:
            self._suspects[uuid] = self._suspects.get(uuid, -1) + 1

    def settle(self, now):
        """Complete what answers left open, in one statement of each kind."""
        if self._to_put_back:
            uuids, self._to_put_back = self._to_put_back, set()
            self.db.put_back(uuids)
            self._to_read |= uuids
        broken, self._broken = self._broken, []
        for _answer, _run, jobs in broken:
            self._to_recover.update(jobs)
        if self._to_recover or broken:
            uuids, self._to_recover = self._to_recover, set()
            # No worker has begun these: that is no death, and not told as one.
            put_back = self.db.put_back(uuids)
            for answer, run, jobs in broken:
                self._request_failed(answer, run, jobs, put_back, now)
            dead = self.db.recover(uuids)
            if dead:
                self._suspect(dead)
                self.report_dead(now)
            self.ledger.look_at(uuids)
            self._release_behind(uuids)
        if self._to_read:
            uuids, self._to_read = self._to_read, set()
            self.ledger.look_at(uuids)

    # What nobody tells ------------------------------------------------------

    def tick(self, now):
        """Do what is due by the clock."""
        due = self._schedule.due
        if due("reload", now):
            self.db.check_triggers()
            self.ledger.look_at(self.db.requeue_dead_jobs(self.carried.keys()))
            self.load(now)
            self.report_dead(now)
        if self._inherited and due("inherited", now):
            self._to_recover |= self._inherited & self.ledger.orphans
            self._inherited = set()
            self.settle(now)
        if self.ledger.orphans and due("sweep", now):
            self.sweep(now)
        if self.carried and due("vanished", now):
            self._schedule.set("vanished", now + VANISHED_EVERY)
            self._give_up_vanished(now)
        if self.ledger.orphans and due("orphans", now):
            self._schedule.set("orphans", now + ORPHANS_EVERY)
            orphans = set(self.ledger.orphans)
            self.ledger.look_at(orphans)
            self._release_behind(orphans - self.ledger.orphans)
        if due("forgotten", now):
            self._release_forgotten(now)
        self.ledger.look_again(now)
        if self.carried and due("slow", now):
            self._schedule.set("slow", now + SLOW_RUN / 2)
            self._split_slow_runs(now)
        if due("beat", now):
            self._schedule.set("beat", now + BEAT_EVERY)
            self.db.keep_alive()

    def sweep(self, now):
        """Requeue the dead among the orphans."""
        self._schedule.set("sweep", now + SWEEP_EVERY)
        dead = self.db.requeue_dead_among(self.ledger.orphans)
        if dead:
            self.ledger.look_at(dead)
            self.report_dead(now)

    def report_dead(self, now):
        """Have the jobs announced that the sweep failed, by a worker."""
        uuids = self.db.unreported(self._reported)
        # All were asked for once: begin with the first again.
        if self._reported.issuperset(uuids):
            self._reported.clear()
        for uuid in uuids:
            if uuid not in self._reporting and now >= self.backoff.until:
                self._reporting.add(uuid)
                self._reported.add(uuid)
                path = protocol.REPORT_DEAD_PATH
                self._send(Request(self.name, (uuid,), self._secret, path))

    def _release_behind(self, uuids):
        """Release what waits for jobs whose worker has not told how they ended.

        It may have died between the commit of a job and the release.
        """
        if uuids:
            self.ledger.look_at(self.db.release_behind(uuids))

    def _release_forgotten(self, now):
        """Do the same for all jobs, some at a time."""
        uuids, self._forgotten_after = self.db.release_forgotten(self._forgotten_after)
        delay = FORGOTTEN_EVERY if self._forgotten_after else RELOAD_EVERY
        self._schedule.set("forgotten", now + delay)
        self.ledger.look_at(uuids)

    def _give_up_vanished(self, now):
        """Take back the jobs of requests whose worker is gone and left them open.

        A proxy that asked a node which vanished without a word waits for its
        answer for as long as it is told to. A worker lets go of its lock for
        a moment when it begins anew after a conflict: so it is asked twice.
        """
        runs = {run for run in self.carried.values() if run.sent_at + LONG_RUN <= now}
        uuids = [uuid for run in runs for uuid in run.uuids]
        lifeless = self.db.lifeless(uuids) if uuids else set()
        vanished = {self.carried[uuid] for uuid in lifeless & self._lifeless}
        self._lifeless = lifeless
        for run in vanished:
            _logger.warning(
                "the worker of jobs %s is gone, their request is given up",
                ", ".join(run.uuids),
            )
            self._to_recover.update(self._unload(run))
            # Should the request be answered one day: the slot is another's then.
            run.slot = None
        self.settle(now)

    def _split_slow_runs(self, now):
        """Let nobody wait behind a job that turned out long.

        A run that is under way for seconds performs one job: those behind it go
        back, those before it are over, and who came to wait for them is released. A run
        that no worker has begun waits for a worker, and is left alone.
        """
        runs = {run for run in self.carried.values() if len(run.jobs) > 1}
        slow = [run for run in runs if run.sent_at + SLOW_RUN <= now]
        uuids = [uuid for run in slow for uuid in run.uuids]
        rows = {row.uuid: row for row in self.db.read(uuids)} if uuids else {}
        over = set()
        for run in slow:
            states = {uuid: rows[uuid].state for uuid in run.uuids if uuid in rows}
            started = [job for job in run.jobs if states.get(job.uuid) == STARTED]
            if not started or all(state == ENQUEUED for state in states.values()):
                continue
            if run.slot not in started:
                run.channel.set_running(started[0])
                run.channel.remove(run.slot)
                run.slot = started[0]
            for job in run.jobs:
                if job not in started:
                    self.carried.pop(job.uuid, None)
                    was_begun = states.get(job.uuid) != ENQUEUED
                    (over if was_begun else self._to_put_back).add(job.uuid)
            run.jobs = started
        self._to_read |= over
        self._release_behind(over)
        self.settle(now)

    def wakeup_time(self, now):
        """Return when the next round is due if nobody tells anything.

        :param now: the time for which the last jobs were chosen
        """
        times = [self._schedule.next("reload", "beat")]
        if self._forgotten_after:
            times.append(self._schedule.next("forgotten"))
        again = self.ledger.look_again_time()
        if again is not None:
            times.append(again)
        if self.ledger.orphans:
            times.append(self._schedule.next("orphans", "sweep"))
        if any(len(run.jobs) > 1 for run in self.carried.values()):
            times.append(self._schedule.next("slow"))
        # What was due then and let nothing start waits for something else.
        choices = [self.backoff.until, self.tree.get_wakeup_time()]
        if self._is_changing:
            choices.append(self._schedule.next("modules"))
        times.extend(when for when in choices if when > now)
        return min(times)

    # End --------------------------------------------------------------------

    def take_back(self):
        """Make pending what was sent and not begun; the rest ends by itself."""
        if self.carried:
            self.db.put_back(self.carried.keys())

    def forget_jobs(self):
        """Free all slots that jobs of this database hold."""
        self.tree.remove_db(self.name)
