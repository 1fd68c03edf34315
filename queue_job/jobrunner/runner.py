# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The loop: databases, notifications, answers of workers, jobs to send.

One thread does everything but wait for workers and for connections that are being
made. A round never waits for anything but its one ``select``: on the connections
of all databases and on a pipe that answers and :meth:`QueueJobRunner.stop` write to.
It asks the sessions with something to read, an answer, or a step that is due, and
for jobs those that have some: an idle database costs nothing.

Every database has a session of its own. An error there ends that session
and no other; it is opened again a few seconds later. An election that is lost
for one database leaves the others alone.

Moved: ``Database``, ``MasterElectionLost``, ``PG_ADVISORY_LOCK_ID``, ``_odoo_now``,
``_connection_info_for``, ``_channels`` and ``_async_http_get`` have their old names
here.
"""

import heapq
import logging
import os
import selectors
import sys
import time
from functools import partial

import odoo.http
import odoo.service.db
from odoo.tools import config

from ..channels import ChannelManager, DatabaseTree, database_capacity
from ..channels.limits import lower
from ..channels.settings import stated_by
from ..configuration import default_root_capacity, dormant_after, max_capacity
from . import dispatch
from .agenda import Agenda
from .config import _channels, channels_setting, metrics_address, runner_settings
from .connection import (
    PG_ADVISORY_LOCK_ID,
    MasterElectionLost,
    _connection_info_for,
)
from .connector import Connector, attempt
from .database import Database, _odoo_now
from .deadlines import within
from .dispatch import _async_http_get
from .dormant import OPENED_AT_START, DormantDatabases
from .endpoint import Endpoint
from .log_throttle import LogThrottle
from .metrics import Metrics
from .metrics_page import Pages
from .schedule import Clock
from .session import Session
from .sockets import Sockets
from .wakeup_pipe import WakeupPipe

__all__ = [
    "ERROR_RECOVERY_DELAY",
    "PG_ADVISORY_LOCK_ID",
    "SELECT_TIMEOUT",
    "Database",
    "MasterElectionLost",
    "QueueJobRunner",
    "_async_http_get",
    "_channels",
    "_connection_info_for",
    "_odoo_now",
]

_logger = logging.getLogger(__name__)

# Seconds.
SELECT_TIMEOUT = 60
ERROR_RECOVERY_DELAY = 5
# Until an election that was lost is tried again, and what each database that was
# lost adds to it: a try is a connection.
ELECTION_DELAY, ELECTION_DELAY_EACH = 2, 0.1
# Between two calls of ``on_round`` at most.
ON_ROUND_DELAY = 1.5
# Until a database that is new, or has got the addon, is found at the latest.
DISCOVERY_DELAY = 25
# For the list of databases, which Odoo asks for on a connection of its own.
LISTING_PATIENCE = 10
# For one choice, when jobs that are locked elsewhere are in the way: then databases
# and workers have their turn.
CHOOSING_TIME = 0.5
# Until an address for metrics that is not free is tried again.
LISTEN_DELAY = 10
# For answers to bundles that are under way when the runner stops.
STOP_DELAY = 1


def _open_database(name):
    return Database(name)


def _visit_database(dormant_after, name):
    return Database(name, dormant_after)


class QueueJobRunner:
    """Dispatches the jobs of all databases until it is stopped.

    :param channel_config_string: None takes what is configured, or nothing
    """

    def __init__(
        self,
        scheme="http",
        host="localhost",
        port=8069,
        user=None,
        password=None,
        channel_config_string=None,
    ):
        self.scheme, self.host, self.port = scheme, host, port
        self.user, self.password = user, password
        if channel_config_string is None:
            channel_config_string = channels_setting()
        self.channel_manager = ChannelManager()
        self.channel_manager.simple_configure(channel_config_string or _channels())
        self._stated = stated_by(channel_config_string or "")
        # Of all databases together, beside the channels; None without.
        self._max_capacity = max_capacity()
        root = self.channel_manager.get_channel_by_name("root")
        root.capacity = lower(root.capacity, self._max_capacity)
        self._sessions = {}
        # Names of sessions to ask in the next round, and when to ask the others.
        self._touched, self._agenda = set(), Agenda()
        # Names of sessions that have jobs, and the number of the last turn of each.
        self._busy, self._turns, self._turn = set(), {}, 0
        # Slots of the root channel of each database.
        self._roots = {}
        # By database, and longer than a session: ``{uuid: SentBundle}`` of open requests.
        self._in_flight = {}
        # When to open a database that is not served.
        self._open_at = {}
        # Not before they were listed a first time.
        self._discover_at = float("inf")
        self._chosen_at = 0
        # Whether the time of the last choice was up before all slots were given.
        self._is_choosing = False
        self.metrics = Metrics()
        # Why databases cannot be served, by name.
        self.troubles = {}
        self.is_ready = False
        self._endpoint, self._listen_at = None, 0
        self._throttle = LogThrottle()
        self._clock = Clock()
        self._stop = False
        self._stop_pipe = os.pipe()
        self._wakeup_pipe = WakeupPipe(*self._stop_pipe)
        self._sockets = Sockets(self._wakeup_pipe)
        self.dormant = DormantDatabases(self._sockets, self._wakeup_pipe.wake)
        # Databases that were woken while they were opened or visited.
        self._woken = set()
        self._address = dispatch.Address(scheme, host, port, user, password)
        self._dispatcher = dispatch.Dispatcher(self._address, self._wakeup_pipe.wake)
        self._connector = Connector(_open_database, self._wakeup_pipe.wake)
        # Called in each round, with this runner: a server checks its limits there.
        self.on_round = None

    def __del__(self):
        # The interpreter ends its threads wherever they are: one that had an answer to
        # announce keeps the lock of the pipe for ever.
        if sys.is_finalizing():
            return
        if hasattr(self, "_dispatcher"):
            self._dispatcher.close()
        if hasattr(self, "_sockets"):
            self._sockets.close()
        if hasattr(self, "_wakeup_pipe"):
            self._wakeup_pipe.close()

    @classmethod
    def from_environ_or_config(cls):
        runner = cls(**runner_settings())
        runner.dormant.after = dormant_after()
        return runner

    @property
    def db_by_name(self):
        """The databases that this runner is elected for."""
        return {name: session.db for name, session in self._sessions.items()}

    @property
    def sessions(self):
        """The sessions of the databases that this runner is elected for, by name."""
        return self._sessions

    @property
    def open_requests(self):
        """How many requests wait for their answer."""
        return self._dispatcher.open_count

    # Databases --------------------------------------------------------------

    def get_db_names(self):
        """Return the databases that the server serves to which requests are sent.

        Odoo's own rule, for the host of the requests: of ``db_name``, or else of all,
        those that ``dbfilter`` lets pass.
        """
        names = config["db_name"]
        if isinstance(names, str):
            names = [name.strip() for name in names.split(",") if name.strip()]
        if not names:
            names = within(LISTING_PATIENCE, odoo.service.db.list_dbs, True)
        if not config["dbfilter"]:
            return list(names)
        host = self._address.host_name
        served = odoo.http.db_filter(names, host=host)
        if names and not served:
            text = (
                f"dbfilter {config['dbfilter']!r} lets no database pass for host {host}"
            )
            if self._throttle.should_log(None, text):
                _logger.warning("%s, to which jobs are sent: none is served", text)
        return served

    def initialize_databases(self):
        """Open a session for each database that has queue_job and is free.

        In sorted order, so that runners that start together share out their
        databases instead of each taking some of all. Of many databases those are opened
        that have something to do, once they were visited.
        """
        now = time.time()
        self.dormant.listen(now)
        self._find_databases(now)
        if self.dormant.is_possible and len(self._open_at) > OPENED_AT_START:
            _logger.info("visiting %d databases", len(self._open_at))
            self._visit_later(list(self._open_at))
        for name in sorted(self._open_at):
            if self._stop:
                break
            self._open(name)

    def close_databases(self, remove_jobs=True):
        """End all sessions.

        :param remove_jobs: give back the slots of their jobs
        """
        for name in list(self._sessions):
            session = self._forget_session(name)
            if remove_jobs:
                session.forget_jobs()
            session.db.close()
            self._open_at[name] = 0

    def _find_databases(self, now):
        """Notice databases that are new or gone."""
        self._discover_at = now + DISCOVERY_DELAY
        names = set(self.get_db_names())
        known = self._sessions.keys() | self._open_at.keys() | self._connector.names
        known |= self.dormant.names
        for name in names - known:
            self._open_at[name] = now
        for name in self._open_at.keys() - names:
            del self._open_at[name]
            self._throttle.forget(name)
        for name in self.dormant.names - names:
            self.dormant.discard(name)
            self._throttle.forget(name)
        for name in self._sessions.keys() - names:
            _logger.info("db %s is gone", name)
            self._close(name)
            self._throttle.forget(name)
        for name in (self.metrics.databases.keys() | self.troubles.keys()) - names:
            self.metrics.forget(name)
            self.troubles.pop(name, None)

    def _open(self, name):
        """Try to serve a database, now."""
        self._open_at.pop(name, None)
        self._begin(name, *attempt(_open_database, name))

    def _begin(self, name, db, error):
        """Serve a database that was opened; else know when to try again."""
        self.troubles.pop(name, None)
        woken = name in self._woken
        self._woken.discard(name)
        if isinstance(error, MasterElectionLost):
            _logger.debug("%s", error)
            self.metrics.of(name).elected(False)
            delay = max(ELECTION_DELAY, ELECTION_DELAY_EACH * len(self._open_at))
            self._open_at[name] = time.time() + delay
        elif error is not None:
            self._session_failed(name, error)
        elif db.is_dormant:
            db.close()
            self._fall_asleep(name, db.next_eta, woken)
        elif not db.has_queue_job:
            db.close()
            self._open_at[name] = time.time() + DISCOVERY_DELAY
        else:
            self._sessions[name] = self._new_session(db)
            self.metrics.of(name).elected(True)
            self._sockets.add(name, db.conn)
            self._apart(name, lambda session: session.begin(time.time()))
            if name in self._sessions:
                self._share_root_capacity([name])
                _logger.info("queue job runner ready for db %s", name)

    def _visit_later(self, names):
        """Let the turn of each database come to be visited, and opened if need be."""
        for name in names:
            self._open_at.pop(name, None)
            self.dormant.add(name)

    def _fall_asleep(self, name, eta, woken=False):
        """Know that a database has nothing to do before ``eta``.

        :param woken: a job was delayed while the database was asked
        """
        now = time.time()
        self.dormant.slept(name, now if woken else eta, now)

    def _wake(self, name, now):
        """Open a database in which a job was delayed while no runner was elected.

        Names that this process does not serve, or serves already, are ignored.
        """
        if name in self.dormant.names:
            self._fall_asleep(name, None, woken=True)
        elif name in self._open_at:
            self._open_at[name] = now
        elif name in self._connector.names:
            self._woken.add(name)

    def _let_go(self, name, now):
        """Let a database go dormant that was silent, unless a job came in between."""
        after = self.dormant.after
        session = self._sessions[name]
        if not session.may_go_dormant(now, after):
            return
        self._apart(name, lambda session: session.db.let_go(after))
        # It may have failed, and its session be gone.
        if self._forget_session(name) is None:
            return
        session.forget_jobs()
        session.db.close()
        if session.db.is_dormant:
            _logger.info("db %s: idle, dormant from now on", name)
            self._fall_asleep(name, session.db.next_eta)
        else:
            self._open_at[name] = now

    def _new_session(self, db):
        tree = DatabaseTree(
            self.channel_manager,
            self._stated,
            root_capacity=default_root_capacity(),
            limit=database_capacity(db.db_name),
        )
        in_flight = self._in_flight.setdefault(db.db_name, {})
        return Session(
            *(db, tree, self._dispatcher.send, self._dispatcher.limit, in_flight),
            metrics=self.metrics.of(db.db_name),
        )

    def _share_root_capacity(self, names=None):
        """Without configuration, the process has the slots of its largest database.

        :param names: databases whose slots may have changed; None: all
        """
        if "root" in self._stated:
            return
        before = dict(self._roots)
        for name in self._sessions if names is None else names:
            if name in self._sessions:
                self._roots[name] = self._sessions[name].tree.root.capacity
        if self._roots != before:
            root = self.channel_manager.get_channel_by_name("root")
            root.capacity = lower(max([1, *self._roots.values()]), self._max_capacity)

    def _forget_session(self, name):
        """Return the session of a database, None without one; it is asked no more."""
        self._sockets.discard(name)
        self._agenda.discard(name)
        self._touched.discard(name)
        self._busy.discard(name)
        self._roots.pop(name, None)
        self._turns.pop(name, None)
        return self._sessions.pop(name, None)

    def _close(self, name):
        session = self._forget_session(name)
        if session is not None:
            session.forget_jobs()
            session.db.abandon()

    def _session_failed(self, name, error):
        self._close(name)
        self._open_at[name] = time.time() + ERROR_RECOVERY_DELAY
        text = str(error).strip()
        self.troubles[name] = text or repr(error)
        self.metrics.of(name).errors += 1
        if self._throttle.should_log(name, text):
            _logger.error("db %s: %s", name, text or repr(error), exc_info=error)

    def _apart(self, name, step):
        """Do a step for one database; an error ends its session only.

        Return what the step returned, None if it failed or there is no session.
        """
        session = self._sessions.get(name)
        if session is None:
            return None
        self._touched.add(name)
        try:
            return step(session)
        except Exception as error:
            self._session_failed(name, error)
            return None

    def _each(self, names, step):
        """Do one step of the round for some databases, each apart from the others."""
        for name in list(names):
            self._apart(name, step)

    # The round --------------------------------------------------------------

    def requeue_dead_jobs(self):
        """Sweep each database that is due for it, and do what else the clock asks."""
        now = time.time()
        while (name := self._agenda.pop(now)) is not None:
            self._touched.add(name)
        self._each(self._touched, lambda session: session.tick(now))
        if self.dormant.is_possible:
            for name in self._touched & self._sessions.keys():
                self._let_go(name, now)

    def process_notifications(self):
        """Poll databases, and apply the answers of workers."""
        now = time.time()
        self._touched |= self._sockets.ready()
        self._each(self._touched, lambda session: session.poll(now))
        answered = {}
        for answer in self._dispatcher.answers():
            answered.setdefault(answer.request.db_name, []).append(answer)
        for name, answers in answered.items():
            if name not in self._sessions:
                self._forget_in_flight(name, answers)
        self._each(
            self._touched | answered.keys(),
            lambda session: self._answer(session, answered.get(session.name, ()), now),
        )
        self._share_root_capacity(self._touched)

    def _answer(self, session, answers, now):
        for answer in answers:
            session.answered(answer, now)
        session.apply_answers(now)

    def _forget_in_flight(self, name, answers):
        in_flight = self._in_flight.get(name, {})
        for answer in answers:
            for uuid in answer.request.uuids:
                if in_flight.get(uuid) is answer.request.bundle:
                    in_flight.pop(uuid, None)

    def run_jobs(self):
        """Send the best jobs of all databases, as long as there are slots.

        A job that is locked elsewhere gives its slot back in the same round, and the
        next best one gets it.
        """
        now = self._chosen_at = time.time()
        deadline = time.monotonic() + CHOOSING_TIME
        while self._send_best(now):
            self._is_choosing = time.monotonic() >= deadline
            if self._is_choosing:
                return

    def _send_best(self, now):
        """Send a job for each free slot; return whether slots are free again.

        Databases take turns, the one whose last turn is longest ago first: a long
        queue delays the jobs of others by what runs, not by what waits.
        """
        self._busy |= self._touched & self._sessions.keys()
        turns = [(self._turns.get(name, 0), name) for name in self._busy]
        heapq.heapify(turns)
        bundles = {}
        for _number in range(self._dispatcher.room):
            job = self._best_of_turn(turns, now)
            if job is None:
                break
            bundle = self._apart(
                job.db_name, lambda its, job=job: its.compose(job, now)
            )
            if bundle is not None:
                bundles.setdefault(bundle.db_name, []).append(bundle)
        freed = [
            self._apart(name, lambda its, bundles=its_bundles: its.send(bundles, now))
            for name, its_bundles in bundles.items()
        ]
        # None: the session ended, and its slots are free.
        return any(each is None or each for each in freed)

    def _best_of_turn(self, turns, now):
        """Return the best job of the database whose turn it is, None if none has one.

        :param turns: heap of ``(last turn, database)``; those without a job leave it
        """
        while turns:
            name = turns[0][1]
            job = self._apart(name, lambda session: session.best(now))
            if job is not None:
                self._turn += 1
                self._turns[name] = self._turn
                heapq.heapreplace(turns, (self._turn, name))
                return job
            heapq.heappop(turns)
            if name in self._sessions and self._sessions[name].is_empty:
                self._busy.discard(name)
        return None

    def wait_notification(self):
        """Wait for a notification, an answer, or the time of the next round."""
        has_more = self._note_wakeups()
        if self._is_choosing:
            self._is_choosing = False
            return
        if self._stop or has_more:
            return
        timeout = self._wakeup_time() - time.time()
        longest = SELECT_TIMEOUT if self.on_round is None else ON_ROUND_DELAY
        timeout = max(0, min(timeout, longest))
        _logger.debug("select() timeout: %.2f sec", timeout)
        self._touched |= self._select(self._sockets, timeout)

    def _note_wakeups(self):
        """Note when each session of the round is due again; return whether one is at once."""
        sessions = [
            self._sessions[name] for name in self._touched & self._sessions.keys()
        ]
        self._touched = {session.name for session in sessions if session.is_unfinished}
        for session in sessions:
            when = session.wakeup_time(self._chosen_at)
            silent = session.quiet_since + self.dormant.after
            if self._chosen_at < silent:
                when = min(when, silent)
            self._agenda.set(session.name, when)
        return any(session.db.has_notifications for session in sessions)

    def _wakeup_time(self):
        times = [self._discover_at, self._agenda.next(), self.dormant.next_sign()]
        if self._connector.room:
            times.extend(self._open_at.values())
            times.append(self.dormant.next())
        return min(times)

    def _select(self, sockets, timeout):
        """Wait, and return the names of the databases with something to read.

        :param sockets: those of the databases; empty waits for the wakeup pipe alone
        """
        if sockets:
            ready = sockets.ready(timeout)
        else:
            ready = set()
            with selectors.DefaultSelector() as selector:
                selector.register(self._wakeup_pipe, selectors.EVENT_READ)
                if self._endpoint is not None:
                    selector.register(self._endpoint, selectors.EVENT_READ)
                selector.select(timeout)
        self._wakeup_pipe.clear()
        return ready

    def _open_databases(self):
        """Find databases, and open those that are due."""
        now = time.time()
        if self._discover_at <= now:
            try:
                self._find_databases(now)
            except Exception as error:
                if self._throttle.should_log(None, str(error)):
                    _logger.exception("databases cannot be listed")
        for name, db, error in self._connector.finished():
            self._begin(name, db, error)
        for name in self.dormant.wakes(now):
            self._wake(name, now)
        due = [(when, name) for name, when in self._open_at.items() if when <= now]
        for _when, name in sorted(due)[: self._connector.room]:
            del self._open_at[name]
            self._begin_to_open(name)
        while self._connector.room and (name := self.dormant.pop(now)) is not None:
            self._begin_to_open(name)

    def _begin_to_open(self, name):
        """Open a database beside the loop; visit it first, where it may be dormant."""
        if self.dormant.is_possible:
            self._connector.begin(name, partial(_visit_database, self.dormant.after))
        else:
            self._connector.begin(name)

    def _follow_clock(self):
        """Begin anew when the clock was set: what is due by it may be hours late."""
        jump = self._clock.jump()
        if not jump:
            return
        _logger.warning(
            "system clock jumped by %+d s, reconnecting all databases", round(jump)
        )
        self.close_databases()
        self._open_at = dict.fromkeys(self._open_at, 0)
        self._discover_at = min(self._discover_at, time.time())
        self.dormant.doubt_all()
        for channel in self.channel_manager.channels():
            channel.end_wait()
        for in_flight in self._in_flight.values():
            for bundle in in_flight.values():
                bundle.sent_at = min(bundle.sent_at, time.time())

    def round(self):
        self._serve_metrics()
        self._follow_clock()
        self._open_databases()
        self.requeue_dead_jobs()
        self.process_notifications()
        if not self._stop:
            self.run_jobs()
        if self.on_round is not None:
            self.on_round(self)
        self.wait_notification()

    # Metrics ----------------------------------------------------------------

    def _serve_metrics(self):
        """Answer what asks for metrics or health, where that is configured."""
        if self._endpoint is None:
            self._open_endpoint()
        if self._endpoint is not None:
            self._endpoint.serve()

    def _open_endpoint(self):
        """Listen, if that is configured; try again while the address is not free."""
        now = time.monotonic()
        if now < self._listen_at:
            return
        self._listen_at = now + LISTEN_DELAY
        try:
            address = metrics_address()
            if address is None:
                self._listen_at = float("inf")
                return
            self._endpoint = Endpoint(*address, Pages(self).get)
        except (OSError, ValueError, OverflowError) as error:
            if self._throttle.should_log(None, f"metrics: {error}"):
                _logger.error("metrics are not served: %s", error)
            return
        self._sockets.watch(self._endpoint)
        self.metrics.is_served = True
        _logger.info("metrics served on %s:%s", address[0], self._endpoint.port)

    def _close_endpoint(self):
        if self._endpoint is not None:
            self._sockets.unwatch(self._endpoint)
            self._endpoint.close()
            self._endpoint = None

    # Life -------------------------------------------------------------------

    def sleep(self, seconds):
        """Sleep, but not longer than until ``stop``."""
        deadline = time.monotonic() + seconds
        while not self._stop and (left := deadline - time.monotonic()) > 0:
            self._select([], left)
            if self._endpoint is not None:
                self._endpoint.serve()

    def stop(self):
        _logger.info("graceful stop requested")
        self._stop = True
        self._wakeup_pipe.wake()

    def run(self):
        """Dispatch until ``stop``; try again after any error."""
        _logger.info("starting")
        while not self._stop:
            try:
                _logger.debug("initializing database connections")
                self.initialize_databases()
                _logger.info("database connections ready")
                self.is_ready = True
                while not self._stop:
                    self.round()
            except (KeyboardInterrupt, InterruptedError):
                self.stop()
            except MasterElectionLost as error:
                _logger.debug("%s, trying again in %ss", error, ERROR_RECOVERY_DELAY)
                self.close_databases()
                self.sleep(ERROR_RECOVERY_DELAY)
            except Exception:
                _logger.exception("error, restarting in %ss", ERROR_RECOVERY_DELAY)
                self.close_databases()
                self.sleep(ERROR_RECOVERY_DELAY)
        self._finish()
        _logger.info("stopped")

    def _finish(self):
        """Requeue unstarted jobs, drain remaining answers, disconnect."""
        self.is_ready = False
        self._each(self._sessions, lambda session: session.requeue_unstarted())
        deadline = time.monotonic() + STOP_DELAY
        while self._dispatcher.open_count and (left := deadline - time.monotonic()) > 0:
            self._select([], left)
            self.process_notifications()
        self.close_databases()
        self.dormant.close()
        self._close_endpoint()
        self._connector.close()
        self._dispatcher.close()
