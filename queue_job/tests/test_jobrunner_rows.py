# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""No row ends the session of a database: it is set aside, and all others go on."""

import time
import unittest
from contextlib import suppress

import psycopg2

from odoo.tests import tagged
from odoo.tools import mute_logger

from ..channels.settings import ChannelRecord, usable_records
from ..protocol import HELD, LONGEST_UUID
from ..sql import statements
from .runner_case import SessionCase

try:
    from hypothesis import HealthCheck, given, settings

    from .odd_rows import odd_rows
except ImportError:
    given = None

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


@tagged("post_install", "-at_install")
class TestRows(SessionCase):
    def check(self, **columns):
        """Store a job with odd columns and a healthy one: only the healthy one is sent."""
        odd, healthy = self.job(priority=1, **columns), self.job(priority=2)
        with self.assertLogs(RUNNER_LOGGER, "ERROR") as logs:
            session = self.session()
            self.tell(session, odd, healthy)
            session.load(1000)
            runs = self.dispatch(session)
        self.assertEqual(runs, [[healthy]])
        self.assertEqual(len(logs.output), 1, logs.output)
        self.assertIn("set aside", logs.output[0])
        self.assertEqual(
            (self.value(odd), self.value(odd, "exc_name")), ("failed", "UnusableJob")
        )
        self.assertIn(self.value(odd, "exc_message"), logs.output[0])

    def test_a4_channel_of_many_levels(self):
        """Its 1,200 levels were a RecursionError every five seconds, for ever."""
        self.check(channel="root" + ".a" * 1200)

    def test_a4_name_of_a_channel_without_end(self):
        self.check(channel="root." + "ab" * 600)

    def test_a4_dates_that_python_does_not_have(self):
        for date in ("infinity", "-infinity", "10000-01-01", "4713-01-01 BC"):
            with self.subTest(date):
                self.check(date_created=date)

    def test_b3_uuid_that_no_request_carries(self):
        for uuid in ("", "a" * (LONGEST_UUID + 1)):
            with self.subTest(uuid):
                self.check(uuid=uuid)

    def test_b3_any_other_uuid_is_sent(self):
        uuids = ["a" * 65, "a" * LONGEST_UUID, "a,b", "a b", "ü%2C", "&=?#"]
        for number, uuid in enumerate(uuids):
            self.job(uuid=uuid, priority=number)
        session = self.session("root:1")
        self.teach(session)
        sent = []
        while runs := self.dispatch(session):
            for request, run in zip(self.sent[-len(runs) :], runs, strict=True):
                sent += run
                self.sql(
                    "UPDATE queue_job SET state = 'done' WHERE uuid = ANY(%s)", run
                )
                self.answer(session, request, *((uuid, "done") for uuid in run))
        self.assertEqual(sent, uuids)

    def test_a4_row_that_the_channels_cannot_place_for_whatever_reason(self):
        odd, healthy = self.job(priority=1), self.job(priority=2)
        session = self.session()
        place = session.tree.place

        def failing(db_name, channel, uuid, *args):
            if uuid == odd:
                raise ArithmeticError("odd")
            return place(db_name, channel, uuid, *args)

        session.tree.remove_job(odd, self.db_name)
        session.tree.place = failing
        with self.assertLogs(RUNNER_LOGGER, "ERROR") as logs:
            for now in (1000, 1060, 1200):
                session.load(now)
        self.assertEqual(self.dispatch(session), [[healthy]])
        self.assertEqual(len(logs.output), 1)
        # What is not understood is left as it is.
        self.assertEqual(self.value(odd), "pending")

    def test_a4_many_rows_of_dates_that_python_does_not_have(self):
        """More than are read at once, and all of them locked."""
        self.sql(
            """INSERT INTO queue_job (uuid, state, priority, channel, date_created)
               SELECT 'a4-' || n, 'pending', 10, 'root', 'infinity'
               FROM generate_series(1, 1200) n"""
        )
        self.addCleanup(self.sql, "DELETE FROM queue_job WHERE uuid LIKE 'a4-%'")
        holder = self.connect()
        holder.autocommit = False
        self.sql("SELECT FROM queue_job WHERE uuid LIKE 'a4-%' FOR UPDATE", conn=holder)
        with mute_logger(RUNNER_LOGGER):
            session = self.session()
            self.assertEqual(self.dispatch(session), [])

    def test_a4_tries_without_end(self):
        uuid = self.job("started", retry=2**31 - 1, date_enqueued=self.old(60))
        with mute_logger(RUNNER_LOGGER):
            self.database().requeue_dead_jobs()
        self.assertEqual(self.value(uuid), "pending")

    def test_a4_records_of_channels(self):
        records = [
            ChannelRecord("root" + ".a" * 1200, 1),
            ChannelRecord("root.nan", 1, throttle=float("nan")),
            ChannelRecord("root.inf", 1, throttle=float("inf")),
            ChannelRecord(None),
            ChannelRecord("root.good", 1, throttle=0.5),
        ]
        usable = usable_records(records)
        self.assertEqual(
            [(record.complete_name, record.throttle) for record in usable],
            [("root.nan", None), ("root.inf", None), (None, None), ("root.good", 0.5)],
        )
        session = self.session()
        session.tree.apply(usable)
        self.assertIsNone(session.best(1000))


@tagged("post_install", "-at_install")
@unittest.skipUnless(given, "the package hypothesis is not installed")
class TestOddRows(SessionCase):
    def test_a4_no_row_ends_a_session(self):
        """Whatever stands in the columns that the scheduler reads."""

        @settings(
            max_examples=80,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(odd_rows())
        def check(columns):
            self.check(columns)

        with mute_logger(RUNNER_LOGGER):
            check()

    def check(self, columns):
        odd = None
        # PostgreSQL refuses some of them: those cannot be there.
        with suppress(psycopg2.Error):
            odd = self.job(**columns)
        healthy = self.job(priority=2**31 - 1, channel="root.healthy")
        now = time.time()
        session = self.session("root:9", now=now, begin=True)
        session.tick(now)
        session.tick(now + 3)
        session.apply_answers(now)
        self.tell(session, healthy, *filter(None, (odd,)))
        session.sweep(now)
        session.db.release_behind(self.mine)
        session.db.free_locks_of_begun(self.mine)
        runs = self.dispatch(session, now)
        self.assertIn([healthy], runs, columns)
        for request in self.sent:
            if request.bundle is not None:
                self.answer(session, request, *((uuid, HELD) for uuid in request.uuids))
        session.requeue_unstarted()
        session.wakeup_time(now)
        session.forget_jobs()
        self.sql("DELETE FROM queue_job WHERE uuid = ANY(%s)", list(self.mine))
        self.mine.clear()

    def test_columns_that_are_read_are_generated(self):
        """A column that the scheduler comes to read belongs into ``odd_rows``."""
        from .odd_rows import COLUMNS

        read = [
            *("channel", "uuid", "date_created", "priority", "eta", "state"),
            *("channel_method_name", "model_name", "method_name"),
        ]
        for name in read:
            self.assertIn(name, statements.prepare)
            self.assertIn(name, COLUMNS)
