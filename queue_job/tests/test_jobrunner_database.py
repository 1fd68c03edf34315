# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import time
from contextlib import closing
from datetime import datetime
from unittest.mock import patch

import psycopg2

from odoo.tests import tagged

from ..channels import ChannelRecord
from ..jobrunner import runner
from ..sql import statements
from ..store import triggers
from .runner_case import KEY_LOCK_CLASS, RunnerCase

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"
TABLES = ("queue_job", "queue_job_channel")


@tagged("post_install", "-at_install")
class TestPresence(RunnerCase):
    def install_triggers(self):
        with closing(self.conn.cursor()) as cr:
            triggers.install(cr, *TABLES)

    def triggers(self):
        """Return ``(trigger, table)`` of all triggers of the addon."""
        found = []
        with closing(self.conn.cursor()) as cr:
            for table in TABLES:
                cr.execute(statements.triggers_of, {"tables": [table]})
                found += [(name, table) for name, _function in cr.fetchall()]
        self.assertEqual(len(found), 6)
        return found

    def test_has_queue_job(self):
        self.assertTrue(self.database().has_queue_job)

    def test_database_that_is_not_odoo(self):
        db = self.database()
        for missing, line in (
            ("has_module_table", f"{self.db_name} doesn't seem to be an odoo db"),
            ("is_installed", f"queue_job is not installed for db {self.db_name}"),
        ):
            with (
                patch.object(statements, missing, "SELECT false"),
                self.assertLogs(RUNNER_LOGGER, "DEBUG") as logs,
            ):
                self.assertFalse(db._has_queue_job())
            self.assertIn(line, logs.output[0])

    def test_database_that_needs_an_upgrade(self):
        db = self.database()
        with (
            patch(
                "odoo.addons.queue_job.jobrunner.database.NEEDED_COLUMNS",
                ("nothing_such",),
            ),
            self.assertLogs(RUNNER_LOGGER, "ERROR") as logs,
        ):
            self.assertFalse(db._has_queue_job())
        self.assertIn("needs an upgrade", logs.output[0])
        with (
            patch(
                "odoo.addons.queue_job.jobrunner.database.NEEDED_COLUMNS",
                ("nothing_such",),
            ),
            self.assertNoLogs(RUNNER_LOGGER, "ERROR"),
        ):
            self.assertFalse(db._has_queue_job())

    def test_b32_missing_trigger_is_restored(self):
        self.addCleanup(self.install_triggers)
        self.sql("DROP TRIGGER queue_job_notify ON queue_job")
        with self.assertLogs(RUNNER_LOGGER, "ERROR") as logs:
            db = self.database()
        self.assertIn(
            f"queue_job_notify trigger is missing in db {self.db_name}", logs.output[0]
        )
        self.assertTrue(db.has_queue_job)
        self.assertFalse(db.lacks_triggers)
        uuid = self.job()
        self.assertEqual(self.heard(db), ({uuid}, False))

    def test_b32_trigger_that_cannot_be_restored_yet(self):
        self.addCleanup(self.install_triggers)
        self.sql("DROP TRIGGER queue_job_notify ON queue_job")
        writer = psycopg2.connect(**runner._connection_info_for(self.db_name))
        self.addCleanup(writer.close)
        self.sql("LOCK TABLE queue_job IN ROW EXCLUSIVE MODE", conn=writer)
        with self.assertLogs(RUNNER_LOGGER, "ERROR"):
            db = self.database()
        self.assertTrue(db.lacks_triggers)
        with self.assertNoLogs(RUNNER_LOGGER, "ERROR"):
            db.check_triggers()
        self.assertTrue(db.lacks_triggers)
        writer.rollback()
        with self.assertLogs(RUNNER_LOGGER, logging.INFO) as logs:
            db.check_triggers()
        self.assertIn("queue_job_notify trigger restored", logs.output[0])
        self.assertFalse(db.lacks_triggers)

    def test_b32_trigger_of_the_channels_is_restored(self):
        """A database that came from OCA's addon did not get it."""
        self.addCleanup(self.install_triggers)
        self.sql("DROP TRIGGER queue_job_channel_notify ON queue_job_channel")
        with self.assertLogs(RUNNER_LOGGER, "ERROR") as logs:
            db = self.database()
        self.assertIn(
            f"queue_job_channel_notify trigger is missing in db {self.db_name}",
            logs.output[0],
        )
        self.sql("UPDATE queue_job_channel SET removal_interval = removal_interval")
        self.assertEqual(self.heard(db, 0), (set(), True))

    def test_every_trigger_is_restored_a_disabled_one_too(self):
        """(A6) Some restores and migrations disable triggers, and do not enable all again.

        Only the presence of the two that notify was checked.
        """
        self.addCleanup(self.install_triggers)
        db = self.database()
        for name, table in self.triggers():
            for statement in (
                f"DROP TRIGGER {name} ON {table}",
                f"ALTER TABLE {table} DISABLE TRIGGER {name}",
                f"ALTER TABLE {table} ENABLE REPLICA TRIGGER {name}",
            ):
                with self.subTest(statement):
                    self.sql(statement)
                    with self.assertLogs(RUNNER_LOGGER, "ERROR") as logs:
                        db.check_triggers()
                    self.assertIn(f"{name} trigger is missing", logs.output[0])
                    with self.assertNoLogs(RUNNER_LOGGER, "ERROR"):
                        db.check_triggers()

    def test_trigger_that_is_enabled_always_is_left_alone(self):
        self.addCleanup(self.install_triggers)
        self.sql("ALTER TABLE queue_job ENABLE ALWAYS TRIGGER queue_job_keys_update")
        with self.assertNoLogs(RUNNER_LOGGER, "ERROR"):
            self.database().check_triggers()
        self.sql("DROP TRIGGER queue_job_keys_update ON queue_job")

    def test_trigger_that_misses_an_event_is_restored(self):
        self.addCleanup(self.install_triggers)
        self.sql("DROP TRIGGER queue_job_keys_delete ON queue_job")
        self.sql(
            "CREATE TRIGGER queue_job_keys_delete AFTER INSERT ON queue_job "
            "FOR EACH ROW EXECUTE FUNCTION queue_job_keep_keys()"
        )
        with self.assertLogs(RUNNER_LOGGER, "ERROR"):
            self.database()


@tagged("post_install", "-at_install")
class TestReading(RunnerCase):
    def test_select_jobs_gives_the_arguments_of_notify(self):
        eta = datetime(2030, 1, 2, 3, 4, 5, 678901)
        created = datetime(2020, 1, 1)
        uuid = self.job(channel="root.a", priority=3, eta=eta, date_created=created)
        with self.database().select_jobs("uuid = %s", (uuid,)) as cr:
            ((channel, *rest),) = cr.fetchall()
        job_id = self.value(uuid, "id")
        self.assertEqual(channel, "root.a")
        self.assertEqual(rest, [uuid, job_id, created, 3, 1893553445.678901, "pending"])
        self.assertIsInstance(rest[-2], float)

    def test_candidates_come_best_first_and_go_on(self):
        created = datetime(2020, 1, 1)
        uuids = [
            self.job(channel="root.w", **values)
            for values in (
                {"priority": None, "date_created": None},
                {"priority": 0, "date_created": None},
                {"priority": None, "date_created": created},
                {"priority": 5, "date_created": None},
                {"priority": 5, "date_created": created},
                {"priority": 5, "date_created": created},
            )
        ]
        self.job(channel="root.other")
        self.job("started", channel="root.w")
        self.job(channel="root.w", eta=datetime(2030, 1, 1))
        db = self.database()
        found, after = [], None
        for _ in range(3):
            rows = db.candidates(["root.w"], 2, after)
            found += [row.uuid for row in rows]
            after = rows[-1].rank
        self.assertEqual(found, uuids)
        self.assertEqual(db.candidates(["root.w"], 2, after), [])

    def test_candidates_without_channel(self):
        uuid = self.job(channel=None)
        db = self.database()
        self.assertIn(None, db.waiting_channels())
        self.assertIn(uuid, [row.uuid for row in db.candidates([None], 100)])

    def test_timed_candidates_go_on(self):
        etas = [
            datetime(2030, 1, 1, 0, 0, 0, 123457),
            datetime(2030, 1, 1, 0, 0, 0, 123457),
            datetime(2030, 1, 2),
        ]
        uuids = [self.job(channel="root.w", eta=eta) for eta in etas]
        db = self.database()
        found, after = [], None
        for _ in range(3):
            (row,) = db.timed_candidates(["root.w"], 1, after)
            found.append(row.uuid)
            after = (row.eta, row.id)
        self.assertEqual(found, uuids)
        self.assertEqual(db.timed_candidates(["root.w"], 1, after), [])

    def test_waiting_channels(self):
        self.job(channel="root.w1")
        self.job(channel="root.w2", eta=datetime(2030, 1, 1))
        self.job("done", channel="root.w3")
        names = self.database().waiting_channels()
        self.assertEqual(
            {"root.w1", "root.w2", "root.w3"} & set(names), {"root.w1", "root.w2"}
        )

    def test_channel_records(self):
        records = self.database().channel_records()
        self.assertIn("root", [record.complete_name for record in records])
        self.assertIsInstance(records[0], ChannelRecord)

    def test_hear_drains_everything_in_one_go(self):
        db = self.database()
        uuids = {self.job() for _ in range(50)}
        self.assertEqual(self.heard(db, 50), (uuids, False))
        self.assertEqual(db.poll(), (set(), False))

    def test_change_of_a_channel_is_heard(self):
        db = self.database()
        self.sql("UPDATE queue_job_channel SET removal_interval = removal_interval")
        self.assertEqual(self.heard(db, 0), (set(), True))


@tagged("post_install", "-at_install")
class TestMarking(RunnerCase):
    def mark(self, *uuids, now=None):
        ids = [self.value(uuid, "id") for uuid in uuids]
        return self.database().mark_enqueued(ids, now or time.time())

    def test_pending_jobs_are_marked(self):
        one, two = self.job(), self.job()
        self.assertEqual(self.mark(one, two), {one, two})
        self.assertEqual(self.value(one), "enqueued")
        enqueued = self.value(one, "date_enqueued")
        self.assertEqual(enqueued.microsecond, 0)
        self.assertLess(abs((datetime.utcnow() - enqueued).total_seconds()), 5)

    def test_b08_job_that_is_no_longer_pending_is_not_marked(self):
        for state in (
            "cancelled",
            "started",
            "done",
            "failed",
            "wait_dependencies",
            "enqueued",
        ):
            uuid = self.job(state)
            self.assertEqual(self.mark(uuid), set(), state)
            self.assertEqual(self.value(uuid), state)

    def test_b08_set_job_enqueued_leaves_a_cancelled_job(self):
        uuid, other = self.job("cancelled"), self.job()
        db = self.database()
        db.set_job_enqueued(uuid)
        db.set_job_enqueued(other)
        self.assertEqual(self.value(uuid), "cancelled")
        self.assertEqual(self.value(other), "enqueued")

    def test_locked_row_is_skipped_at_once(self):
        uuid, free = self.job(), self.job()
        self.lock_row(uuid, "queue_job")
        self.assertEqual(self.mark(uuid, free), {free})

    def test_held_key_is_skipped_at_once(self):
        """A caller who was refused must see its changes before the twin runs."""
        held, free = self.job(identity_key="held"), self.job(identity_key="free 1")
        policy = self.job(twin_key="held", func_string="x", twin_states="pending")
        caller = psycopg2.connect(**runner._connection_info_for(self.db_name))
        self.addCleanup(caller.close)
        self.sql(
            "SELECT pg_advisory_xact_lock_shared(%s, queue_job_key_lock('held'))",
            *(KEY_LOCK_CLASS,),
            conn=caller,
        )
        self.assertEqual(self.mark(held, free, policy), {free})
        caller.rollback()
        self.assertEqual(self.mark(held, policy), {held, policy})

    def test_job_whose_eta_moved_is_not_marked(self):
        now = time.time()
        due = self.job(eta=datetime.utcfromtimestamp(now - 5))
        later = self.job(eta=datetime.utcfromtimestamp(now + 50))
        self.assertEqual(self.mark(due, later, now=now), {due})

    def test_put_back(self):
        sent, claimed, locked = (
            self.job("enqueued"),
            self.job("started"),
            self.job("enqueued"),
        )
        self.lock_row(locked, "queue_job")
        self.assertEqual(self.database().put_back([sent, claimed, locked]), {sent})
        self.assertEqual(self.value(sent), "pending")
        self.assertIsNone(self.value(sent, "date_enqueued"))
        self.assertEqual(self.value(claimed), "started")
