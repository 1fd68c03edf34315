# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the runner counts, and the page of it."""

import time
from types import SimpleNamespace
from unittest.mock import patch

import psycopg2

from odoo.tests import BaseCase, tagged

from ..channels import DatabaseTree
from ..jobrunner.channels import ChannelManager
from ..jobrunner.config import connection_info_for
from ..jobrunner.connection import Connection
from ..jobrunner.metrics import FunctionHistograms, Metrics
from ..jobrunner.metrics_page import SILENCE, Pages
from ..jobrunner.pending_window import PendingJobs
from ..protocol import DONE, FAILED, HELD, POSTPONED
from .runner_case import SessionCase
from .test_exposition import openmetrics, parsed

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


def fake_runner(**attributes):
    """Return what :class:`Pages` asks of a runner."""
    return SimpleNamespace(
        **{
            "sessions": {},
            "troubles": {},
            "metrics": Metrics(),
            "open_requests": 0,
            "is_ready": True,
            **attributes,
        }
    )


class TestFunctions(BaseCase):
    def test_functions_beyond_the_limit_are_other(self):
        histograms = FunctionHistograms(limit=2)
        for number in range(5):
            histograms.observe("db", f"<m>.f{number}", 1.0)
        histograms.observe("db", None, 1.0)
        counts = {
            labels["function"]: sum(histogram.counts)
            for labels, histogram in histograms.samples()
        }
        self.assertEqual(counts, {"<m>.f0": 1, "<m>.f1": 1, "other": 4})

    def test_database_that_is_gone_makes_room(self):
        histograms = FunctionHistograms(limit=1)
        histograms.observe("gone", "<m>.f", 1.0)
        histograms.forget("gone")
        histograms.observe("db", "<m>.f", 1.0)
        self.assertEqual(
            [labels for labels, _histogram in histograms.samples()],
            [{"database": "db", "function": "<m>.f"}],
        )


class TestHealth(BaseCase):
    def pages(self, silence=0, **attributes):
        db = SimpleNamespace(heard_at=time.monotonic() - silence)
        sessions = {"shop": SimpleNamespace(db=db)}
        return Pages(fake_runner(sessions=sessions, **attributes))

    def test_elected_database_that_answers_is_healthy(self):
        status, kind, text = self.pages().get("/health")
        self.assertEqual((status, kind), (200, "application/json"))
        self.assertIn('"ok"', text)

    def test_silent_database_is_named(self):
        status, _kind, text = self.pages(silence=SILENCE + 1).get("/health")
        self.assertEqual(status, 503)
        self.assertIn('"shop": "no reply from PostgreSQL for 31 s"', text)

    def test_database_that_cannot_be_opened_is_named(self):
        pages = self.pages(troubles={"web": "connection refused"})
        status, _kind, text = pages.get("/health")
        self.assertEqual(status, 503)
        self.assertIn('"web": "connection refused"', text)

    def test_ready_and_other_paths(self):
        self.assertEqual(self.pages().get("/ready")[0], 200)
        self.assertEqual(self.pages(is_ready=False).get("/ready")[0], 503)
        self.assertEqual(self.pages().get("/")[0], 404)


@tagged("post_install", "-at_install")
class TestPage(SessionCase):
    def page(self, session, now=1000.0, is_openmetrics=False):
        """Return ``{(sample, labels): value}`` of what a runner of this session serves."""
        if openmetrics is None:
            self.skipTest("prometheus-client is not installed")
        runner = fake_runner(
            sessions={self.db_name: session}, metrics=session.metrics._owner
        )
        with patch.object(Connection, "_send", side_effect=AssertionError):
            text = Pages(runner).metrics(now, is_openmetrics)
        return parsed(text, is_openmetrics)

    def of(self, page, name, channel="root.m", **labels):
        labels = {"database": self.db_name, **labels}
        if channel:
            labels["channel"] = channel
        return page.get((name, *sorted(labels.items())))

    def test_channel_at_work(self):
        now = time.time()
        for seconds in (90, 30):
            self.job(channel="root.m", date_created=self.old(seconds))
        self.job(channel="root.m", eta=self.old(-600), date_created=self.old(900))
        session = self.session("root:9,m:1", now=now)
        self.assertEqual(len(self.dispatch(session, now)), 1)
        page = self.page(session, now)
        self.assertEqual(self.of(page, "queue_job_capacity"), 1)
        self.assertEqual(self.of(page, "queue_job_running"), 1)
        self.assertEqual(self.of(page, "queue_job_waiting"), 1)
        self.assertAlmostEqual(
            self.of(page, "queue_job_oldest_ready_seconds"), 30, delta=2
        )
        self.assertEqual(self.of(page, "queue_job_paused"), 0)
        waits = self.of(
            page, "queue_job_wait_seconds_sum", channel=None, function="<test>.short"
        )
        self.assertAlmostEqual(waits, 90, delta=2)

    def test_outcomes_are_counted_with_the_answer(self):
        uuids = [self.job(channel="root.m") for _number in range(4)]
        session = self.session("root:9,m:4")
        self.dispatch(session)
        for request, outcome in zip(
            self.sent, (DONE, FAILED, POSTPONED, HELD), strict=True
        ):
            self.answer(session, request, (request.uuids[0], outcome, 0.25))
        self.assertEqual(len(self.sent), len(uuids))
        page = self.page(session, is_openmetrics=True)
        for event, count in (
            ("started", 3),
            ("done", 1),
            ("failed", 1),
            ("postponed", 1),
        ):
            with self.subTest(event):
                self.assertEqual(self.of(page, f"queue_job_{event}_total"), count)
        self.assertEqual(
            self.of(page, "queue_job_requests_total", channel=None, outcome="ok"), 4
        )
        durations = {"channel": None, "function": "<test>.short"}
        self.assertEqual(
            self.of(page, "queue_job_duration_seconds_count", **durations), 3
        )
        self.assertEqual(
            self.of(page, "queue_job_duration_seconds_sum", **durations), 0.75
        )

    def test_dead_jobs_are_counted(self):
        self.job("started", date_enqueued=self.old(60), date_started=self.old(60))
        session = self.session()
        with self.assertLogs(level="WARNING"):
            session.sweep(1000)
            # One check proves no death.
            session.sweep(1002)
        page = self.page(session)
        self.assertGreaterEqual(self.of(page, "queue_job_dead_total", channel=None), 1)

    def test_failed_job_blocks_a_sequential_channel(self):
        self.job("failed", channel="root.m")
        session = self.session("root:9,m:1:sequential")
        page = self.page(session)
        self.assertEqual(self.of(page, "queue_job_failed_blocking"), 1)

    def test_series_of_a_channel_that_is_gone_end(self):
        uuid = self.job(channel="root.m")
        session = self.session()
        self.dispatch(session)
        self.update(uuid, state="done")
        self.answer(session, self.sent[0], (uuid, DONE))
        self.assertEqual(self.of(self.page(session), "queue_job_done_total"), 1)
        session.load(1000)
        page = self.page(session)
        self.assertEqual([key for key in page if ("channel", "root.m") in key], [])

    def test_waiting_jobs_beyond_memory_are_counted_by_the_clock(self):
        with patch("odoo.addons.queue_job.jobrunner.tracker.PendingJobs") as pending:
            pending.side_effect = lambda *args: PendingJobs(*args, limit=2)
            for number in range(7):
                self.job(
                    channel="root.m", priority=number, date_created=self.old(number)
                )
            now = time.time()
            session = self.session(now=now)
        self.assertEqual(self.of(self.page(session, now), "queue_job_waiting"), 2)
        session.tick(now)
        self.assertEqual(session.snapshot, None)
        session.metrics._owner.is_served = True
        session.tick(now)
        page = self.page(session, now)
        self.assertEqual(self.of(page, "queue_job_waiting"), 7)
        self.assertAlmostEqual(
            self.of(page, "queue_job_oldest_ready_seconds"), 6, delta=2
        )

    def test_missed_objective(self):
        now = time.time()
        self.job(channel="root.m.sub", date_created=self.old(90))
        session = self.session(now=now)
        for seconds, missed in ((60, 1), (600, 0)):
            session.objectives = {"root.m": seconds}
            page = self.page(session, now)
            self.assertEqual(self.of(page, "queue_job_objective_seconds"), seconds)
            self.assertEqual(self.of(page, "queue_job_objective_missed"), missed)
        self.assertEqual(session.db.objectives().get("root.m"), None)

    def test_oldest_snapshot_names_its_job(self):
        uuid = self.job("started", date_enqueued=self.old(1))
        self.lock_row(uuid).rollback()
        session = self.session()
        worker = psycopg2.connect(**connection_info_for(self.db_name))
        self.addCleanup(worker.close)
        worker.set_session(isolation_level="REPEATABLE READ")
        self.sql(
            "SELECT FROM queue_job_lock WHERE id = %s FOR NO KEY UPDATE",
            self.value(uuid, "id"),
            conn=worker,
        )
        session.metrics._owner.is_served = True
        session.tick(time.time())
        self.assertEqual(
            (session.snapshot.pid, session.snapshot.job),
            (worker.info.backend_pid, uuid),
        )
        page = self.page(session, time.time() + 100)
        age = self.of(page, "queue_job_oldest_snapshot_seconds", channel=None)
        self.assertAlmostEqual(age, 100, delta=10)


class TestScrapeTime(BaseCase):
    def test_full_page_takes_little_time(self):
        """200 functions and 50 channels of 1,000 jobs in memory: what a server has at most.

        The acceptance is 20 ms on an idle machine; a busy one gets ten times that.
        """
        manager = ChannelManager()
        manager.simple_configure("root:9")
        tree = DatabaseTree(manager, {})
        now = time.time()
        for number in range(20_000):
            job = tree.place(
                *("db", f"root.c{number % 50}", str(number), number, None, 10, None),
                "pending",
            )
            job.ready_at = now
        session = SimpleNamespace(
            tree=tree,
            snapshot=None,
            objectives={},
            channel_figures=lambda now: [
                (channel, channel.figures(now)) for channel in tree.channels()
            ],
        )
        metrics = Metrics()
        for number in range(200):
            metrics.waits.observe("db", f"<m>.f{number}", 1.0)
            metrics.durations.observe("db", f"<m>.f{number}", 1.0)
        pages = Pages(fake_runner(sessions={"db": session}, metrics=metrics))
        times = []
        for _number in range(5):
            began = time.process_time()
            pages.metrics(now)
            times.append(time.process_time() - began)
        self.assertLess(min(times), 0.2)
