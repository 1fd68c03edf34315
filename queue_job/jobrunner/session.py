# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One database in the runner: choose its jobs, send them, apply the answers.

The tracker knows where each job is. Each method is one step of a round; an error
in one ends the session, and a new one begins with the rows.
"""

import logging
import time
from typing import NamedTuple
from urllib.parse import quote

from .. import protocol
from ..states import ENQUEUED, STARTED
from .backoff import Backoff
from .dispatch import BROKEN, UNREACHABLE, Request
from .durations import Durations, least_seconds
from .liveness import CHECK_INTERVAL, DeadJobs
from .log_throttle import LogThrottle
from .metrics import Metrics
from .schedule import Schedule
from .sent import SentBundle
from .tracker import JobTracker

_logger = logging.getLogger(__package__ + ".runner")

# Seconds after which a bundle of several jobs should long have been answered.
SLOW_BUNDLE = 2

# Seconds after the election within which every worker that has claimed a job has
# locked it as well.
CLAIM_DELAY = 2

# Seconds after which a job that runs in an open request may have lost its worker.
LONG_REQUEST = 30

# Seconds that a job waits whose request broke before a worker began it: doubled each
# time, and at most. It is tried after another job has been.
SUSPECT_WAIT, SUSPECT_WAIT_LAST = 1, 60
MAX_SUSPECTS = 10_000
# Bytes of a uuid in an address, above which it is the only one there.
LONG_UUID = 64

# Failures one after another that are recorded for the screens: of several nodes behind
# one address, one may be down.
TROUBLE_AFTER = 2

# Seconds between two rounds of the work for which no notification comes.
DETACHED_EVERY = 1
MODULES_EVERY = 1
SWEEP_EVERY = 5
FORGOTTEN_EVERY = 1
VANISHED_EVERY = 20
INTERRUPT_EVERY = 1
RELOAD_EVERY, RELOAD_EVERY_WITHOUT_TRIGGERS = 60, 2
# Share of the time that may go into reading everything: the rows of ended jobs
# make that slow while a long job runs.
RELOAD_SHARE = 1 / 200
BEAT_EVERY = 10
# Interval of reads for metrics, when they are served; and the most jobs counted in a channel.
FIGURES_EVERY = 15
MOST_COUNTED = 100_000
# Jobs after which a statement that marks bundles is sent.
MARKED_TOGETHER = 50


class OldestSnapshot(NamedTuple):
    """A session of PostgreSQL; ``since`` is a UNIX time, ``job`` a uuid or empty."""

    since: float
    pid: int
    program: str
    job: str


class Session:
    """One database that this process is elected to dispatch.

    :param db: the elected ``Database``
    :param tree: the ``DatabaseTree`` of its channels
    :param send: sends a ``Request``
    :param slots: slots of a channel without any limit
    :param in_flight: ``{uuid: SentBundle}`` of requests that are open already: from a
        session whose connection was lost
    :param metrics: the ``DatabaseMetrics`` to count in
    """

    def __init__(self, db, tree, send, slots, in_flight=None, metrics=None):
        self.db = db
        self.tree = tree
        self.durations = Durations()
        self.metrics = metrics or Metrics().of(db.db_name)
        # Read by the clock: ``{channel: (jobs that are ready, date of the oldest)}``.
        self._counted, self.snapshot = {}, None
        self.objectives = {}
        self.backoff = Backoff()
        self._throttle, self._has_logged_failure = LogThrottle(), False
        self.in_flight = {} if in_flight is None else in_flight
        self._send = send
        self._slots = slots
        self.tracker = JobTracker(db, tree, self.in_flight)
        self._to_read, self._to_put_back, self._to_recover = set(), set(), set()
        # Requests that broke: ``(answer, bundle, {uuid: job})``.
        self._broken = []
        # How often requests with these jobs broke; until one of them is answered.
        self._suspects = {}
        self._reporting, self._reported = set(), set()
        self._inherited = set()
        # Dead ones among detached jobs, jobs of broken requests and jobs of long requests.
        # Work of stopped jobs may be going on: once, because of the runner before.
        self._is_interrupting = True
        self._dead, self._dead_of_broken = DeadJobs(), DeadJobs()
        self._dead_in_flight = DeadJobs()
        self._forgotten_after = 0
        # How requests fail now, ``(kind, status, address)``, and what is recorded of it.
        self._trouble = self._recorded_trouble = None
        self._schedule = Schedule()
        self._is_changing = False
        # When a notification or an answer came last, or the session began.
        self.quiet_since = 0
        self._secret = None
        self._in_steps = frozenset()

    @property
    def name(self):
        return self.db.db_name

    # Reading ---------------------------------------------------------------

    def begin(self, now):
        """Read everything, and requeue the jobs that the runner before had sent.

        That runner mostly is dead, and no process waits for its answers. Jobs that no
        worker has begun are pending again at once; a worker that still gets to the old
        request finds them taken, or takes them in place of the one that is
        asked anew. Of the others, the dead ones are found shortly after.
        """
        self.quiet_since = now
        self.load(now)
        inherited = set(self.tracker.detached)
        if inherited:
            put_back = self.db.put_back(inherited)
            self.tracker.refresh(put_back)
            self._inherited = inherited - put_back
            self._schedule.set("inherited", now + CLAIM_DELAY)

    def load(self, now):
        """Read everything anew, and know when to do so again."""
        began = time.monotonic()
        self._secret = self.db.secret()
        self._in_steps = self.db.functions_in_steps()
        self.tracker.load()
        delay = (
            RELOAD_EVERY_WITHOUT_TRIGGERS if self.db.lacks_triggers else RELOAD_EVERY
        )
        took = time.monotonic() - began
        self._schedule.set("reload", now + max(delay, took / RELOAD_SHARE))

    def poll(self, now):
        """Read the rows that notifications name."""
        uuids, records_changed = self.db.poll()
        if uuids or records_changed:
            self.quiet_since = time.time()
        if records_changed:
            self.tracker.load_waiting()
        running = uuids & (self.in_flight.keys() | self.tracker.detached)
        self.tracker.apply_changes(uuids)
        self._stop_some(running, now)

    @property
    def is_unfinished(self):
        """Whether the next round has something to apply, whatever its reason."""
        return bool(
            self._to_put_back
            or self._to_recover
            or self._to_read
            or self._broken
            or self.db.has_notifications
        )

    @property
    def is_empty(self):
        """Whether no job of this database waits, runs or blocks others."""
        return not (self.tree.has_jobs or self.tracker.pending.is_partial)

    def may_go_dormant(self, now, after):
        """Return whether nothing happened for ``after`` seconds, and nothing will for as long.

        The rows are asked when the lock is let go.
        """
        return (
            self.quiet_since + after <= now
            and not (self.in_flight or self._reporting or self.is_unfinished)
            and not (self.db.lacks_triggers or self._inherited)
            and self.backoff.until <= now
            and self.tracker.rests_until(now + after)
        )

    # Choosing and sending ---------------------------------------------------

    def best(self, now):
        """Return the best job that may run now, None if none may."""
        if now < self.backoff.until:
            return None
        self.tracker.pending.refill(now)
        job = self.tree.root.best(now)
        if job is not None and self._modules_are_changing(now):
            return None
        return job

    def compose(self, head, now):
        """Give ``head`` a slot and return the bundle that begins with it.

        While no worker answers it is alone: enough to find out whether one does.
        A job whose request broke is alone too: it may have been the reason.
        """
        channel = head.channel
        channel.start(head, now)
        jobs = [head]
        is_alone = channel.is_throttled or self._travels_alone(head)
        if not is_alone and not self.backoff.failures:
            waiting = self.tracker.pending.waiting(channel) + 1
            share = -(-waiting // channel.slots(self._slots))
            for job in self.durations.fill(
                head, share, lambda: self._next(channel, now)
            ):
                channel.board(job)
                jobs.append(job)
        return SentBundle(self.name, jobs, head, now)

    def _next(self, channel, now):
        self.tracker.pending.refill_channel(channel, now)
        job = channel._queue.peek(now)
        return None if job is None or self._travels_alone(job) else job

    def _travels_alone(self, job):
        """Return whether a job must have a request for itself.

        It may break that, its uuid may fill the address, or it commits in steps: then it
        is as long as its steps, however short others of its function were.
        """
        return (
            job.uuid in self._suspects
            or job.function in self._in_steps
            or len(quote(job.uuid)) > LONG_UUID
        )

    def send(self, bundles, now):
        """Mark the jobs of bundles as enqueued and send what was obtained.

        Long bundles one by one: a worker begins the first while the next is marked.
        Return whether a bundle got no job, so that its slot is free again.
        """
        together, freed = [], False
        for bundle in bundles:
            together.append(bundle)
            if sum(len(bundle.jobs) for bundle in together) >= MARKED_TOGETHER:
                freed |= self._mark_and_send(together, now)
                together = []
        if together:
            freed |= self._mark_and_send(together, now)
        return freed

    def _mark_and_send(self, bundles, now):
        ids = [job.seq for bundle in bundles for job in bundle.jobs]
        obtained = self.db.mark_enqueued(ids, now)
        empty = set()
        for bundle in bundles:
            channel = bundle.channel
            self._keep_obtained(bundle, channel, obtained, now)
            if bundle.jobs:
                self._send_bundle(bundle, now)
            else:
                empty.add(channel)
        for channel in empty:
            self.tracker.skip_blocked(channel, now)
        return bool(empty)

    def _keep_obtained(self, bundle, channel, obtained, now):
        """Leave in the bundle the jobs that were marked; defer the rest."""
        sequential = channel.sequential
        kept, lost = [], []
        for job in bundle.jobs:
            if job.uuid not in obtained:
                lost.append(job)
            elif sequential and lost:
                # Not before the one that could not be had.
                self._to_put_back.add(job.uuid)
            else:
                kept.append(job)
        if not kept:
            channel.cancel_start(bundle.slot, now)
            bundle.slot = None
        elif bundle.slot not in kept:
            channel.set_running(kept[0])
            channel.remove(bundle.slot)
            bundle.slot = kept[0]
        for job in lost:
            self.tracker.defer(job, now)
        bundle.jobs = kept

    def _send_bundle(self, bundle, now):
        for job in bundle.jobs:
            self.in_flight[job.uuid] = bundle
            self.metrics.sent(job, now)
            self.tracker.unblock(job.uuid)
            _logger.info("asking Odoo to run job %s on db %s", job.uuid, self.name)
        sequential = bundle.channel.sequential
        uuids = tuple(bundle.uuids)
        self._send(
            Request(
                self.name, uuids, self._secret, bundle=bundle, sequential=sequential
            )
        )

    def _modules_are_changing(self, now):
        """Return whether workers may not know all modules now (B33)."""
        if self._schedule.due("modules", now):
            self._schedule.set("modules", now + MODULES_EVERY)
            was_changing, self._is_changing = self._is_changing, self.db.is_changing()
            if self._is_changing and not was_changing:
                _logger.info("db %s: module changes pending, holding jobs", self.name)
        return self._is_changing

    # Answers ----------------------------------------------------------------

    def answered(self, answer, now):
        """Record the answer to a request; :meth:`apply_answers` completes it."""
        self.quiet_since = now
        bundle = answer.request.bundle
        if bundle is None:
            self._reporting.difference_update(answer.request.uuids)
            return
        self.metrics.answered(answer.kind)
        jobs = self._close_bundle(bundle)
        if answer.report is None:
            self._broken.append((answer, bundle, jobs))
            return
        self._trouble = None
        if self.backoff.succeeded() and self._has_logged_failure:
            self._has_logged_failure = False
            _logger.info("Odoo answers again for db %s", self.name)
        least = least_seconds(answer.report)
        for uuid, outcome, seconds in answer.report.outcomes:
            job = jobs.pop(uuid, None)
            self._suspects.pop(uuid, None)
            if job is not None:
                self._job_answered(job, outcome, max(seconds, least), bundle, now)
        self._to_put_back.update(set(answer.report.left) & jobs.keys())
        self._to_read.update(jobs.keys() - set(answer.report.left))

    def _close_bundle(self, bundle):
        """Free the slot of a bundle, return ``{uuid: job}`` of its jobs in flight."""
        jobs = {
            job.uuid: job
            for job in bundle.jobs
            if self.in_flight.get(job.uuid) is bundle
        }
        for uuid in jobs:
            del self.in_flight[uuid]
        if bundle.slot is not None:
            bundle.channel.remove(bundle.slot)
        return jobs

    def _job_answered(self, job, outcome, seconds, bundle, now):
        self.metrics.ended(job, outcome, seconds)
        if outcome in (protocol.DONE, protocol.FAILED):
            self.durations.record(job.function, seconds)
            if job.uuid not in bundle.dirty and not (
                outcome == protocol.FAILED and job.channel.sequential
            ):
                return
        if outcome == protocol.HELD:
            self.tracker.defer(job, now)
        else:
            self._to_read.add(job.uuid)

    def _request_failed(self, answer, bundle, jobs, put_back, now):
        """Find out whether the way to the workers failed, or a job is the reason.

        A job that was begun proves that a worker was reached. A server that answers, or a
        connection that breaks, may do so because of one job: that waits, the others
        are tried.

        :param put_back: uuids that no worker had begun
        """
        severe = answer.kind == UNREACHABLE
        reached = not severe and not put_back.issuperset(jobs)
        is_new = self.backoff.failed(bundle.sent_at, now, severe, reached)
        if not reached and answer.may_be_of_its_jobs:
            self._suspect(jobs)
            if len(jobs) == 1:
                (uuid,) = jobs
                delay = min(SUSPECT_WAIT * 2 ** self._suspects[uuid], SUSPECT_WAIT_LAST)
                self.tracker.suspend(uuid, max(now, self.backoff.until) + delay)
        if not is_new:
            return
        if self.backoff.failures >= TROUBLE_AFTER and answer.kind != BROKEN:
            self._trouble = (answer.kind, answer.status, answer.base_url)
        if answer.kind == BROKEN:
            _logger.warning("connection of GET %s broke: %s", answer.url, answer.error)
        elif self._throttle.should_log(answer.kind, str(answer.status)):
            self._has_logged_failure = True
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

    def apply_answers(self, now):
        """Apply the recorded answers, in one statement of each kind."""
        if self._to_put_back:
            uuids, self._to_put_back = self._to_put_back, set()
            self.db.put_back(uuids)
            self._to_read |= uuids
        broken, self._broken = self._broken, []
        for _answer, _bundle, jobs in broken:
            self._to_recover.update(jobs)
        if self._to_recover or broken:
            uuids, self._to_recover = self._to_recover, set()
            # No worker has begun these: that is no death, and not logged as one.
            put_back = self.db.put_back(uuids)
            for answer, bundle, jobs in broken:
                self._request_failed(answer, bundle, jobs, put_back, now)
            self._find_dead_of_broken(uuids - put_back, now)
            self.tracker.refresh(uuids)
            self._release_behind(uuids)
        if self._trouble != self._recorded_trouble:
            self.db.record_condition(*(self._trouble or (None,)))
            self._recorded_trouble = self._trouble
        if self._to_read:
            uuids, self._to_read = self._to_read, set()
            self.tracker.refresh(uuids)

    # Stopped jobs -----------------------------------------------------------

    def _stop_some(self, uuids, now):
        """Free the slots of jobs that were stopped, whatever their workers do.

        The jobs behind a stopped one are put back, because its worker may be at it for long.
        """
        stopped = self.db.stopped_among(uuids) if uuids else set()
        if not stopped:
            return
        self._schedule.set("interrupt", now)
        self._is_interrupting = True
        for bundle in {
            self.in_flight[uuid] for uuid in stopped & self.in_flight.keys()
        }:
            self._to_recover.update(self._close_bundle(bundle))
            # A late answer to the request must not free the slot of another job.
            bundle.slot = None
        self.apply_answers(now)

    def _interrupt_stopped(self, now):
        """Interrupt the work of stopped jobs that goes on, until there is none."""
        self._is_interrupting = bool(self.db.interrupt_stopped())
        self._schedule.set("interrupt", now + INTERRUPT_EVERY)

    # Dead jobs --------------------------------------------------------------

    def _find_dead_of_broken(self, uuids, now):
        """Check jobs whose request broke, and those whose row was free before.

        A job whose row is locked runs, and is detached from now on.
        """
        uuids = (uuids | self._dead_of_broken.suspects) - self.in_flight.keys()
        free = self.db.free_locks(uuids, at_once=True)
        self._recover(self._dead_of_broken.confirm(free, now), now)
        self._schedule.set("broken", now + CHECK_INTERVAL)

    def _recover(self, uuids, now):
        """Requeue or fail jobs that are dead; return the uuids that were moved."""
        dead = self.db.recover(uuids) if uuids else []
        if dead:
            self.metrics.dead += len(dead)
            self._suspect(dead)
            self.report_dead(now)
            self.tracker.refresh(dead)
            self._release_behind(dead)
        return dead

    def sweep(self, now):
        """Requeue or fail the dead among the detached jobs."""
        dead = self._dead.confirm(self.db.free_locks(self.tracker.detached), now)
        if dead:
            moved = self.db.requeue_dead_among(dead)
            self.metrics.dead += len(moved)
            self.tracker.refresh(moved)
            self.report_dead(now)
        delay = CHECK_INTERVAL if self._dead.suspects else SWEEP_EVERY
        self._schedule.set("sweep", now + delay)

    # By the clock -----------------------------------------------------------

    def tick(self, now):
        """Do what is due by the clock."""
        due = self._schedule.due
        if due("reload", now):
            self.db.check_triggers()
            self.load(now)
            self.report_dead(now)
        if self._inherited and due("inherited", now):
            self._to_recover |= self._inherited & self.tracker.detached
            self._inherited = set()
            self.apply_answers(now)
        if self._is_interrupting and due("interrupt", now):
            self._interrupt_stopped(now)
        if self._dead_of_broken.suspects and due("broken", now):
            self._find_dead_of_broken(set(), now)
        if self.tracker.detached and due("sweep", now):
            self.sweep(now)
        if self.in_flight and due("vanished", now):
            self._schedule.set("vanished", now + VANISHED_EVERY)
            self._abandon_lost_requests(now)
        if self.tracker.detached and due("detached", now):
            self._schedule.set("detached", now + DETACHED_EVERY)
            detached = set(self.tracker.detached)
            self.tracker.refresh(detached)
            self._release_behind(detached - self.tracker.detached)
        if due("forgotten", now):
            self._release_forgotten(now)
        self.tracker.retry_blocked(now)
        if self.in_flight and due("slow", now):
            self._schedule.set("slow", now + SLOW_BUNDLE / 2)
            self._split_slow_bundles(now)
        if self.metrics.is_served and due("figures", now):
            self._read_figures(now)
        if due("beat", now):
            self._schedule.set("beat", now + BEAT_EVERY)
            self.db.keep_alive()

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
        """Release the dependents of jobs whose worker has not reported how they ended.

        It may have died between the commit of a job and the release.
        """
        if uuids:
            self.tracker.refresh(self.db.release_behind(uuids))

    def _release_forgotten(self, now):
        """Do the same for all jobs, some at a time."""
        uuids, self._forgotten_after = self.db.release_forgotten(self._forgotten_after)
        delay = FORGOTTEN_EVERY if self._forgotten_after else RELOAD_EVERY
        self._schedule.set("forgotten", now + delay)
        self.tracker.refresh(uuids)

    def _abandon_lost_requests(self, now):
        """Recover the jobs of open requests whose worker is gone.

        A proxy waits for the answer of a node that vanished for as long as it is
        configured to.
        """
        bundles = {
            bundle
            for bundle in self.in_flight.values()
            if bundle.sent_at + LONG_REQUEST <= now
        }
        uuids = [uuid for bundle in bundles for uuid in bundle.uuids]
        free = self.db.free_locks_of_begun(uuids)
        dead = self._recover(self._dead_in_flight.confirm(free, now), now)
        for bundle in {self.in_flight[uuid] for uuid in dead}:
            _logger.warning(
                "worker lost, abandoning its request; jobs: %s",
                ", ".join(bundle.uuids),
            )
            self._to_recover.update(self._close_bundle(bundle))
            # A late answer to the request must not free the slot of another job.
            bundle.slot = None
        self.apply_answers(now)

    def _split_slow_bundles(self, now):
        """Requeue the jobs behind one that turned out long.

        A bundle that is under way for seconds performs one job: the jobs behind it are
        put back, the jobs before it are over, and their dependents are released. A bundle
        that no worker has begun waits for a worker, and is left alone.
        """
        bundles = {bundle for bundle in self.in_flight.values() if len(bundle.jobs) > 1}
        slow = [bundle for bundle in bundles if bundle.sent_at + SLOW_BUNDLE <= now]
        uuids = [uuid for bundle in slow for uuid in bundle.uuids]
        rows = {row.uuid: row for row in self.db.read(uuids)} if uuids else {}
        over = set()
        for bundle in slow:
            states = {uuid: rows[uuid].state for uuid in bundle.uuids if uuid in rows}
            started = [job for job in bundle.jobs if states.get(job.uuid) == STARTED]
            if not started or all(state == ENQUEUED for state in states.values()):
                continue
            if bundle.slot not in started:
                bundle.channel.set_running(started[0])
                bundle.channel.remove(bundle.slot)
                bundle.slot = started[0]
            for job in bundle.jobs:
                if job not in started:
                    self.in_flight.pop(job.uuid, None)
                    was_begun = states.get(job.uuid) != ENQUEUED
                    (over if was_begun else self._to_put_back).add(job.uuid)
            bundle.jobs = started
        self._to_read |= over
        self._release_behind(over)
        self.apply_answers(now)

    def wakeup_time(self, now):
        """Return when the next round is due without a notification.

        :param now: the time for which the last jobs were chosen
        """
        times = [self._schedule.next("reload", "beat")]
        if self._forgotten_after:
            times.append(self._schedule.next("forgotten"))
        again = self.tracker.next_retry()
        if again is not None:
            times.append(again)
        if self.tracker.detached:
            times.append(self._schedule.next("detached", "sweep"))
        if self._is_interrupting:
            times.append(self._schedule.next("interrupt"))
        if self._dead_of_broken.suspects:
            times.append(self._schedule.next("broken"))
        if any(len(bundle.jobs) > 1 for bundle in self.in_flight.values()):
            times.append(self._schedule.next("slow"))
        # A time that was due then and let no job start waits for another event.
        choices = [self.backoff.until, self.tree.get_wakeup_time()]
        if self._is_changing:
            choices.append(self._schedule.next("modules"))
        times.extend(when for when in choices if when > now)
        return min(times)

    # Metrics ----------------------------------------------------------------

    def _read_figures(self, now):
        """Read what metrics show and memory does not have."""
        self._schedule.set("figures", now + FIGURES_EVERY)
        partial = self.tracker.pending.partial()
        names = [name for names in partial.values() for name in names]
        counted = self.db.waiting_of_channels(names, MOST_COUNTED) if names else {}
        self._counted = {}
        for channel, its_names in partial.items():
            rows = [counted[name] for name in its_names if name in counted]
            self._counted[channel] = (
                sum(count for count, _oldest in rows),
                min((oldest for _count, oldest in rows if oldest), default=now),
            )
        self.objectives = self.db.objectives()
        found = self.db.oldest_snapshot()
        self.snapshot = OldestSnapshot(*found) if found else None

    def channel_figures(self, now):
        """Yield ``(channel, its ChannelFigures)``, from memory.

        Where more jobs wait than are kept, their number is at most some seconds old.
        """
        for channel in self.tree.channels():
            figures = channel.figures(now)
            count, oldest = self._counted.get(channel, (0, now))
            yield (
                channel,
                figures._replace(
                    waiting=max(figures.waiting, count),
                    oldest_ready_seconds=max(
                        figures.oldest_ready_seconds, now - oldest
                    ),
                ),
            )

    # End --------------------------------------------------------------------

    def requeue_unstarted(self):
        """Requeue jobs that were sent and not begun; the rest ends by itself."""
        if self.in_flight:
            self.db.put_back(self.in_flight.keys())

    def forget_jobs(self):
        """Free all slots that jobs of this database hold."""
        self.tree.remove_db(self.name)
