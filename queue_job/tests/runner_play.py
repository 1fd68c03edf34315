# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A session of the runner in a world that is played: database, workers, people, accidents."""

import random

from .. import protocol
from ..channels import ChannelRecord, DatabaseTree
from ..channels.settings import stated_by
from ..jobrunner.channels import ChannelManager
from ..jobrunner.dispatch import ANSWERED, BROKEN, GATEWAY, UNREACHABLE, Answer
from ..jobrunner.rows import Row
from ..jobrunner.session import Session
from ..states import (
    CANCELLED,
    DONE,
    ENQUEUED,
    FAILED,
    PENDING,
    STARTED,
    WAIT_DEPENDENCIES,
)

CONFIG = "root:3,narrow:1,row:1:sequential,slow:2:throttle=0.5"
CHANNELS = ("root", "root.narrow", "row", "root.row", "root.slow", "root.new")


class Played:
    """A row of a job and who holds it."""

    def __init__(self, number, channel, priority, eta):
        self.uuid, self.id = f"job{number}", number
        self.channel, self.priority, self.eta = channel, priority, eta
        self.state = PENDING
        # The worker that has its liveness lock; whether somebody holds the row.
        self.worker, self.locks = None, 0
        self.is_held = False
        self.enqueued_at = self.started_at = 0
        self.times_done = 0

    @property
    def row(self):
        return Row(
            *(self.channel, self.uuid, self.id, self.id, self.priority, self.eta),
            *(self.state, "<played>.job"),
        )

    @property
    def last_lock(self):
        return f"{self.locks} {self.state}"


class PlayedDatabase:
    """What ``Database`` is for a session, over played rows."""

    db_name = "played"
    lacks_triggers = False

    def __init__(self, play):
        self.play = play
        self.notes = set()

    def _rows(self, *states):
        return [job for job in self.play.jobs.values() if job.state in states]

    def poll(self):
        notes, self.notes = self.notes, set()
        return notes, False

    def read(self, uuids):  # pylint: disable=method-required-super # of no model
        return [self.play.jobs[uuid].row for uuid in uuids if uuid in self.play.jobs]

    def running(self):
        return [job.row for job in self._rows(ENQUEUED, STARTED)]

    def waiting_channels(self):
        return list({job.channel for job in self._rows(PENDING)})

    def failed_channels(self):
        return list({job.channel for job in self._rows(FAILED)})

    def failed(self, names, limit):
        found = [job.row for job in self._rows(FAILED) if job.channel in names]
        return found[:limit]

    def candidates(self, names, limit, after=None):
        return self._window(names, limit, False, lambda row: row.rank, after)

    def timed_candidates(self, names, limit, after=None):
        return self._window(names, limit, True, lambda row: (row.eta, row.id), after)

    def _window(self, names, limit, timed, key, after):
        found = []
        for name in names:
            rows = [job.row for job in self._rows(PENDING) if job.channel == name]
            rows = [row for row in rows if bool(row.eta) == timed]
            rows = [row for row in rows if after is None or key(row) > after]
            found += sorted(rows, key=key)[:limit]
        return found

    def functions_in_steps(self):
        return frozenset()

    def channel_records(self):
        return [ChannelRecord("root", 9), ChannelRecord("root.new", 2)]

    def mark_enqueued(self, ids, now):
        marked = set()
        for job in self._obtainable(ids, now):
            job.state, job.enqueued_at = ENQUEUED, now
            marked.add(job.uuid)
        return marked

    def obtainable(self, ids, now):
        return {job.id for job in self._obtainable(ids, now)}

    def _obtainable(self, ids, now):
        return [
            job
            for job in self._rows(PENDING)
            if job.id in ids and not job.is_held and (job.eta or 0) <= now + 1
        ]

    def put_back(self, uuids):
        return set(self._move(self._rows(ENQUEUED), uuids))

    def recover(self, uuids):
        free = [job for job in self._rows(ENQUEUED, STARTED) if job.worker is None]
        return self._move(free, uuids)

    def requeue_dead_among(self, uuids):
        return self._move(self._free(False), uuids)

    def free_locks(self, uuids, at_once=False):
        free = [job for job in self._free(at_once) if job.uuid in uuids]
        return {job.uuid: job.last_lock for job in free}

    def _free(self, at_once):
        free = [job for job in self._rows(ENQUEUED, STARTED) if job.worker is None]
        return [job for job in free if at_once or job.enqueued_at < self.play.now - 10]

    def _move(self, jobs, uuids):
        moved = [job.uuid for job in jobs if job.uuid in uuids and not job.is_held]
        for uuid in moved:
            self.play.move(self.play.jobs[uuid], PENDING)
        return moved

    def free_locks_of_begun(self, uuids):
        return {
            job.uuid: job.last_lock
            for job in self._rows(STARTED)
            if job.uuid in uuids
            and job.worker is None
            and job.started_at < self.play.now - 10
        }

    def stopped_among(self, uuids):
        return set()

    def interrupt_stopped(self):
        return 0

    def release_behind(self, uuids):
        return []

    def release_forgotten(self, after):
        return [], 0

    def nothing(self, *_args):
        return None

    fail_unusable = secret = keep_alive = check_triggers = is_changing = nothing
    record_condition = nothing

    def unreported(self, behind=()):
        return []


class Worker:
    """A request, and what a worker has done of it."""

    def __init__(self, request):
        self.request = request
        self.waiting = list(request.uuids)
        self.job = None
        self.report = protocol.Report()
        self.is_answered = False
        # When it begins no other job.
        self.deadline = None

    def next_uuid(self, now):
        """Return the job to claim next; None when the worker stops here."""
        if self.deadline is None:
            self.deadline = now + protocol.TIME_BUDGET
        outcomes = {outcome for _uuid, outcome, _seconds in self.report.outcomes}
        is_blocked = self.request.sequential and outcomes - {protocol.DONE}
        if self.waiting and now < self.deadline and not is_blocked:
            return self.waiting.pop(0)
        return None


class Play:
    """A session with workers, people and accidents, by one seed."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.now = 1000.0
        self.jobs = {}
        self.workers, self.vanished = [], []
        self.in_flight = {}
        self.shared = ChannelManager()
        self.shared.simple_configure(CONFIG)
        self.db = self.session = None
        self.begin_session()

    def lose_session(self):
        """Let the connection to the database end, as the runner does."""
        self.session.forget_jobs()
        self.session = None
        self.db.notes.clear()

    def begin_session(self):
        self.db = PlayedDatabase(self)
        tree = DatabaseTree(self.shared, stated_by(CONFIG))
        self.session = Session(
            self.db,
            tree,
            lambda request: self.workers.append(Worker(request)),
            10,
            self.in_flight,
        )
        self.session.begin(self.now)

    def move(self, job, state):
        """Move a job, and tell of it as the trigger does."""
        before, job.state = job.state, state
        if (
            state == PENDING != before
            or (before in (PENDING, FAILED) and state not in (ENQUEUED, STARTED))
            or (
                before in (ENQUEUED, STARTED)
                and state in (CANCELLED, WAIT_DEPENDENCIES)
            )
        ):
            self.db.notes.add(job.uuid)

    # What happens ---------------------------------------------------------------

    def new_job(self):
        eta = self.now + self.dice.random() * 20 if self.dice.random() < 0.2 else None
        number = len(self.jobs) + 1
        job = Played(
            number, self.dice.choice(CHANNELS), self.dice.choice((None, 5, 10)), eta
        )
        self.jobs[job.uuid] = job
        self.db.notes.add(job.uuid)

    def person(self):
        if not self.jobs:
            return
        job = self.dice.choice(list(self.jobs.values()))
        if job.state == PENDING:
            job.is_held = self.dice.random() < 0.3
            if not job.is_held and self.dice.random() < 0.5:
                self.move(job, CANCELLED)
        elif job.state in (FAILED, DONE, CANCELLED) and self.dice.random() < 0.5:
            self.move(job, PENDING if job.state != FAILED else DONE)
        elif job.state in (ENQUEUED, STARTED) and self.dice.random() < 0.3:
            self.move(job, self.dice.choice((CANCELLED, WAIT_DEPENDENCIES)))
        elif job.state == WAIT_DEPENDENCIES:
            self.move(job, PENDING)

    def lose_notes(self):
        self.db.notes.clear()

    def work(self, worker, accidents=True):
        """Let a worker go on by one step."""
        job = worker.job
        if job is not None:
            worker.job = None
            if job.state == STARTED and job.worker is worker:
                job.worker = None
                self.end(worker, job, accidents)
            else:
                worker.report.add(job.uuid, protocol.REFUSED)
        elif uuid := worker.next_uuid(self.now):
            self.claim(worker, self.jobs[uuid])
        else:
            self.answer(worker)

    def claim(self, worker, job):
        if job.state == ENQUEUED and not job.is_held:
            job.state, job.worker, job.started_at = STARTED, worker, self.now
            job.locks += 1
            worker.job = job
        else:
            worker.report.add(job.uuid, protocol.REFUSED)

    def end(self, worker, job, accidents):
        outcome = self.dice.random() if accidents else 1
        if outcome < 0.15:
            self.move(job, FAILED)
            worker.report.add(job.uuid, protocol.FAILED, 0.01)
        elif outcome < 0.3:
            job.eta = self.now + self.dice.random() * 5
            self.move(job, PENDING)
            worker.report.add(job.uuid, protocol.POSTPONED, 0.01)
        elif outcome < 0.4:
            self.move(job, PENDING)
            worker.report.add(job.uuid, protocol.HELD)
        else:
            job.times_done += 1
            self.move(job, DONE)
            worker.report.add(job.uuid, protocol.DONE, 0.01)

    def answer(self, worker, **failure):
        """Answer to whoever serves the database now; nobody hears it twice."""
        if worker.is_answered:
            self.workers.remove(worker)
            return
        worker.is_answered = True
        worker.report.left = list(worker.waiting)
        if self.session is None:
            # As the runner does.
            for uuid in worker.request.uuids:
                if self.in_flight.get(uuid) is worker.request.bundle:
                    del self.in_flight[uuid]
        else:
            report = None if failure else worker.report
            answer = Answer(worker.request, "http://played", report=report, **failure)
            self.session.answered(answer, self.now)
            self.session.apply_answers(self.now)
        if worker.job is None:
            self.workers.remove(worker)

    def accident(self, worker):
        """Let the connection of a request break, with its worker or without."""
        if worker.is_answered:
            return
        kind, status = self.dice.choice(
            ((BROKEN, None), (GATEWAY, 504), (ANSWERED, 500), (UNREACHABLE, None))
        )
        if kind == UNREACHABLE and worker.job is None and not worker.report.outcomes:
            worker.waiting = []
        elif self.dice.random() < 0.5 and worker.job is not None:
            worker.job.worker = worker.job = None
            worker.waiting = []
        self.answer(worker, kind=kind, status=status, error=OSError(kind))

    def vanish(self, worker):
        """Let a worker die behind a proxy that notices very late."""
        if worker.job is not None:
            worker.job.worker = worker.job = None
        worker.waiting = []
        self.workers.remove(worker)
        if not worker.is_answered:
            self.vanished.append(worker)

    def round(self):
        if self.session is None:
            self.begin_session()
        self.session.tick(self.now)
        self.session.poll(self.now)
        self.session.apply_answers(self.now)
        freed = True
        while freed:
            runs = []
            for _number in range(10 - len(self.workers)):
                job = self.session.best(self.now)
                if job is None:
                    break
                runs.append(self.session.compose(job, self.now))
            freed = self.session.send(runs, self.now)

    def step(self):
        self.now += self.dice.choice((0, 0.01, 0.3, 2))
        what = self.dice.random()
        if what < 0.15:
            self.new_job()
        elif what < 0.25:
            self.person()
        elif what < 0.6 and self.workers:
            self.work(self.dice.choice(self.workers))
        elif what < 0.65 and self.workers:
            self.accident(self.dice.choice(self.workers))
        elif what < 0.66 and self.workers:
            self.vanish(self.dice.choice(self.workers))
        elif what < 0.68 and self.session is not None:
            self.lose_session()
        elif what < 0.69:
            self.lose_notes()
        else:
            self.round()

    def calm_down(self):
        """Let all that is left end, without accidents and without people."""
        for number in range(3000):
            self.now += 1
            if number == 300:
                self.workers += self.vanished
                for worker in self.vanished:
                    self.answer(worker, kind=GATEWAY, status=504, error=OSError("504"))
            for job in self.jobs.values():
                job.is_held = False
                if job.state in (FAILED, WAIT_DEPENDENCIES):
                    self.move(job, PENDING)
            for worker in list(self.workers):
                self.work(worker, accidents=False)
            self.round()
            if number > 300 and not self.left() and not self.workers:
                return

    def left(self):
        return [
            (job.uuid, job.state, job.channel)
            for job in self.jobs.values()
            if job.state not in (DONE, CANCELLED)
        ]
