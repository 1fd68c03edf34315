# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A job that breaks its requests waits, and all others run."""

import time
from datetime import datetime
from unittest.mock import patch

from odoo.tests import tagged
from odoo.tools import mute_logger

from ..jobrunner.dispatch import ANSWERED, BROKEN, GATEWAY, UNREACHABLE
from ..jobrunner.liveness import CHECK_INTERVAL
from ..protocol import DONE
from .runner_case import SessionCase

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


@tagged("post_install", "-at_install")
class TestSuspects(SessionCase):
    def break_request(self, session, request, kind=BROKEN, now=1001.0, status=None):
        with mute_logger(RUNNER_LOGGER):
            self.answer(
                session, request, now=now, kind=kind, status=status, error=OSError(kind)
            )

    def wait_of(self, uuid):
        """Return the seconds until a job may start by its eta."""
        return (self.value(uuid, "eta") - datetime.utcnow()).total_seconds()

    def test_a5_deaths_of_workers_do_not_close_the_database(self):
        """Ten jobs that kill their worker kept twenty healthy ones of another channel
        from running: each death counted as a failure of the way to the workers."""
        killers = [self.job(priority=1, channel="root.k") for _number in range(10)]
        session = self.session("root:1")
        now = 1000.0
        for uuid in killers:
            now += 0.1
            self.assertEqual(self.dispatch(session, now), [[uuid]])
            self.update(uuid, state="started")
            self.break_request(session, self.sent[-1], now=now)
            now += CHECK_INTERVAL
            with mute_logger(RUNNER_LOGGER):
                session.tick(now)
            self.assertEqual(self.value(uuid, "retry"), 1)
            self.assertGreater(self.wait_of(uuid), 3)
            self.assertEqual(session.backoff.failures, 0)
        healthy = self.job(priority=50, channel="root.h")
        self.tell(session, healthy)
        self.assertEqual(self.dispatch(session, now), [[healthy]])

    @mute_logger(RUNNER_LOGGER)
    def test_a5_each_death_of_a_job_makes_it_wait_longer(self):
        uuid = self.job("started", max_retries=0)
        db = self.database()
        waits = []
        for _number in range(3):
            self.update(uuid, state="started", eta=None)
            db.recover([uuid])
            waits.append(round(self.wait_of(uuid)))
        self.assertEqual(waits, [5, 20, 45])

    @mute_logger(RUNNER_LOGGER)
    def test_a5_job_that_was_sent_only_does_not_wait(self):
        uuid = self.job("enqueued", date_enqueued=self.old(60))
        self.database().requeue_dead_jobs()
        self.assertEqual((self.value(uuid), self.value(uuid, "eta")), ("pending", None))

    def check_others_run(self, **failure):
        """Let a job break each request before it is begun: the others are done."""
        poison = self.job(priority=1)
        healthy = [self.job(priority=2 + number) for number in range(20)]
        session = self.session("root:1")
        self.teach(session)
        now, done, tries = 1000.0, [], 0
        while len(done) < len(healthy) and now < 1005:
            now += 0.05
            session.tick(now)
            session.apply_answers(now)
            for uuids in self.dispatch(session, now):
                if poison in uuids:
                    tries += 1
                    self.break_request(session, self.sent[-1], now=now, **failure)
                    continue
                done += uuids
                for uuid in uuids:
                    self.update(uuid, state="done")
                self.answer(
                    session, self.sent[-1], *((uuid, DONE) for uuid in uuids), now=now
                )
        self.assertEqual(sorted(done), sorted(healthy))
        self.assertLess(tries, 5)
        self.assertEqual(self.value(poison), "pending")
        return session, poison, now

    def test_a5_job_that_a_worker_cannot_load_keeps_no_other(self):
        """The server answers 500 for it, again and again, and well for the others."""
        session, poison, now = self.check_others_run(kind=ANSWERED, status=500)
        session.tick(now + 600)
        self.assertEqual(self.dispatch(session, now + 600), [[poison]])

    def test_a5_job_that_kills_its_worker_before_it_is_begun_keeps_no_other(self):
        self.check_others_run(kind=BROKEN)

    def test_a5_suspect_travels_alone(self):
        suspect, other = self.job(priority=1), self.job(priority=2)
        session = self.session("root:1")
        self.teach(session)
        self.dispatch(session)
        self.update(suspect, state="started")
        self.break_request(session, self.sent[-1])
        now = time.time() + 600
        with mute_logger(RUNNER_LOGGER):
            session.tick(now)
        self.assertEqual(self.dispatch(session, now), [[suspect]])
        self.update(suspect, state="done")
        self.answer(session, self.sent[-1], (suspect, DONE), now=now)
        self.assertEqual(self.dispatch(session, now), [[other]])
        self.assertEqual(session._suspects, {})

    def test_a5_server_that_is_not_reached_makes_no_job_suspect(self):
        uuid = self.job()
        session = self.session()
        now = 1000.0
        for kind, status in (
            (UNREACHABLE, None),
            (GATEWAY, 502),
            (ANSWERED, 404),
            (ANSWERED, 401),
        ):
            self.assertEqual(self.dispatch(session, now), [[uuid]])
            self.break_request(session, self.sent[-1], kind, now, status)
            now = max(now, session.backoff.until)
        self.assertEqual(session._suspects, {})

    def test_a5_suspect_that_is_told_of_goes_on_waiting(self):
        uuid = self.job()
        session = self.session()
        self.dispatch(session)
        self.break_request(session, self.sent[-1], ANSWERED, status=500)
        with patch.object(session.backoff, "until", 0):
            self.tell(session, uuid)
            session.load(1001.5)
            self.assertEqual(self.dispatch(session, 1001.5), [])
            session.tick(1010)
            self.assertEqual(self.dispatch(session, 1010), [[uuid]])
