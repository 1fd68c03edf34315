# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import select
import time
from datetime import datetime
from unittest.mock import patch

from odoo.tests import tagged

from ..jobrunner import ledger
from ..jobrunner import session as session_module
from ..jobrunner.dispatch import ANSWERED, BROKEN, GATEWAY, UNREACHABLE
from ..run import (
    DONE,
    FAILED,
    HELD,
    KEY_LOCK_CLASS,
    POSTPONED,
    REFUSED,
    REPORT_DEAD_PATH,
)
from .runner_case import RunnerCase

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


class SessionCase(RunnerCase):
    def teach(self, session, function="<test>.short", seconds=0.001):
        """Let the session know that a function is short."""
        for _ in range(50):
            session.pace.saw(function, seconds)

    def tell(self, session, *uuids):
        """Let the session learn of jobs as a notification tells of them."""
        session.ledger.learn(set(uuids))


@tagged("post_install", "-at_install")
class TestDispatching(SessionCase):
    def test_waiting_jobs_are_marked_and_sent_in_order(self):
        late, urgent = self.job(priority=20), self.job(priority=1)
        session = self.session()
        self.assertEqual(self.dispatch(session), [[urgent], [late]])
        self.assertEqual(self.value(urgent), "enqueued")
        self.assertEqual(self.dispatch(session), [])

    def test_asking_is_logged(self):
        uuid = self.job()
        session = self.session()
        with self.assertLogs(RUNNER_LOGGER, 20) as logs:
            self.dispatch(session)
        self.assertIn(
            f"asking Odoo to run job {uuid} on db {self.db_name}", logs.output[-1]
        )

    def test_answer_frees_the_slot(self):
        one, two = self.job(priority=1), self.job(priority=2)
        session = self.session("root:1")
        self.assertEqual(self.dispatch(session), [[one]])
        self.assertEqual(self.dispatch(session), [])
        self.update(one, state="done")
        self.answer(session, self.sent[0], (one, DONE))
        self.assertEqual(self.dispatch(session), [[two]])

    def test_new_job_is_heard_of(self):
        session = self.session()
        uuid = self.job()
        select.select([session.db.conn], [], [], 10)
        session.hear()
        self.assertEqual(self.dispatch(session), [[uuid]])

    def test_b08_cancelled_meanwhile_is_not_sent(self):
        uuid = self.job()
        session = self.session()
        self.update(uuid, state="cancelled")
        self.assertEqual(self.dispatch(session), [])
        self.assertEqual(self.value(uuid), "cancelled")

    def test_locked_row_is_looked_at_again(self):
        uuid, other = self.job(priority=1), self.job(priority=2)
        holder = self.lock_row(uuid, "queue_job")
        session = self.session()
        self.assertEqual(self.dispatch(session), [[other]])
        self.assertLessEqual(session.wakeup_time(1000), 1000.11)
        holder.rollback()
        session.tick(1000.2)
        self.assertEqual(self.dispatch(session, 1000.2), [[uuid]])

    def test_job_that_is_held_for_long_is_tried_less_often(self):
        uuid = self.job()
        self.lock_row(uuid, "queue_job")
        session = self.session()
        now, tries = 1000.0, 0
        while now < 1010:
            if session.best(now):
                tries += 1
            self.dispatch(session, now)
            session.tick(now)
            now += 0.05
        self.assertLess(tries, 20)

    def test_held_key_is_looked_at_again(self):
        uuid = self.job(identity_key="held")
        holder = self.connect()
        holder.autocommit = False
        self.sql(
            "SELECT pg_advisory_xact_lock_shared(%s, queue_job_key_lock('held'))",
            KEY_LOCK_CLASS,
            conn=holder,
        )
        session = self.session()
        self.assertEqual(self.dispatch(session), [])
        self.assertEqual(self.value(uuid), "pending")
        holder.rollback()
        session.tick(1000.2)
        self.assertEqual(self.dispatch(session, 1000.2), [[uuid]])

    def test_nobody_overtakes_a_held_job_of_a_sequential_channel(self):
        first = self.job(priority=1, channel="root.s")
        second = self.job(priority=2, channel="root.s")
        holder = self.lock_row(first, "queue_job")
        session = self.session("root:9,s:1:sequential")
        self.teach(session)
        self.assertEqual(self.dispatch(session), [])
        session.settle(1000)
        self.assertEqual(self.value(second), "pending")
        self.assertEqual(self.dispatch(session, 1000.05), [])
        holder.rollback()
        session.tick(1000.2)
        self.assertEqual(self.dispatch(session, 1000.2), [[first, second]])
        self.assertTrue(self.sent[-1].sequential)

    def test_eta_wakes(self):
        now = time.time()
        uuid = self.job(eta=datetime.utcfromtimestamp(now + 30))
        session = self.session(now=now)
        session.tick(now)
        self.assertEqual(self.dispatch(session, now), [])
        self.assertAlmostEqual(session.tree.get_wakeup_time(), now + 30, places=3)
        with patch.object(session.db, "mark_enqueued", return_value={uuid}):
            self.assertEqual(self.dispatch(session, now + 30.001), [[uuid]])

    def test_b33_nothing_starts_while_modules_change(self):
        uuid = self.job()
        session = self.session()
        with patch.object(session.db, "is_changing", return_value=True):
            self.assertEqual(self.dispatch(session), [])
            self.assertLessEqual(session.wakeup_time(1000), 1001)
        self.assertEqual(self.dispatch(session, 1000.5), [])
        self.assertEqual(self.dispatch(session, 1001), [[uuid]])

    def test_b33_nothing_is_waited_for_when_the_job_that_waited_is_gone(self):
        """The loop would turn round and round until the next job came."""
        uuid = self.job()
        session = self.session()
        session.tick(1000)
        with patch.object(session.db, "is_changing", return_value=True):
            self.assertEqual(self.dispatch(session), [])
            self.update(uuid, state="cancelled")
            self.tell(session, uuid)
            session.tick(1005)
            self.assertEqual(self.dispatch(session, 1005), [])
        self.assertGreater(session.wakeup_time(1005), 1005)

    def test_b33_looks_at_the_modules(self):
        db = self.database()
        self.assertFalse(db.is_changing())
        module = self.sql(
            "SELECT min(id) FROM ir_module_module WHERE state = 'uninstalled'"
        )[0][0]
        set_state = "UPDATE ir_module_module SET state = %s WHERE id = %s"
        self.addCleanup(self.sql, set_state, "uninstalled", module)
        for state in ("to install", "to upgrade", "to remove"):
            self.sql(set_state, state, module)
            self.assertTrue(db.is_changing(), state)


@tagged("post_install", "-at_install")
class TestRuns(SessionCase):
    def test_short_jobs_of_a_channel_share_a_request_and_a_slot(self):
        uuids = [self.job(priority=number) for number in range(6)]
        session = self.session("root:1")
        self.teach(session)
        self.assertEqual(self.dispatch(session), [uuids])
        self.assertEqual(len(session.tree.root._running), 1)

    def test_slots_share_the_work(self):
        uuids = [self.job(priority=number) for number in range(8)]
        session = self.session("root:4")
        self.teach(session)
        runs = self.dispatch(session)
        self.assertEqual([len(run) for run in runs], [2, 2, 1, 1])
        rest = [uuid for uuid in uuids if uuid not in sum(runs, [])]
        self.assertEqual(len(rest), 2)

    def test_throttled_channel_gets_runs_of_one(self):
        uuids = [self.job(priority=number, channel="root.t") for number in range(3)]
        session = self.session("root:9,t:2:throttle=1")
        self.teach(session)
        self.assertEqual(self.dispatch(session, 1000), [uuids[:1]])
        self.assertEqual(self.dispatch(session, 1001), [uuids[1:2]])

    def test_outcomes(self):
        uuids = [self.job(priority=number) for number in range(6)]
        done, failed, postponed, refused, held, left = uuids
        session = self.session("root:1")
        self.teach(session)
        self.dispatch(session)
        self.update(done, state="done")
        self.update(failed, state="failed")
        self.update(postponed, state="pending", eta=datetime.utcfromtimestamp(1030))
        self.update(refused, state="cancelled")
        self.update(held, state="pending")
        self.answer(
            session,
            self.sent[0],
            (done, DONE),
            (failed, FAILED),
            (postponed, POSTPONED),
            (refused, REFUSED),
            (held, HELD),
            left=[left],
        )
        self.assertEqual(session.carried, {})
        self.assertEqual(self.value(left), "pending")
        self.assertEqual(self.dispatch(session, 1001), [[left]])
        self.assertEqual(session.tree.root._queue.timed_count, 1)
        self.update(left, state="done")
        self.answer(session, self.sent[-1], (left, DONE), now=1001.2)
        session.tick(1001.2)
        self.assertEqual(self.dispatch(session, 1001.2), [[held]])

    def test_what_was_told_meanwhile_is_looked_at_with_the_answer(self):
        """Requeued by a person between the end of the job and the answer."""
        uuid = self.job()
        session = self.session()
        self.dispatch(session)
        self.update(uuid, state="pending")
        self.tell(session, uuid)
        self.assertEqual(self.dispatch(session), [])
        self.answer(session, self.sent[0], (uuid, DONE))
        self.assertEqual(self.dispatch(session, 1002), [[uuid]])

    def test_failure_holds_up_a_sequential_channel(self):
        one = self.job(priority=1, channel="root.s")
        two = self.job(priority=2, channel="root.s")
        session = self.session("root:9,s:1:sequential")
        self.assertEqual(self.dispatch(session), [[one]])
        self.update(one, state="failed")
        self.answer(session, self.sent[0], (one, FAILED))
        self.assertEqual(self.dispatch(session), [])
        self.update(one, state="done")
        self.tell(session, one)
        self.assertEqual(self.dispatch(session), [[two]])

    def test_failed_jobs_hold_up_at_the_start_too(self):
        self.job("failed", channel="s")
        self.job(channel="root.s")
        other = self.job(channel="root.other")
        self.job("failed", channel="root.other")
        session = self.session("root:9,s:1:sequential")
        self.assertEqual(self.dispatch(session), [[other]])
        self.assertEqual(len(session.tree.get_channel_by_name("other")._failed), 0)

    def test_nobody_waits_behind_a_job_that_turned_out_long(self):
        uuids = [self.job(priority=number) for number in range(4)]
        over, long, behind, postponed = uuids
        session = self.session("root:2")
        self.teach(session)
        with patch.object(session.tree.root, "slots", return_value=1):
            self.assertEqual(self.dispatch(session), [uuids])
        self.update(over, state="done")
        self.update(long, state="started")
        self.update(postponed, state="pending", eta=datetime.utcfromtimestamp(500))
        session.tick(1001)
        self.assertEqual(self.value(behind), "enqueued")
        session.tick(1003)
        self.assertEqual(self.value(behind), "pending")
        self.assertEqual(list(session.carried), [long])
        self.assertEqual(len(session.tree.root._running), 1)
        self.assertEqual(self.dispatch(session, 1003), [[behind]])
        self.assertEqual(session.tree.root._queue.head.uuid, postponed)

    def test_b29_run_that_no_worker_has_begun_is_left_alone(self):
        uuids = [self.job(priority=number) for number in range(3)]
        session = self.session("root:1")
        self.teach(session)
        self.assertEqual(self.dispatch(session), [uuids])
        for uuid in uuids:
            self.update(uuid, date_enqueued=self.old(600))
        for now in (1010, 1020, 1100):
            session.tick(now)
        self.assertEqual({self.value(uuid) for uuid in uuids}, {"enqueued"})
        self.assertEqual(len(self.sent), 1)


@tagged("post_install", "-at_install")
class TestTrouble(SessionCase):
    def sent_run(self, *states, config="root:9"):
        """Send a run whose jobs are then in ``states``; return session and uuids."""
        uuids = [self.job(priority=number) for number in range(len(states))]
        session = self.session(config)
        self.teach(session)
        with patch.object(session.tree.root, "slots", return_value=1):
            self.assertEqual(self.dispatch(session), [uuids])
        for uuid, state in zip(uuids, states, strict=True):
            self.update(uuid, state=state)
        return session, uuids

    def test_broken_connection_is_news_about_its_jobs(self):
        session, uuids = self.sent_run("done", "started", "started", "enqueued")
        done, dead, alive, waiting = uuids
        self.lock_row(alive)
        with self.assertLogs(RUNNER_LOGGER, "WARNING"):
            self.answer(
                session, self.sent[0], kind=BROKEN, error=ConnectionError("reset")
            )
        self.assertEqual(self.value(done), "done")
        self.assertEqual((self.value(dead), self.value(dead, "retry")), ("pending", 1))
        self.assertEqual(
            (self.value(waiting), self.value(waiting, "retry")), ("pending", None)
        )
        self.assertEqual(self.value(alive), "started")
        self.assertEqual(
            sorted(sum(self.dispatch(session, 1001), [])), sorted([dead, waiting])
        )
        # The job that runs on keeps its slot until its row says that it ended.
        self.assertIn(alive, session.ledger.orphans)
        self.update(alive, state="done")
        session.tick(1003)
        self.assertNotIn(alive, session.ledger.orphans)

    def test_many_connections_that_break_at_once(self):
        """A proxy was restarted: the jobs that run on keep their slots."""
        session, (alive, also_alive) = self.sent_run("started", "started")
        for uuid in (alive, also_alive):
            self.lock_row(uuid)
        with (
            patch.object(ledger, "MANY", 1),
            self.assertLogs(RUNNER_LOGGER, "WARNING"),
        ):
            self.answer(
                session, self.sent[0], kind=BROKEN, error=ConnectionError("reset")
            )
        self.assertLessEqual({alive, also_alive}, session.ledger.orphans)
        self.assertEqual(len(session.tree.root._running), 2)

    def test_one_bad_node_of_several_is_told_once(self):
        """Every other request fails at once, and the next one is answered."""
        uuid = self.job()
        session = self.session()
        error = OSError("404 Not Found")
        with self.assertLogs(RUNNER_LOGGER, logging.INFO) as logs:
            for now in range(1000, 1020, 2):
                self.dispatch(session, now)
                failure = {"kind": ANSWERED, "status": 404, "error": error}
                self.answer(session, self.sent[-1], now=now, **failure)
                self.dispatch(session, now + 1)
                self.update(uuid, state="pending")
                self.answer(session, self.sent[-1], (uuid, HELD), now=now + 1)
                session.tick(now + 1.9)
        said = "\n".join(logs.output)
        self.assertEqual(said.count("exception in GET"), 1)
        self.assertEqual(said.count("answers again"), 1)
        self.assertEqual(said.count("asking Odoo"), 20)

    def test_dependents_are_released_when_nobody_told_how_a_job_ended(self):
        """The worker died between the commit of the job and the release."""
        session, (done, running) = self.sent_run("done", "started")
        children = []
        for parent in (done, running):
            children.append(self.job("wait_dependencies"))
            self.edge(parent, children[-1])
        lock = self.lock_row(running)
        with self.assertLogs(RUNNER_LOGGER, "WARNING"):
            self.answer(
                session, self.sent[0], kind=BROKEN, error=ConnectionError("reset")
            )
        self.assertEqual(
            [self.value(child) for child in children], ["pending", "wait_dependencies"]
        )
        lock.close()
        self.update(running, state="done")
        session.tick(1003)
        self.assertEqual(self.value(children[1]), "pending")
        self.assertEqual(
            sorted(sum(self.dispatch(session, 1003), [])), sorted(children)
        )

    def test_new_session_looks_for_jobs_that_wait_for_nothing(self):
        done = self.job("done")
        child = self.job("wait_dependencies", date_created=self.old(3600))
        self.edge(done, child)
        session = self.session()
        session.tick(1000)
        self.assertEqual(self.value(child), "pending")

    def test_unreachable_is_told_once_and_waits(self):
        session, (uuid,) = self.sent_run("enqueued")
        session.tick(1000)
        error = ConnectionError("refused")
        with self.assertLogs(RUNNER_LOGGER, "WARNING") as logs:
            self.answer(session, self.sent[0], kind=UNREACHABLE, error=error)
        said = [line for line in logs.output if "exception in GET" in line]
        self.assertEqual(len(said), 1)
        self.assertIn("host", said[0])
        self.assertEqual(self.value(uuid), "pending")
        self.assertEqual(self.dispatch(session, 1001.5), [])
        self.assertEqual(session.wakeup_time(1001.5), session.backoff.until)
        now = session.backoff.until
        self.assertEqual(self.dispatch(session, now), [[uuid]])
        with self.assertNoLogs(RUNNER_LOGGER, "WARNING"):
            self.answer(
                session, self.sent[-1], now=now + 1, kind=UNREACHABLE, error=error
            )
        now = session.backoff.until
        self.dispatch(session, now)
        self.update(uuid, state="done")
        with self.assertLogs(RUNNER_LOGGER, 20) as logs:
            self.answer(session, self.sent[-1], (uuid, DONE), now=now)
        self.assertIn("answers again", logs.output[0])

    def test_jobs_that_reached_no_worker_are_not_called_dead(self):
        """Odoo is down for a night: each try would tell of each job."""
        session, uuids = self.sent_run("enqueued", "enqueued", "enqueued")
        error = ConnectionError("refused")
        for kind, status in ((UNREACHABLE, None), (GATEWAY, 503), (GATEWAY, 503)):
            with self.assertLogs(RUNNER_LOGGER, logging.INFO) as logs:
                failure = {"kind": kind, "status": status, "error": error}
                self.answer(session, self.sent[-1], **failure)
                now = session.backoff.until
                # Enough to find out whether somebody answers.
                with patch.object(session.tree.root, "slots", return_value=1):
                    runs = self.dispatch(session, now)
            self.assertEqual({len(run) for run in runs}, {1})
            self.assertFalse([line for line in logs.output if "dead" in line])
        self.assertEqual({self.value(uuid, "retry") for uuid in uuids}, {None})

    def test_gateway_failures_back_off(self):
        session, _uuids = self.sent_run("enqueued")
        now, delays = 1000.0, []
        failure = {"kind": GATEWAY, "status": 502, "error": OSError("502 Bad Gateway")}
        with self.assertLogs(RUNNER_LOGGER, "WARNING") as logs:
            for _ in range(4):
                now += 1
                self.answer(session, self.sent[-1], now=now, **failure)
                delays.append(max(session.backoff.until - now, 0))
                now = max(session.backoff.until, now)
                self.dispatch(session, now)
        self.assertEqual(delays, [0, 1, 2, 4])
        self.assertEqual(len(logs.output), 1)

    def test_proxy_that_lost_patience_doubles_and_slows_nothing(self):
        """It answers 504 while the job runs on, again and again."""
        session, (uuid,) = self.sent_run("started")
        self.lock_row(uuid)
        with self.assertLogs(RUNNER_LOGGER, "ERROR") as logs:
            error = OSError("504 Gateway Timeout")
            self.answer(session, self.sent[0], kind=GATEWAY, status=504, error=error)
        self.assertIn("raise its timeout", logs.output[0])
        self.assertEqual(
            (self.value(uuid), self.value(uuid, "retry")), ("started", None)
        )
        self.assertEqual(session.backoff.failures, 0)
        # Its slot stays taken, and it is not sent again.
        self.assertIn(uuid, session.ledger.orphans)
        self.assertEqual(len(session.tree.root._running), 1)
        self.assertEqual(self.dispatch(session, 1002), [])

    def test_node_that_vanished_behind_a_proxy_is_given_up(self):
        """The proxy keeps the request open, PostgreSQL has ended the worker's session."""
        session, uuids = self.sent_run("started", "enqueued", config="root:1")
        gone, behind = uuids
        # Rolled back, not closed: PostgreSQL hears of that a little later.
        self.lock_row(gone).rollback()
        self.update(gone, date_started=self.old(100), date_enqueued=self.old(100))
        with self.assertLogs(RUNNER_LOGGER, "WARNING") as logs:
            session.tick(1000 + session_module.LONG_RUN)
            self.assertEqual(self.value(gone), "started")
            now = 1000 + session_module.LONG_RUN + session_module.VANISHED_EVERY
            session.tick(now)
        self.assertIn("is gone, their request is given up", logs.output[0])
        self.assertEqual((self.value(gone), self.value(gone, "retry")), ("pending", 1))
        self.assertEqual(self.value(behind), "pending")
        self.teach(session)
        self.assertEqual(self.dispatch(session, now), [uuids])
        # The old request is answered at last: the slot is not its own any more.
        with self.assertLogs(RUNNER_LOGGER, "ERROR"):
            error = OSError("504 Gateway Timeout")
            self.answer(
                session, self.sent[0], now=now, kind=GATEWAY, status=504, error=error
            )
        self.assertEqual(len(session.tree.root._running), 1)
        self.assertEqual(set(session.carried), set(uuids))

    def test_long_job_behind_a_proxy_is_left_alone(self):
        """Its worker holds the lock, but for the moment when it begins anew."""
        session, (uuid,) = self.sent_run("started")
        self.update(uuid, date_started=self.old(100), date_enqueued=self.old(100))
        now = 1000 + session_module.LONG_RUN
        for is_held in (False, True, False):
            worker = self.lock_row(uuid) if is_held else None
            session.tick(now)
            now += session_module.VANISHED_EVERY
            if worker:
                worker.close()
        self.assertEqual(self.value(uuid), "started")
        self.assertIn(uuid, session.carried)

    def test_unclear_answer_is_settled_by_the_row(self):
        """An older controller answers 500 when the job failed, and nothing else."""
        session, (uuid,) = self.sent_run("failed")
        with self.assertLogs(RUNNER_LOGGER, "ERROR") as logs:
            self.answer(
                session, self.sent[0], kind="answered", status=500, error=OSError("500")
            )
        self.assertIn("exception in GET", logs.output[0])
        self.assertEqual(self.value(uuid), "failed")
        self.assertEqual(len(session.tree.root._running), 0)

    def test_what_the_dead_runner_had_sent_is_taken_back_at_once(self):
        """It died with the worker of one job; another worker is performing one."""
        just_now = self.old(0)
        waiting, dead, alive = (
            self.job(state, date_enqueued=just_now, priority=number)
            for number, state in enumerate(("enqueued", "started", "started"))
        )
        self.lock_row(alive)
        session = self.session("root:3", begin=True)
        self.assertEqual(self.value(waiting), "pending")
        self.assertEqual(self.dispatch(session), [[waiting]])
        session.tick(1001)
        self.assertEqual(self.value(dead), "started")
        session.tick(1000 + session_module.CLAIM_DELAY)
        self.assertEqual((self.value(dead), self.value(dead, "retry")), ("pending", 1))
        self.assertEqual(self.value(alive), "started")
        self.assertEqual(self.value(waiting), "enqueued")
        self.assertEqual(self.dispatch(session, 1003), [[dead]])

    def test_own_requests_are_not_taken_back_by_a_new_session(self):
        uuid = self.job()
        lost = self.session("root:1")
        self.dispatch(lost)
        lost.forget_jobs()
        session = self.session("root:1", carried=lost.carried, begin=True)
        session.tick(1000 + session_module.CLAIM_DELAY)
        self.assertEqual(self.value(uuid), "enqueued")

    def test_orphans_hold_slots_until_they_end(self):
        one = self.job("started", date_enqueued=self.old(1))
        self.lock_row(one)
        two = self.job()
        session = self.session("root:1")
        if any(job.uuid not in self.mine for job in session.tree.root._running):
            self.skipTest("other jobs run in this database")
        self.assertEqual(self.dispatch(session), [])
        session.tick(1001)
        self.assertEqual(self.dispatch(session, 1001), [])
        self.update(one, state="done")
        session.tick(1002)
        self.assertEqual(self.dispatch(session, 1002), [[two]])

    def test_orphan_that_dies_is_requeued_by_the_next_sweep(self):
        uuid = self.job("started", date_enqueued=self.old(11))
        worker = self.lock_row(uuid)
        session = self.session()
        session.tick(1000)
        worker.rollback()
        session.tick(1003)
        self.assertEqual(self.value(uuid), "started")
        session.tick(1000 + session_module.SWEEP_EVERY)
        self.assertEqual(self.dispatch(session, 1006), [[uuid]])

    def test_reading_everything_takes_its_share_of_time_only(self):
        session = self.session()
        clock = iter((0, 3))
        with patch.object(session_module.time, "monotonic", lambda: next(clock)):
            session.load(1000)
        self.assertEqual(session._schedule.next("reload"), 1600)

    def test_dead_jobs_of_another_runner_are_requeued_and_sent(self):
        uuid = self.job("started", date_enqueued=self.old(11))
        session = self.session()
        session.tick(1000)
        self.assertEqual(self.dispatch(session), [[uuid]])

    def test_b09_death_that_failed_is_announced_by_a_worker(self):
        uuid = self.job("started", date_enqueued=self.old(11), max_retries=1)
        session = self.session()
        session.tick(1000)
        reports = [each for each in self.sent if each.uuids == (uuid,)]
        self.assertEqual([each.path for each in reports], [REPORT_DEAD_PATH])
        session.report_dead(1001)
        self.assertEqual(len([each for each in self.sent if each.uuids == (uuid,)]), 1)

    def test_requests_that_outlive_the_session_keep_their_slots(self):
        one, two = self.job(priority=1), self.job(priority=2)
        lost = self.session("root:1")
        self.dispatch(lost)
        request = self.sent[0]
        lost.forget_jobs()
        session = self.session("root:1", carried=lost.carried)
        self.assertEqual(self.dispatch(session), [])
        self.update(one, state="done")
        self.answer(session, request, (one, DONE))
        self.assertEqual(self.dispatch(session), [[two]])

    def test_stop_takes_back_what_no_worker_has_begun(self):
        session, (started, waiting) = self.sent_run("started", "enqueued")
        session.take_back()
        self.assertEqual(
            (self.value(started), self.value(waiting)), ("started", "pending")
        )


@tagged("post_install", "-at_install")
class TestHearing(SessionCase):
    def test_b28_one_update_of_many_rows_does_not_deafen(self):
        count = 20_000
        self.sql(
            """INSERT INTO queue_job (uuid, state, priority, channel, date_created)
               SELECT 'b28-' || n, 'pending', 10, 'root.many', now() AT TIME ZONE 'UTC'
               FROM generate_series(1, %s) n""",
            count,
        )
        self.addCleanup(self.sql, "DELETE FROM queue_job WHERE uuid LIKE 'b28-%'")
        session = self.session()
        self.sql("ANALYZE queue_job")
        self.sql("UPDATE queue_job SET priority = 11 WHERE uuid LIKE 'b28-%'")
        heard, longest = 0, 0
        while heard < count:
            select.select([session.db.conn], [], [], 10)
            started = time.process_time()
            uuids, _changed = session.db.hear()
            session.ledger.learn(uuids)
            longest = max(longest, time.process_time() - started)
            heard += len(uuids)
        self.assertLess(longest, 0.2)
        self.assertLess(len(session.tree._jobs), 2000)

    def test_many_told_at_once_are_read_as_windows(self):
        uuids = {self.job() for _ in range(ledger.MANY + 1)}
        session = self.session()
        with (
            patch.object(session.db, "read", side_effect=AssertionError("row by row")),
            patch.object(session.ledger, "load_waiting") as load,
        ):
            session.ledger.learn(uuids)
        load.assert_called_once()

    def test_change_of_a_channel_record_applies_at_once(self):
        name = "root.session_test"
        channel = self.sql(
            "INSERT INTO queue_job_channel"
            " (name, complete_name, parent_id, removal_interval, paused)"
            " SELECT 'session_test', %s, id, 30, true FROM queue_job_channel"
            " WHERE complete_name = 'root' RETURNING id",
            name,
        )[0][0]
        self.addCleanup(
            self.sql, "DELETE FROM queue_job_channel WHERE id = %s", channel
        )
        uuid = self.job(channel=name)
        session = self.session()
        self.assertEqual(self.dispatch(session), [])
        self.sql("UPDATE queue_job_channel SET paused = false WHERE id = %s", channel)
        select.select([session.db.conn], [], [], 10)
        session.hear()
        self.assertEqual(self.dispatch(session), [[uuid]])

    def test_deleted_job_is_forgotten(self):
        uuid = self.job()
        session = self.session()
        self.sql("DELETE FROM queue_job WHERE uuid = %s", uuid)
        self.tell(session, uuid)
        self.assertEqual(self.dispatch(session), [])

    def test_lost_notification_delays_and_loses_nothing(self):
        session = self.session()
        uuid = self.job()
        session.tick(1000 + session_module.RELOAD_EVERY)
        self.assertEqual(self.dispatch(session, 1061), [[uuid]])

    def test_b19_requeued_parent_frees_the_slot_of_its_child(self):
        uuid = self.job("started", date_enqueued=self.old(1))
        self.lock_row(uuid)
        session = self.session()
        self.assertIsNotNone(session.tree.job(uuid, self.db_name))
        self.update(uuid, state="wait_dependencies")
        self.tell(session, uuid)
        self.assertIsNone(session.tree.job(uuid, self.db_name))
