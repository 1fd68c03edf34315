# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a job does to the session of its connection ends with the job."""

import contextlib
from unittest import mock

import psycopg2

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.controllers.main import RunJobController

from .common import CONTROLLER_LOGGER, Unheard
from .test_runs import RunCase

# What a job leaves, and how the next job sees it: the row that it must not see.
LEFT = {
    "SET statement_timeout = 77000": ("SHOW statement_timeout", "77s"),
    "SET lock_timeout = 77000": ("SHOW lock_timeout", "77s"),
    "SET search_path = pg_catalog, public": ("SHOW search_path", "pg_catalog, public"),
    "SET TIME ZONE 'Asia/Tokyo'": ("SHOW timezone", "Asia/Tokyo"),
    "SELECT set_config('of.a_job', 'left', false)": (
        "SELECT current_setting('of.a_job', true)",
        "left",
    ),
    "DO $$ BEGIN PERFORM set_config('work_mem', '77MB', false); END $$": (
        "SHOW work_mem",
        "77MB",
    ),
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY": (
        "SHOW default_transaction_read_only",
        "on",
    ),
    "CREATE TEMP TABLE of_a_job AS SELECT 1": (
        "SELECT to_regclass('pg_temp.of_a_job')::text",
        "of_a_job",
    ),
    "CREATE TEMP TABLE of_a_job (id int UNIQUE DEFERRABLE INITIALLY DEFERRED); "
    "INSERT INTO of_a_job VALUES (1)": (
        "SELECT to_regclass('pg_temp.of_a_job')::text",
        "of_a_job",
    ),
    "SELECT pg_advisory_lock(7777)": (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7777 "
        "AND pid = pg_backend_pid()",
        1,
    ),
    "LISTEN of_a_job": ("SELECT count(*) FROM pg_listening_channels()", 1),
    "PREPARE of_a_job AS SELECT 1": ("SELECT count(*) FROM pg_prepared_statements", 1),
    "DECLARE of_a_job CURSOR WITH HOLD FOR SELECT 1": (
        "SELECT count(*) FROM pg_cursors WHERE name = 'of_a_job'",
        1,
    ),
}
# A role may not be allowed to write the outcome of the job: then that fails.
OF_SUPERUSERS = {
    "SET session_replication_role = replica": (
        "SHOW session_replication_role",
        "replica",
    ),
    "SET ROLE pg_monitor": ("SELECT current_user::text", "pg_monitor"),
    "SET SESSION AUTHORIZATION pg_monitor": ("SELECT session_user::text", "pg_monitor"),
}


class SessionCase(RunCase):
    def setUp(self):
        super().setUp()
        self.enterContext(mute_logger(CONTROLLER_LOGGER, "odoo.sql_db"))

    def seen_after(self, statement, look, *, fails=False):
        """Perform a job that executes a statement, and one that looks; return what it sees."""

        def first(records, value):
            cr = records.env.cr
            cr.execute(statement)
            cr.execute(look)
            before.append(cr.fetchone()[0])
            if fails:
                raise ValueError

        def second(records):
            records.env.cr.execute(look)
            seen.append(records.env.cr.fetchone()[0])

        before, seen = [], []
        uuids = self.delay_many(("return_value", 1), ("without_docstring",))
        with (
            mock.patch.object(self.model_class, "return_value", first),
            mock.patch.object(self.model_class, "without_docstring", second),
        ):
            self.perform(uuids)
        states = self.states(uuids)
        self.assertEqual(states[1], "done")
        if statement not in OF_SUPERUSERS:
            self.assertEqual(states[0], "failed" if fails else "done")
        return before[0], seen[0]


@tagged("post_install", "-at_install")
class TestSessions(SessionCase):
    def test_b08_session_of_a_job_does_not_reach_the_next(self):
        """The jobs behind it in the same request ran with its statement timeout."""
        left = dict(LEFT)
        self.env.cr.execute("SHOW is_superuser")
        if self.env.cr.fetchone()[0] == "on":
            left.update(OF_SUPERUSERS)
        for fails in (False, True):
            for statement, (look, value) in left.items():
                with self.subTest(statement, fails=fails):
                    before, after = self.seen_after(statement, look, fails=fails)
                    if "LISTEN" not in statement and "HOLD" not in statement:
                        self.assertEqual(before, value)
                    self.assertNotEqual(after, value)

    def test_b08_settings_that_a_raw_commit_kept(self):
        for more in ("", "; BEGIN"):
            with self.subTest(more):
                seen = []
                uuids = self.delay_many(("return_value", 1), ("without_docstring",))

                def first(records, value, more=more):
                    records.env.cr.execute("SET statement_timeout = 77000")
                    records.env.cr.execute("COMMIT" + more)

                def second(records, seen=seen):
                    records.env.cr.execute("SHOW statement_timeout")
                    seen.append(records.env.cr.fetchone()[0])

                with (
                    mock.patch.object(self.model_class, "return_value", first),
                    mock.patch.object(self.model_class, "without_docstring", second),
                ):
                    self.perform(uuids)
                self.assertEqual(self.states(uuids), ["failed", "done"])
                self.assertEqual(seen, ["0"])

    def test_b08_temporary_table_with_the_same_name_in_the_next_job(self):
        def make(records, *_args):
            records.env.cr.execute("CREATE TEMP TABLE of_a_job AS SELECT 1")

        uuids = self.delay_many(("return_value", 1), ("without_docstring",))
        with (
            mock.patch.object(self.model_class, "return_value", make),
            mock.patch.object(self.model_class, "without_docstring", make),
        ):
            self.perform(uuids)
            self.assertEqual(self.states(uuids), ["done", "done"])
            # Another request may get the same connection.
            alone = self.delay("return_value", 2)
            self.acquire_and_run(alone)
        self.assertEqual(self.states([alone]), ["done"])

    def test_b08_attributes_of_the_cursor(self):
        def first(records, value):
            records.env.cr.IN_MAX = 1
            records.env.cr.of_a_job = True

        def second(records):
            cr = records.env.cr
            seen.append((cr.IN_MAX, "of_a_job" in vars(cr)))

        seen = []
        uuids = self.delay_many(("return_value", 1), ("without_docstring",))
        with (
            mock.patch.object(self.model_class, "return_value", first),
            mock.patch.object(self.model_class, "without_docstring", second),
        ):
            self.perform(uuids)
        self.assertEqual(seen, [(self.env.cr.IN_MAX, False)])

    def test_b08_connection_of_jobs_that_may_commit(self):
        """They have one of their own, from the pool."""
        seen = []

        def make(records, name):
            cr = records.env.cr
            cr.execute(
                "SELECT to_regclass('pg_temp.of_a_job')::text, "
                "(SELECT count(*) FROM pg_prepared_statements)"
            )
            seen.append(cr.fetchone())
            cr.execute(
                "CREATE TEMP TABLE of_a_job AS SELECT 1; PREPARE one AS SELECT 1"
            )

        uuids = [self.delay("commit_inside_allowed", "x") for _number in range(2)]
        with mock.patch.object(self.model_class, "commit_inside_allowed", make):
            self.perform(uuids)
        self.assertEqual(self.states(uuids), ["done", "done"])
        self.assertEqual(seen, [(None, 0)] * 2)

    def test_b08_session_lock_of_a_job_that_may_commit(self):
        """Its connection goes back to the pool, and would hold the lock there."""

        def lock(records, name):
            records.env.cr.execute("SELECT pg_advisory_lock(7777)")
            if name == "fails":
                records.env.cr.execute("SELECT 1 / 0")
            elif name == "raises":
                raise ValueError

        for name in ("returns", "raises", "fails"):
            with self.subTest(name):
                uuid = self.delay("commit_inside_allowed", name)
                with mock.patch.object(self.model_class, "commit_inside_allowed", lock):
                    self.perform([uuid])
                self.assertEqual(
                    self.states([uuid]), ["done" if name == "returns" else "failed"]
                )
                self.env.cr.execute(
                    "SELECT count(*) FROM pg_locks WHERE objid = 7777 "
                    "AND locktype = 'advisory'"
                )
                self.assertEqual(self.env.cr.fetchone()[0], 0)

    def test_b08_error_that_a_job_swallowed_fails_it(self):
        """A job that may commit was done, and PostgreSQL had rolled back."""

        def swallow(records, name):
            records.name = "never written"
            records.env.flush_all()
            with contextlib.suppress(psycopg2.Error):
                records.env.cr.execute("SELECT 1 / 0")

        uuid = self.delay("commit_inside_allowed", "x")
        with mock.patch.object(self.model_class, "commit_inside_allowed", swallow):
            self.perform([uuid])
        self.assertEqual(self.states([uuid]), ["failed"])
        self.assertEqual(self.name_of_record(), "one")

    def test_b18_timeouts_of_idle_transactions_are_off_while_a_job_runs(self):
        """The database had one: an allow-commit job lost its lock, and ran three times."""
        seen = []

        def look(records, *_args):
            for cr in (records.env.cr, worker_cr):
                cr.execute("SHOW idle_in_transaction_session_timeout")
                seen.append(cr.fetchone()[0])

        uuids = [
            self.delay("commit_inside_allowed", "x"),
            self.delay("return_value", 1),
        ]
        with (
            mock.patch.object(self.model_class, "commit_inside_allowed", look),
            mock.patch.object(self.model_class, "return_value", look),
            self.new_env() as env,
        ):
            worker_cr = env.cr
            worker_cr.execute("SET idle_in_transaction_session_timeout = '100s'")
            RunJobController.perform_bundle(env, uuids, budget=60)
        self.assertEqual(self.states(uuids), ["done", "done"])
        self.assertEqual(seen, ["0"] * 4)


@tagged("post_install", "-at_install")
class TestSessionsUnheard(Unheard, TestSessions):
    """The same where SQL writes the moves."""

    allow_inherited_tests_method = True
