# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Jobs that end the transaction of their worker by SQL or on the connection."""

from unittest import mock

from odoo.tests import tagged
from odoo.tools import mute_logger

from .common import CONTROLLER_LOGGER, Unheard
from .test_runs import RunCase

ENDS = (
    ("COMMIT",),
    ("ROLLBACK",),
    ("COMMIT", "BEGIN"),
    ("COMMIT AND CHAIN",),
    ("ROLLBACK AND CHAIN",),
    ("END; BEGIN ISOLATION LEVEL REPEATABLE READ",),
)


class BrokenCase(RunCase):
    def setUp(self):
        super().setUp()
        self.enterContext(mute_logger(CONTROLLER_LOGGER, "odoo.sql_db"))

    def perform_broken(self, end, after=None):
        """Perform a job that ends its transaction between two others."""

        def broken(records, value):
            records.name = "before"
            records.env.flush_all()
            end(records.env.cr)
            records.env.cr.execute("SELECT 1")
            if after:
                after(records)

        uuids = self.delay_many(
            ("testing_method",), ("return_value", 1), ("without_docstring",)
        )
        with mock.patch.object(self.model_class, "return_value", broken):
            self.perform(uuids)
        return uuids

    def assert_broken_alone(self, uuids):
        self.assertEqual(self.states(uuids), ["done", "failed", "done"])
        row = self.columns(uuids[1], "exc_message", "retry", "exc_info")
        self.assertIn("ended the transaction", row["exc_message"])
        self.assertEqual(row["retry"], 1)
        for uuid in (uuids[0], uuids[2]):
            self.assertEqual(self.columns(uuid, "retry"), {"retry": 1})
        return row["exc_info"]


@tagged("post_install", "-at_install")
class TestBrokenTransactions(BrokenCase):
    def test_b07_commit_by_sql_fails_the_job_with_a_sentence(self):
        """The savepoint of its work was gone, and with it the lock: two runs at once."""
        for statements in ENDS:
            with self.subTest(statements):

                def end(cr, statements=statements):
                    for statement in statements:
                        cr.execute(statement)

                self.assert_broken_alone(self.perform_broken(end))

    def test_b07_commit_on_the_connection(self):
        for name in ("commit", "rollback"):
            with self.subTest(name):
                uuids = self.perform_broken(
                    lambda cr, name=name: getattr(cr._cnx, name)()
                )
                self.assert_broken_alone(uuids)

    def test_b07_isolation_level_of_the_connection_is_given_back(self):
        """psycopg2 rolls back to set it."""
        levels = []

        def note(cr):
            cr._cnx.set_isolation_level(0)

        with mock.patch.object(
            self.model_class,
            "without_docstring",
            lambda records: levels.append(records.env.cr.connection.isolation_level),
        ):
            self.assert_broken_alone(self.perform_broken(note))
        self.assertEqual(levels, [self.env.cr.connection.isolation_level])

    def test_b07_error_after_the_commit_is_told_too(self):
        def after(records):
            raise ValueError("what followed")

        uuids = self.perform_broken(lambda cr: cr.execute("COMMIT"), after)
        self.assertIn("what followed", self.assert_broken_alone(uuids))

    def perform_twice(self, statement, raises):
        """Let a second run begin and end while the first works on behind its commit."""

        def broken(records, value):
            if seen:
                return "of the second"
            seen.append("the first")
            records.env.cr.execute(statement)
            self.move(uuid, "enqueued")
            self.acquire_and_run(uuid)
            # A snapshot that shows the second run.
            records.env.cr.execute("SELECT count(*) FROM queue_job")
            if raises:
                raise ValueError("of the first")
            return "of the first"

        seen = []
        uuid = self.delay("return_value", 1)
        with mock.patch.object(self.model_class, "return_value", broken):
            self.perform([uuid])
        return self.columns(uuid, "state", "result", "exc_message")

    def test_b07_second_run_is_not_overwritten_by_the_first(self):
        """The sweep found the job dead while it worked on behind its COMMIT."""
        for statement in ("COMMIT", "COMMIT AND CHAIN"):
            for raises in (False, True):
                with self.subTest(statement, raises=raises):
                    self.assertEqual(
                        self.perform_twice(statement, raises),
                        {
                            "state": "done",
                            "result": "of the second",
                            "exc_message": False,
                        },
                    )

    def test_b07_begin_alone_changes_nothing(self):
        uuids = self.perform_broken(lambda cr: cr.execute("BEGIN"))
        self.assertEqual(self.states(uuids), ["done"] * 3)

    def test_b07_job_alone_in_its_request(self):
        def broken(records, value):
            records.env.cr.execute("COMMIT AND CHAIN")

        uuid = self.delay("return_value", 1)
        with mock.patch.object(self.model_class, "return_value", broken):
            self.acquire_and_run(uuid)
        self.assertEqual(self.columns(uuid, "state")["state"], "failed")


@tagged("post_install", "-at_install")
class TestBrokenTransactionsUnheard(Unheard, TestBrokenTransactions):
    """The same where SQL writes the moves."""

    allow_inherited_tests_method = True
