# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The connection of the runner: made, kept alive, closed whatever happens."""

from contextlib import closing
from datetime import datetime
from unittest.mock import MagicMock, patch

import psycopg2

from odoo.tests import tagged
from odoo.tools import mute_logger

from ..jobrunner import connection, runner
from ..jobrunner.connection import CONNECTION_OPTIONS, MasterElectionLost
from ..jobrunner.database import Database
from .runner_case import RunnerCase


@tagged("post_install", "-at_install")
class TestElection(RunnerCase):
    def test_one_is_elected(self):
        self.database()
        with self.assertRaisesRegex(
            MasterElectionLost,
            f"could not acquire master runner lock on {self.db_name}",
        ):
            Database(self.db_name)

    def test_loser_does_not_end_the_winner(self):
        db = self.database()
        for _ in range(2):
            with self.assertRaises(MasterElectionLost):
                Database(self.db_name)
        db.keep_alive()

    def test_role_ends_with_close(self):
        db = self.database()
        db.close()
        db.close()
        self.assertIsNone(db.conn)
        self.database()

    def test_role_that_ends_late_is_waited_for(self):
        """On a busy machine PostgreSQL hears late that a connection was closed."""
        db = self.database()
        self._db = None
        ending, db.conn = db.conn, None
        looks = iter(range(8))

        def end_at_last(_seconds):
            if next(looks, None) is None:
                ending.close()

        with patch(
            "odoo.addons.queue_job.jobrunner.connection.time.sleep", end_at_last
        ):
            self.database()
        self.assertTrue(ending.closed)

    def test_role_ends_with_the_object(self):
        Database(self.db_name)
        self.database()

    def test_lock_is_the_known_one(self):
        self.database()
        with closing(
            psycopg2.connect(**runner._connection_info_for(self.db_name))
        ) as conn:
            got = self.sql(
                "SELECT pg_try_advisory_lock(2293787760715711918)", conn=conn
            )
            self.assertFalse(got[0][0])
        self.assertEqual(runner.PG_ADVISORY_LOCK_ID, 2293787760715711918)

    def test_connection_names_the_runner(self):
        self.database()
        names = self.sql("SELECT application_name FROM pg_stat_activity")
        self.assertTrue(
            [name for (name,) in names if name.startswith("queue_job runner ")]
        )

    def test_b30_both_ends_ask_whether_the_other_lives(self):
        """Packets are dropped without a word: 45 seconds at most until it is noticed."""
        db = self.database()
        parameters = db.conn.get_dsn_parameters()
        for option, value in CONNECTION_OPTIONS.items():
            self.assertEqual(parameters[option], str(value), option)
        if parameters.get("host", "/").startswith("/"):
            return
        for option, seconds in (("idle", 10), ("interval", 5), ("count", 3)):
            self.assertEqual(db._value(f"SHOW tcp_keepalives_{option}"), str(seconds))
        self.assertEqual(db._value("SHOW tcp_user_timeout"), "20000")

    def test_b30_own_lost_connection_is_ended(self):
        """PostgreSQL believes in the old connection of this runner, and keeps its lock."""
        lost = self.database()
        self._db = None
        lost_backends = {self.db_name: lost.conn.get_backend_pid()}
        with (
            patch(
                "odoo.addons.queue_job.jobrunner.connection._lost_backends",
                lost_backends,
            ),
            self.assertRaises(MasterElectionLost),
        ):
            Database(self.db_name)
        with self.assertRaises(psycopg2.OperationalError):
            lost.keep_alive()
        self.database()


@tagged("post_install", "-at_install")
class TestConnection(RunnerCase):
    def opened(self):
        """Keep the connections that are made from here on."""
        connections = []
        connect = psycopg2.connect

        def kept(**info):
            connections.append(connect(**info))
            return connections[-1]

        patcher = patch.object(connection.psycopg2, "connect", kept)
        patcher.start()
        self.addCleanup(patcher.stop)
        return connections

    def test_every_statement_is_a_transaction(self):
        self.assertTrue(self.database().conn.autocommit)

    def test_failure_in_the_constructor_closes_the_connection(self):
        for step in ("_has_queue_job", "_acquire_master_lock", "_listen"):
            connections = self.opened()
            with (
                self.subTest(step),
                patch.object(Database, step, side_effect=ValueError),
                self.assertRaises(ValueError),
            ):
                Database(self.db_name)
            self.assertTrue(connections[-1].closed)

    def test_loser_closes_its_connection(self):
        self.database()
        connections = self.opened()
        with self.assertRaises(MasterElectionLost):
            Database(self.db_name)
        self.assertTrue(connections[-1].closed)

    def test_database_without_the_addon_is_not_elected(self):
        with patch.object(Database, "_has_queue_job", return_value=False):
            db = Database(self.db_name)
            self.addCleanup(db.close)
        self.assertFalse(db.has_queue_job)
        db.keep_alive()
        self.assertTrue(self.database().has_queue_job)

    def test_close_never_raises(self):
        db = self.database()
        conn, db.conn = db.conn, MagicMock()
        db.conn.close.side_effect = psycopg2.InterfaceError
        db.close()
        self.assertIsNone(db.conn)
        conn.close()

    def test_lost_connection_is_noticed(self):
        db = self.database()
        self.sql("SELECT pg_terminate_backend(%s)", db.conn.get_backend_pid())
        with self.assertRaises(psycopg2.OperationalError):
            db.keep_alive()

    def test_one_after_the_other(self):
        """Nobody closes them: the role ends with the object, in time for the next."""
        for _number in range(5):
            self.assertIn(
                "queue_job", Database(self.db_name)._query_requeue_dead_jobs()
            )
        db = Database(self.db_name)
        self.addCleanup(db.close)
        self.assertTrue(db.has_queue_job)


@tagged("post_install", "-at_install")
class TestSelectJobs(RunnerCase):
    def test_rows_are_the_arguments_of_notify(self):
        one = self.job(priority=1, channel="root.x", date_created=datetime(2020, 1, 1))
        two = self.job("failed", priority=2, channel="root.x")
        condition = "channel = %s ORDER BY priority"
        with self.database().select_jobs(condition, ("root.x",)) as cr:
            rows = cr.fetchall()
        self.assertEqual([row[1] for row in rows], [one, two])
        created = datetime(2020, 1, 1)
        first = ("root.x", one, self.value(one, "id"), created, 1, None, "pending")
        self.assertEqual(rows[0], first)

    def test_marking_one_job(self):
        uuid = self.job()
        self.database().set_job_enqueued(uuid)
        self.assertEqual(self.value(uuid), "enqueued")
        enqueued = self.value(uuid, "date_enqueued")
        self.assertEqual(enqueued.microsecond, 0)
        self.assertLess(abs((datetime.utcnow() - enqueued).total_seconds()), 60)

    @mute_logger("odoo.addons.queue_job.jobrunner.runner")
    def test_sweep_leaves_dates_and_worker_alone(self):
        names = "date_enqueued, date_started, date_done, worker_pid, exc_message"
        uuid = self.job(
            "started",
            date_enqueued=self.old(60),
            date_started=self.old(59),
            worker_pid=7,
        )
        before = self.sql(f"SELECT {names} FROM queue_job WHERE uuid = %s", uuid)
        self.assertIn(uuid, self.database().requeue_dead_jobs())
        after = self.sql(f"SELECT {names} FROM queue_job WHERE uuid = %s", uuid)
        self.assertEqual((self.value(uuid), after), ("pending", before))
