# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import time
from contextlib import closing
from datetime import datetime
from unittest.mock import patch

import psycopg2

from odoo.modules.registry import Registry
from odoo.tests import tagged

from .. import notify
from ..jobrunner import runner
from ..jobrunner.database import CONNECTION_OPTIONS, Database, MasterElectionLost
from ..jobrunner.tree import ChannelRecord
from ..run import KEY_LOCK_CLASS
from .runner_case import RunnerCase

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


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

        with patch("odoo.addons.queue_job.jobrunner.database.time.sleep", end_at_last):
            self.database()

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
                "odoo.addons.queue_job.jobrunner.database._lost_backends", lost_backends
            ),
            self.assertRaises(MasterElectionLost),
        ):
            Database(self.db_name)
        with self.assertRaises(psycopg2.OperationalError):
            lost.keep_alive()
        self.database()


@tagged("post_install", "-at_install")
class TestPresence(RunnerCase):
    def test_has_queue_job(self):
        self.assertTrue(self.database().has_queue_job)

    def test_database_that_is_not_odoo(self):
        db = self.database()
        for missing, line in (
            ("HAS_MODULE_TABLE", f"{self.db_name} doesn't seem to be an odoo db"),
            ("IS_INSTALLED", f"queue_job is not installed for db {self.db_name}"),
        ):
            with (
                patch(
                    f"odoo.addons.queue_job.jobrunner.statements.{missing}",
                    "SELECT false",
                ),
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
        self.addCleanup(notify.install, lambda statement: self.sql(statement))
        self.sql("DROP TRIGGER queue_job_notify ON queue_job")
        with self.assertLogs(RUNNER_LOGGER, "ERROR") as logs:
            db = self.database()
        self.assertIn(
            f"queue_job_notify trigger is missing in db {self.db_name}", logs.output[0]
        )
        self.assertTrue(db.has_queue_job)
        self.assertFalse(db.deaf)
        uuid = self.job()
        self.assertEqual(self.heard(db), ({uuid}, False))

    def test_b32_trigger_that_cannot_be_restored_yet(self):
        self.addCleanup(notify.install, lambda statement: self.sql(statement))
        self.sql("DROP TRIGGER queue_job_notify ON queue_job")
        writer = psycopg2.connect(**runner._connection_info_for(self.db_name))
        self.addCleanup(writer.close)
        self.sql("LOCK TABLE queue_job IN ROW EXCLUSIVE MODE", conn=writer)
        with self.assertLogs(RUNNER_LOGGER, "ERROR"):
            db = self.database()
        self.assertTrue(db.deaf)
        with self.assertNoLogs(RUNNER_LOGGER, "ERROR"):
            db.check_triggers()
        self.assertTrue(db.deaf)
        writer.rollback()
        with self.assertLogs(RUNNER_LOGGER, logging.INFO) as logs:
            db.check_triggers()
        self.assertIn("queue_job_notify trigger restored", logs.output[0])
        self.assertFalse(db.deaf)

    def test_b32_trigger_of_the_channels_is_restored(self):
        """A database that came from OCA's addon did not get it."""
        self.addCleanup(notify.install, lambda statement: self.sql(statement))
        self.sql("DROP TRIGGER queue_job_channel_notify ON queue_job_channel")
        with self.assertLogs(RUNNER_LOGGER, "ERROR") as logs:
            db = self.database()
        self.assertIn(
            f"queue_job_channel_notify trigger is missing in db {self.db_name}",
            logs.output[0],
        )
        self.sql("UPDATE queue_job_channel SET removal_interval = removal_interval")
        self.assertEqual(self.heard(db, 0), (set(), True))


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
        self.assertEqual(db.hear(), (set(), False))

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


@tagged("post_install", "-at_install")
class TestDeadJobs(RunnerCase):
    def dead(self, state="started", **columns):
        return self.job(state, date_enqueued=self.old(11), **columns)

    def sweep(self, carried=()):
        return set(self.database().requeue_dead_jobs(carried)) & self.mine

    def test_dead_jobs_are_requeued_and_told(self):
        sent, claimed = self.dead("enqueued", retry=2), self.dead(retry=2)
        with self.assertLogs(RUNNER_LOGGER, "WARNING") as logs:
            self.assertEqual(self.sweep(), {sent, claimed})
        self.assertTrue(
            [
                line
                for line in logs.output
                if f"Re-queued dead job with uuid: {sent}" in line
            ]
        )
        self.assertEqual((self.value(sent), self.value(sent, "retry")), ("pending", 2))
        self.assertEqual(
            (self.value(claimed), self.value(claimed, "retry")), ("pending", 3)
        )

    def test_jobs_that_are_not_dead(self):
        alive = self.dead()
        self.lock_row(alive)
        self.job("started", date_enqueued=self.old(8))
        self.job("started", date_enqueued=None)
        self.job("pending", date_enqueued=self.old(11))
        self.job("done", date_enqueued=self.old(11))
        moved = self.dead()
        self.lock_row(moved, "queue_job")
        self.assertEqual(self.sweep(), set())

    def test_free_lock_row_means_dead(self):
        uuid = self.dead()
        self.lock_row(uuid).rollback()
        self.assertEqual(self.sweep(), {uuid})

    def test_b29_jobs_in_open_requests_are_not_dead(self):
        carried, dead = self.dead("enqueued"), self.dead("enqueued")
        self.assertEqual(
            self.sweep(carried={carried, "with ' quote and % percent"}), {dead}
        )
        self.assertEqual(self.value(carried), "enqueued")

    def test_b09_each_death_is_one_try(self):
        uuid = self.job("started", max_retries=5, retry=0)
        tries = 0
        while self.value(uuid) != "failed":
            tries += 1
            self.update(uuid, state="started", date_enqueued=self.old(11))
            self.assertEqual(self.sweep(), {uuid})
        self.assertEqual((tries, self.value(uuid, "retry")), (5, 5))

    def test_b09_failed_job_says_why_and_is_to_be_announced(self):
        uuid = self.dead(max_retries=1)
        db = self.database()
        db.requeue_dead_jobs()
        self.assertEqual(self.value(uuid), "failed")
        self.assertEqual(self.value(uuid, "exc_name"), "JobFoundDead")
        self.assertEqual(
            self.value(uuid, "exc_info"), "Job found dead after too many retries"
        )
        self.assertTrue(self.value(uuid, "exc_message"))
        self.assertIn(uuid, db.unreported())

    def test_death_of_a_started_job_is_kept_as_an_attempt(self):
        started = self.dead(run_number=3, worker_pid=42)
        self.dead("enqueued")
        self.sweep()
        found = self.sql(
            "SELECT job_id, number, run_number, outcome, worker_pid, exc_name"
            " FROM queue_job_attempt WHERE job_id IN"
            " (SELECT id FROM queue_job WHERE uuid = ANY(%s))",
            list(self.mine),
        )
        self.assertEqual(
            found, [(self.value(started, "id"), 1, 3, "dead", 42, "JobFoundDead")]
        )

    def test_limits(self):
        for state, retry, max_retries, after in (
            ("started", 4, 0, "pending"),
            ("started", 4, None, "pending"),
            ("started", None, 5, "pending"),
            ("started", 3, 5, "pending"),
            ("started", 4, 5, "failed"),
            ("enqueued", 5, 5, "pending"),
            ("enqueued", 6, 5, "failed"),
        ):
            with self.subTest(state=state, retry=retry, max_retries=max_retries):
                uuid = self.dead(state, retry=retry, max_retries=max_retries)
                self.sweep()
                self.assertEqual(self.value(uuid), after)

    def test_query_is_complete_and_runs_on_a_cursor_of_odoo(self):
        uuid = self.dead()
        query = self.database()._query_requeue_dead_jobs()
        self.assertIsInstance(query, str)
        self.assertNotIn("%", query)
        with Registry(self.db_name).cursor() as cr:
            cr.execute(query)
            self.assertIn((uuid,), cr.fetchall())
            cr.rollback()

    def test_sweep_of_some_jobs(self):
        dead, other, fresh = (
            self.dead(),
            self.dead(),
            self.job("started", date_enqueued=self.old(1)),
        )
        alive = self.dead()
        self.lock_row(alive)
        self.assertEqual(
            self.database().requeue_dead_among([dead, fresh, alive]), [dead]
        )
        self.assertEqual(self.value(other), "started")

    def test_recover_does_not_wait(self):
        """A connection broke: what is known is known now."""
        sent = self.job("enqueued", date_enqueued=self.old(0))
        claimed = self.job("started", date_enqueued=self.old(0))
        runs, other = self.job("started"), self.job("started")
        self.lock_row(runs)
        got = self.database().recover([sent, claimed, runs])
        self.assertEqual(set(got), {sent, claimed})
        self.assertEqual(self.value(sent, "retry") or 0, 0)
        self.assertEqual(self.value(claimed, "retry"), 1)
        self.assertEqual(self.value(other), "started")


@tagged("post_install", "-at_install")
class TestForgotten(RunnerCase):
    def waiting(self, **columns):
        return self.job(
            "wait_dependencies", **{"date_created": self.old(3600), **columns}
        )

    def test_what_waits_for_nothing_is_released(self):
        done, failed, cancelled = (
            self.job("done"),
            self.job("failed"),
            self.job("cancelled"),
        )
        free, behind_done, blocked = self.waiting(), self.waiting(), self.waiting()
        self.edge(done, behind_done)
        self.edge(cancelled, behind_done)
        self.edge(failed, blocked)
        self.edge(done, blocked)
        joined, held = self.waiting(), self.waiting()
        self.edge(done, None, -1)
        self.edge(None, joined, -1)
        self.edge(done, None, -2)
        self.edge(failed, None, -2)
        self.edge(None, held, -2)
        by_uuid = '{"depends_on": ["%s"], "reverse_depends_on": []}'
        old_free = self.waiting(dependencies=by_uuid % done)
        old_blocked = self.waiting(dependencies=by_uuid % failed)
        self.waiting(dependencies="{}", date_created=datetime.utcnow())
        released, after = set(), 0
        db = self.database()
        while True:
            uuids, after = db.release_forgotten(after)
            released |= set(uuids) & self.mine
            if not after:
                break
        self.assertEqual(released, {free, behind_done, joined, old_free})
        for uuid in (blocked, held, old_blocked):
            self.assertEqual(self.value(uuid), "wait_dependencies")

    def test_what_waits_behind_some_jobs_is_released(self):
        done, started, elsewhere = (
            self.job("done"),
            self.job("started"),
            self.job("done"),
        )
        free, blocked, other = self.waiting(), self.waiting(), self.waiting()
        self.edge(done, free)
        self.edge(done, blocked)
        self.edge(started, blocked)
        self.edge(elsewhere, other)
        self.assertEqual(self.database().release_behind([done, started]), [free])
        self.assertEqual(self.value(free), "pending")
        for uuid in (blocked, other):
            self.assertEqual(self.value(uuid), "wait_dependencies")

    def test_what_a_worker_is_releasing_is_not_waited_for_long(self):
        done, child = self.job("done"), self.waiting()
        self.edge(done, child)
        self.lock_row(child, "queue_job")
        self.assertEqual(self.database().release_behind([done]), [])
