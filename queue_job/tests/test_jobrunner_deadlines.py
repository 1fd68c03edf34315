# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import os
import select
import socket
import threading
import time
from contextlib import closing
from unittest.mock import patch

import psycopg2

from odoo.tests import BaseCase, tagged
from odoo.tools import mute_logger

from ..jobrunner import connection, deadlines, runner, session
from ..jobrunner.config import connection_info_for
from ..jobrunner.connection import MasterElectionLost
from ..jobrunner.database import Database
from ..jobrunner.deadlines import Deadlines, SilentError, within
from .fake_odoo import LoopBesideFakeOdoo
from .runner_case import RunnerCase

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"
# Seconds: longer than any of these tests takes.
LONGEST_HOLD = 40


class Relay:
    """Stands between a client and PostgreSQL, and can stop to pass anything on.

    All sockets stay open meanwhile and whatever comes is acknowledged, as by a
    tunnel whose other end is gone: the network of both sides is well.
    """

    def __init__(self, conn):
        """:param conn: a connection to the PostgreSQL to stand before"""
        self._target = conn.get_dsn_parameters().get("host", ""), conn.info.port
        self._flows = threading.Event()
        self._flows.set()
        self._sockets = []
        self._release = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self):
        self._flows.clear()
        # A client that waits for ever shall fail its test, not stop all.
        self._release = threading.Timer(LONGEST_HOLD, self.resume)
        self._release.daemon = True
        self._release.start()

    def resume(self):
        if self._release is not None:
            self._release.cancel()
        self._flows.set()

    def close(self):
        self.resume()
        for each in (self._listener, *self._sockets):
            each.close()

    def _connect(self):
        host, port = self._target
        if host and not host.startswith("/"):
            return socket.create_connection((host, port))
        folder = host or "/var/run/postgresql"
        path = os.path.join(folder, f".s.PGSQL.{port}")
        server = socket.socket(socket.AF_UNIX)
        server.connect(path)
        return server

    def _accept(self):
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            server = self._connect()
            self._sockets += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source, target):
        try:
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
            self._flows.wait()
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return


class RelayCase(RunnerCase):
    def setUp(self):
        super().setUp()
        self.relay = Relay(self.conn)
        self.addCleanup(self.relay.close)

    def through_relay(self, db_name):
        info = dict(connection_info_for(db_name))
        return {**info, "host": "127.0.0.1", "port": self.relay.port}


@tagged("post_install", "-at_install")
class TestDeadlines(RelayCase):
    def asynchronous(self, info):
        conn = psycopg2.connect(**info, async_=True)
        self.addCleanup(conn.close)
        Deadlines().wait(conn, 20)
        return conn

    def direct(self):
        return self.asynchronous(connection_info_for(self.db_name))

    def ask(self, conn, seconds, statement="SELECT 1", using=None):
        with closing(conn.cursor()) as cr:
            cr.execute(statement)
            (using or Deadlines()).wait(conn, seconds)
            return cr.fetchall()

    def test_b30_answer_that_does_not_come_ends_the_connection(self):
        conn = self.asynchronous(self.through_relay(self.db_name))
        self.assertEqual(self.ask(conn, 20), [(1,)])
        self.relay.hold()
        began = time.monotonic()
        with self.assertRaisesRegex(
            SilentError, "no reply from PostgreSQL within 0.2 s"
        ):
            self.ask(conn, 0.2)
        self.assertLess(time.monotonic() - began, 10)
        self.relay.resume()
        with self.assertRaises(psycopg2.Error):
            self.ask(conn, 20)

    def test_connecting_has_a_deadline(self):
        self.relay.hold()
        conn = psycopg2.connect(**self.through_relay(self.db_name), async_=True)
        with self.assertRaises(SilentError):
            Deadlines().wait(conn, 0.2)
        self.assertTrue(conn.closed)

    def test_error_in_time_is_its_own(self):
        conn = self.direct()
        with self.assertRaises(psycopg2.errors.DivisionByZero):
            self.ask(conn, 20, "SELECT 1 / 0")
        self.assertEqual(self.ask(conn, 20), [(1,)])

    def test_reply_larger_than_a_buffer_is_complete(self):
        rows = self.ask(
            self.direct(), 20, "SELECT repeat('x', 1000) FROM generate_series(1, 9999)"
        )
        self.assertEqual(len(rows), 9999)

    def test_statement_larger_than_a_buffer_is_sent(self):
        """The socket takes part of it: the rest goes when the server has read that."""
        (row,) = self.ask(self.direct(), 20, "SELECT length('%s')" % ("x" * 20_000_000))
        self.assertEqual(row, (20_000_000,))

    def test_wait_after_a_silent_connection_is_short(self):
        mine = Deadlines()
        one, two = (
            self.asynchronous(self.through_relay(self.db_name)) for _number in range(2)
        )
        self.relay.hold()
        with self.assertRaises(SilentError):
            self.ask(one, 0.1, using=mine)
        began = time.monotonic()
        with patch.object(deadlines, "HURRY", 0.1), self.assertRaises(SilentError):
            self.ask(two, 60, using=mine)
        self.assertLess(time.monotonic() - began, 10)
        with patch.object(deadlines, "HURRY", 20):
            self.assertEqual(self.ask(self.direct(), 60, using=mine), [(1,)])
        three = self.direct()
        with patch.object(deadlines, "HURRY", 0):
            self.assertEqual(self.ask(three, 60, using=mine), [(1,)])

    def test_second_host_is_asked_when_the_first_is_silent(self):
        """An asynchronous libpq would wait for the first one for ever."""
        info = connection_info_for(self.db_name)
        host, port = self.conn.info.host, self.conn.info.port
        both = {
            **info,
            "host": f"127.0.0.1,{host}",
            "port": f"{self.relay.port},{port}",
        }
        self.relay.hold()
        options = {**connection.CONNECTION_OPTIONS, "connect_timeout": 1}
        with (
            patch.object(connection, "CONNECTION_OPTIONS", options),
            patch.object(connection, "_connection_info_for", lambda _name: both),
        ):
            self.assertEqual(self.database()._value("SELECT 1"), 1)


class TestWithin(BaseCase):
    def test_result_and_error_are_passed_on(self):
        self.assertEqual(within(20, max, 1, 2), 2)
        with self.assertRaises(ZeroDivisionError):
            within(20, divmod, 1, 0)

    def test_b30_call_that_hangs_is_left_alone(self):
        """The list of databases comes over a connection without any limit of time."""
        hangs = threading.Event()
        self.addCleanup(hangs.set)
        with patch.object(deadlines, "_overdue", set()) as overdue:
            for _ in range(deadlines.MAX_OVERDUE):
                with self.assertRaisesRegex(TimeoutError, "no answer for 0.01"):
                    within(0.01, hangs.wait, 20)
            with self.assertRaisesRegex(TimeoutError, "have not been answered"):
                within(20, max, 1, 2)
            hangs.set()
            for thread in list(overdue):
                thread.join(10)
            self.assertEqual(within(20, max, 1, 2), 2)


@tagged("post_install", "-at_install")
class TestSilence(LoopBesideFakeOdoo, RelayCase):
    """A whole runner whose connection to PostgreSQL falls silent."""

    def setUp(self):
        super().setUp()
        # Two seconds to connect is the least that libpq knows.
        options = {**connection.CONNECTION_OPTIONS, "connect_timeout": 2}
        for module, name, value in (
            (session, "BEAT_EVERY", 0.2),
            (connection, "BEAT_PATIENCE", 0.5),
            (connection, "CONNECTION_OPTIONS", options),
            (runner, "ERROR_RECOVERY_DELAY", 0.2),
        ):
            self.startPatcher(patch.object(module, name, value))

    def start(self, runner=None):
        """Start a runner that reaches PostgreSQL through the relay."""
        self.startPatcher(
            patch.object(connection, "_connection_info_for", self.through_relay)
        )
        thread = super().start(runner)
        self.addCleanup(self.relay.resume)
        return thread

    def test_b30_silence_is_noticed_told_once_and_mended(self):
        self.start()
        tries = []
        begin = self.runner._connector.begin
        self.runner._connector.begin = lambda name: (tries.append(name), begin(name))
        with self.assertLogs(RUNNER_LOGGER, "ERROR") as logs:
            self.relay.hold()
            uuid = self.job()
            self.wait_for_rounds(lambda: len(tries) > 2)
        self.assertEqual(self.runner.db_by_name, {})
        self.assertEqual(self.odoo.asked, [])
        said = [record.getMessage() for record in logs.records]
        self.assertEqual(
            said[0],
            f"db {self.db_name}: no reply from PostgreSQL within 0.5 s, connection closed",
        )
        # And that it cannot connect, once, whatever how often it tries.
        self.assertEqual(len(said), 2, said)
        self.relay.resume()
        self.assertTrue(self.odoo.came.acquire(timeout=20))
        self.assertIn(uuid, self.odoo.asked[-1][0])

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_b30_other_runner_takes_over_from_a_silent_one(self):
        """PostgreSQL hears nothing of the first any more, and no connection ends."""
        if self.conn.server_version < 140000:
            self.skipTest("PostgreSQL 13 has no idle_session_timeout")
        with patch.object(connection, "IDLE_LIMIT", "1s"):
            self.start()
        first = self.runner.db_by_name[self.db_name]
        self.relay.hold()
        self.wait_for_rounds(lambda: not self.runner.db_by_name)
        self.assertIsNone(first.conn)
        uuid = self.job()
        with patch.object(connection, "_connection_info_for", connection_info_for):
            second = self.take_over()
            uuids = [row.uuid for row in second.candidates(["root"], 100)]
        self.assertIn(uuid, uuids)

    def take_over(self):
        """Return the database of another runner, elected within twenty seconds."""
        deadline = time.monotonic() + 20
        while True:
            try:
                with patch.object(connection, "_lost_backends", {}):
                    other = Database(self.db_name)
            except MasterElectionLost:
                self.assertLess(time.monotonic(), deadline)
                select.select([], [], [], 0.1)
            else:
                self.addCleanup(other.close)
                return other

    def test_b30_session_that_gives_no_sign_of_life_is_ended(self):
        """A runner whose process is frozen: its kernel keeps the connection."""
        if self.conn.server_version < 140000:
            self.skipTest("PostgreSQL 13 has no idle_session_timeout")
        self.assertEqual(
            self.database()._value("SHOW idle_session_timeout"), connection.IDLE_LIMIT
        )
        self._db.close()
        with patch.object(connection, "IDLE_LIMIT", "1s"):
            frozen = self.database()
        ended, _w, _x = select.select([frozen.conn], [], [], 20)
        self.assertTrue(ended)
        self.take_over()
        with self.assertRaises(psycopg2.Error):
            frozen.keep_alive()
