# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One connection per process beside those of the jobs."""

from unittest import mock

from odoo.tests import TransactionCase, tagged

from ..worker import side

LOGGER = "odoo.addons.queue_job.worker.side"
PID = "SELECT pg_backend_pid()"


@tagged("standard", "at_install")
class TestSideConnection(TransactionCase):
    def setUp(self):
        super().setUp()
        self.side = side.SideConnection()
        self.addCleanup(self.side.close)
        self.db_name = self.env.cr.dbname

    def query(self, statement, values=None):
        return self.side.query(self.db_name, statement, values)

    def setting(self, name):
        return self.query("SELECT current_setting(%s)", [name])[0][0]

    def test_each_statement_is_a_transaction_that_waits_for_nothing(self):
        (first,), (second,) = (self.query("SELECT pg_current_xact_id()") for _ in "ab")
        self.assertNotEqual(first, second)
        self.assertEqual(self.query(PID), self.query(PID))
        self.assertEqual(self.setting("synchronous_commit"), "off")
        self.assertEqual(self.setting("lock_timeout"), "1s")

    def test_statement_without_rows(self):
        self.assertEqual(self.query("SET search_path = public"), [])

    def test_lost_connection_is_opened_again(self):
        ((pid,),) = self.query(PID)
        self.env.cr.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        self.assertNotEqual(self.query(PID), [(pid,)])

    def test_error_is_logged_once_and_not_raised(self):
        with self.assertLogs(LOGGER, "WARNING") as log:
            self.assertIsNone(self.query("SELECT nothing"))
            self.assertIsNone(self.query("SELECT nothing"))
        self.assertEqual(len(log.output), 1)
        self.assertIn("progress is not shown", log.output[0])
        self.assertEqual(self.query("SELECT 1"), [(1,)])

    def test_another_database(self):
        (before,) = self.query(PID)
        self.assertEqual(
            self.side.query("postgres", "SELECT current_database()"), [("postgres",)]
        )
        self.assertNotEqual(self.query(PID), [before])

    def test_last_statement_of_a_key_counts(self):
        with mock.patch.object(self.side, "_start"):
            for number in range(3):
                self.side.post("a", self.db_name, "SELECT %s", [number])
            self.side.post("b", self.db_name, "SELECT %s", [7])
        with mock.patch.object(self.side, "query") as query:
            self.side.flush()
        self.assertEqual([call.args[2] for call in query.mock_calls], [[2], [7]])

    def test_posted_statement_is_sent_and_idle_connection_closed(self):
        self.side = side.SideConnection(idle=0)
        with mock.patch.object(
            self.side, "_execute", wraps=self.side._execute
        ) as execute:
            self.side.post("a", self.db_name, "SELECT %s", [1])
            if thread := self.side._thread:
                thread.join(20)
        self.assertEqual([call.args[2] for call in execute.mock_calls], [[1]])
        self.assertIsNone(self.side._thread)
        self.assertIsNone(self.side._connection)

    def test_each_process_has_its_own(self):
        own = side.side_connection()
        self.assertIs(side.side_connection(), own)
        with mock.patch("os.getpid", return_value=-1):
            self.addCleanup(side._of_process.pop, -1)
            self.assertIsNot(side.side_connection(), own)
