# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a session does when requests, workers and runners break."""

import logging
import select
import time
from unittest.mock import patch

import psycopg2

from odoo.tests import tagged
from odoo.tools import mute_logger

from ..jobrunner import session as session_module
from ..jobrunner import tracker
from ..jobrunner.dispatch import ANSWERED, BROKEN, GATEWAY, UNREACHABLE
from ..jobrunner.liveness import CHECK_INTERVAL
from ..protocol import DONE, HELD, REFUSED, REPORT_DEAD_PATH
from .runner_case import SessionCase

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


@tagged("post_install", "-at_install")
class TestTrouble(SessionCase):
    def later(self):
        """Return a time at which jobs that were found dead may start again."""
        return time.time() + 60

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
            self.assertEqual(self.value(dead), "started")
            session.tick(1001 + CHECK_INTERVAL)
        self.assertEqual(self.value(done), "done")
        self.assertEqual((self.value(dead), self.value(dead, "retry")), ("pending", 1))
        self.assertEqual(
            (self.value(waiting), self.value(waiting, "retry")), ("pending", None)
        )
        self.assertEqual(self.value(alive), "started")
        self.assertEqual(self.dispatch(session, 1002), [[waiting]])
        self.assertEqual(self.dispatch(session, self.later()), [[dead]])
        # The job that runs on keeps its slot until its row says that it ended.
        self.assertIn(alive, session.tracker.detached)
        self.update(alive, state="done")
        session.tick(1004)
        self.assertNotIn(alive, session.tracker.detached)

    def test_many_connections_that_break_at_once(self):
        """A proxy was restarted: the jobs that run on keep their slots."""
        session, (alive, also_alive) = self.sent_run("started", "started")
        for uuid in (alive, also_alive):
            self.lock_row(uuid)
        with (
            patch.object(tracker, "MANY", 1),
            self.assertLogs(RUNNER_LOGGER, "WARNING"),
        ):
            self.answer(
                session, self.sent[0], kind=BROKEN, error=ConnectionError("reset")
            )
        self.assertLessEqual({alive, also_alive}, session.tracker.detached)
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

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
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
        self.assertIn(uuid, session.tracker.detached)
        self.assertEqual(len(session.tree.root._running), 1)
        self.assertEqual(self.dispatch(session, 1002), [])

    def test_node_that_vanished_behind_a_proxy_is_given_up(self):
        """The proxy keeps the request open, PostgreSQL has ended the worker's session."""
        session, uuids = self.sent_run("started", "enqueued", config="root:1")
        gone, behind = uuids
        self.lock_row(gone).rollback()
        self.update(gone, date_started=self.old(100), date_enqueued=self.old(100))
        with self.assertLogs(RUNNER_LOGGER, "WARNING") as logs:
            session.tick(1000 + session_module.LONG_REQUEST)
            self.assertEqual(self.value(gone), "started")
            now = 1000 + session_module.LONG_REQUEST + session_module.VANISHED_EVERY
            session.tick(now)
        self.assertIn("worker lost, abandoning its request", "".join(logs.output))
        self.assertEqual((self.value(gone), self.value(gone, "retry")), ("pending", 1))
        self.assertEqual(self.value(behind), "pending")
        self.assertEqual(self.dispatch(session, now), [[behind]])
        self.answer(session, self.sent[-1], left=[behind], now=now)
        self.assertEqual(self.dispatch(session, self.later()), [[gone]])
        self.tell(session, behind)
        # The old request is answered at last: the slot is not its own any more.
        with self.assertLogs(RUNNER_LOGGER, "ERROR"):
            error = OSError("504 Gateway Timeout")
            self.answer(
                session, self.sent[0], now=now, kind=GATEWAY, status=504, error=error
            )
        self.assertEqual(len(session.tree.root._running), 1)
        self.assertEqual(set(session.in_flight), {gone})

    def test_long_job_behind_a_proxy_is_left_alone(self):
        """Its worker holds the lock, but for the moment when it begins anew."""
        session, (uuid,) = self.sent_run("started")
        self.update(uuid, date_started=self.old(100), date_enqueued=self.old(100))
        now = 1000 + session_module.LONG_REQUEST
        for is_held in (False, True, False):
            worker = self.lock_row(uuid) if is_held else None
            session.tick(now)
            now += session_module.VANISHED_EVERY
            if worker:
                worker.rollback()
        self.assertEqual(self.value(uuid), "started")
        self.assertIn(uuid, session.in_flight)

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

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
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
        now = 1000 + session_module.CLAIM_DELAY
        session.tick(now)
        self.assertEqual(self.value(dead), "started")
        session.tick(now + CHECK_INTERVAL)
        self.assertEqual((self.value(dead), self.value(dead, "retry")), ("pending", 1))
        self.assertEqual(self.value(alive), "started")
        self.assertEqual(self.value(waiting), "enqueued")
        self.assertEqual(self.dispatch(session, self.later()), [[dead]])

    def test_own_requests_are_not_taken_back_by_a_new_session(self):
        uuid = self.job()
        lost = self.session("root:1")
        self.dispatch(lost)
        lost.forget_jobs()
        session = self.session("root:1", in_flight=lost.in_flight, begin=True)
        session.tick(1000 + session_module.CLAIM_DELAY)
        self.assertEqual(self.value(uuid), "enqueued")

    def test_orphans_hold_slots_until_they_end(self):
        channel = {"channel": "root.detached"}  # no other job of the database is there
        one = self.job("started", date_enqueued=self.old(1), **channel)
        self.lock_row(one)
        two = self.job(**channel)
        session = self.session("root:9,root.detached:1")
        self.assertEqual(self.dispatch(session), [])
        session.tick(1001)
        self.assertEqual(self.dispatch(session, 1001), [])
        self.update(one, state="done")
        session.tick(1002)
        self.assertEqual(self.dispatch(session, 1002), [[two]])

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_orphan_that_dies_is_requeued_by_the_next_sweep(self):
        uuid = self.job("started", date_enqueued=self.old(11))
        worker = self.lock_row(uuid)
        session = self.session()
        session.tick(1000)
        worker.rollback()
        session.tick(1003)
        self.assertEqual(self.value(uuid), "started")
        now = 1000 + session_module.SWEEP_EVERY
        session.tick(now)
        self.assertEqual(session.wakeup_time(now), now + CHECK_INTERVAL)
        session.tick(now + CHECK_INTERVAL)
        self.assertEqual(self.dispatch(session, self.later()), [[uuid]])

    def test_reading_everything_takes_its_share_of_time_only(self):
        session = self.session()
        clock, load = [0], session.tracker.load

        def slow_load():
            load()
            clock.append(3)

        with (
            patch.object(session_module.time, "monotonic", lambda: clock[-1]),
            patch.object(session.tracker, "load", slow_load),
        ):
            session.load(1000)
        self.assertEqual(session._schedule.next("reload"), 1600)

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_dead_jobs_of_another_runner_are_requeued_and_sent(self):
        uuid = self.job("started", date_enqueued=self.old(11))
        session = self.session()
        session.tick(1000)
        session.tick(1000 + CHECK_INTERVAL)
        self.assertEqual(self.dispatch(session, self.later()), [[uuid]])

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_b09_death_that_failed_is_announced_by_a_worker(self):
        uuid = self.job("started", date_enqueued=self.old(11), max_retries=1)
        session = self.session()
        session.tick(1000)
        session.tick(1000 + CHECK_INTERVAL)
        reports = [each for each in self.sent if each.uuids == (uuid,)]
        self.assertEqual([each.path for each in reports], [REPORT_DEAD_PATH])
        session.report_dead(1002)
        self.assertEqual(len([each for each in self.sent if each.uuids == (uuid,)]), 1)

    def test_what_could_not_be_announced_goes_behind(self):
        """B4: the batch of 50 began with the same failures each time, and those behind
        them were never announced.
        """
        poison = [self.job("failed", to_report=True) for _number in range(55)]
        good = [self.job("failed", to_report=True) for _number in range(5)]
        session = self.session()
        for now in (1000, 1001):
            session.report_dead(now)
            # Each request is answered, and nothing was done.
            session._reporting.clear()
        asked = {uuid for each in self.sent for uuid in each.uuids}
        self.assertLessEqual({*poison, *good}, asked)
        self.sent.clear()
        session.report_dead(1002)
        self.assertEqual(len(self.sent), 50)

    def test_b09_death_that_another_runner_found_is_announced(self):
        """It died before it could have it announced."""
        uuid = self.job("failed", to_report=True)
        session = self.session()
        session.tick(1000 + session_module.RELOAD_EVERY)
        reports = [each.path for each in self.sent if each.uuids == (uuid,)]
        self.assertEqual(reports, [REPORT_DEAD_PATH])

    def test_requests_that_outlive_the_session_keep_their_slots(self):
        one, two = self.job(priority=1), self.job(priority=2)
        lost = self.session("root:1")
        self.dispatch(lost)
        request = self.sent[0]
        lost.forget_jobs()
        session = self.session("root:1", in_flight=lost.in_flight)
        self.assertEqual(self.dispatch(session), [])
        self.update(one, state="done")
        self.answer(session, request, (one, DONE))
        self.assertEqual(self.dispatch(session), [[two]])

    def test_stop_takes_back_what_no_worker_has_begun(self):
        session, (started, waiting) = self.sent_run("started", "enqueued")
        session.requeue_unstarted()
        self.assertEqual(
            (self.value(started), self.value(waiting)), ("started", "pending")
        )


@tagged("post_install", "-at_install")
class TestStoppedJobs(SessionCase):
    def test_slot_of_a_stopped_job_is_free_whatever_its_worker_does(self):
        first, behind = self.job(priority=1), self.job(priority=2)
        session = self.session("root:1")
        self.teach(session)
        self.assertEqual(self.dispatch(session), [[first, behind]])
        self.update(first, state="started")
        self.update(first, state="cancelled", date_stopped=self.old(0))
        while first in session.in_flight:
            select.select([session.db.conn], [], [], 10)
            session.poll(1001.0)
        self.assertEqual(self.value(behind), "pending")
        self.assertEqual(self.dispatch(session, 1001), [[behind]])
        # The worker answers at last: the slot is not its own any more.
        self.answer(session, self.sent[0], (first, REFUSED), (behind, REFUSED))
        self.assertEqual(set(session.in_flight), {behind})
        self.assertEqual(len(session.tree.root._running), 1)

    def test_job_that_was_cancelled_before_it_began_frees_no_slot(self):
        first, behind = self.job(priority=1), self.job(priority=2)
        session = self.session("root:1")
        self.teach(session)
        self.dispatch(session)
        self.update(first, state="started")
        self.update(behind, state="cancelled")
        session._stop_some({first, behind}, 1001)
        self.assertEqual(set(session.in_flight), {first, behind})

    def test_work_that_goes_on_is_interrupted_until_it_ends(self):
        uuid = self.job("started")
        worker = self.lock_row(uuid)
        session = self.session()
        session.tick(1000)
        self.assertFalse(session._is_interrupting)
        self.update(uuid, state="cancelled", date_stopped=self.old(0))
        session._stop_some({uuid}, 1001)
        session.tick(1001)
        self.assertEqual(session.wakeup_time(1001), 1002)
        worker.rollback()
        session.tick(1002)
        self.assertFalse(session._is_interrupting)

    def test_backend_ends_after_ten_seconds(self):
        uuid = self.job("cancelled", date_stopped=self.old(11))
        worker = self.lock_row(uuid)
        self.assertEqual(self.database().interrupt_stopped(), 1)
        select.select([worker], [], [], 10)
        with self.assertRaises(psycopg2.OperationalError):
            self.sql("SELECT 1", conn=worker)
        self.assertEqual(self.database().interrupt_stopped(), 0)

    def test_new_run_is_left_alone(self):
        self.lock_row(self.job("started", date_stopped=self.old(11)))
        self.assertEqual(self.database().interrupt_stopped(), 0)
