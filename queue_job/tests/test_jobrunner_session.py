# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import select
import time
from datetime import datetime
from unittest.mock import patch

from odoo.tests import tagged

from ..jobrunner import session as session_module
from ..jobrunner import tracker
from ..protocol import DONE, FAILED, HELD, POSTPONED, REFUSED
from .runner_case import KEY_LOCK_CLASS, SessionCase

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


@tagged("post_install", "-at_install")
class TestDispatching(SessionCase):
    def test_waiting_jobs_are_marked_and_sent_in_order(self):
        late, urgent = self.job(priority=20), self.job(priority=1)
        session = self.session()
        self.assertEqual(self.dispatch(session), [[urgent], [late]])
        self.assertEqual(self.value(urgent), "enqueued")
        self.assertEqual(self.dispatch(session), [])

    def test_asking_is_logged(self):
        uuid = self.job()
        session = self.session()
        with self.assertLogs(RUNNER_LOGGER, 20) as logs:
            self.dispatch(session)
        self.assertIn(
            f"asking Odoo to run job {uuid} on db {self.db_name}", logs.output[-1]
        )

    def test_answer_frees_the_slot(self):
        one, two = self.job(priority=1), self.job(priority=2)
        session = self.session("root:1")
        self.assertEqual(self.dispatch(session), [[one]])
        self.assertEqual(self.dispatch(session), [])
        self.update(one, state="done")
        self.answer(session, self.sent[0], (one, DONE))
        self.assertEqual(self.dispatch(session), [[two]])

    def test_new_job_is_heard_of(self):
        session = self.session()
        uuid = self.job()
        select.select([session.db.conn], [], [], 10)
        session.poll(1000.0)
        self.assertEqual(self.dispatch(session), [[uuid]])

    def test_b08_cancelled_meanwhile_is_not_sent(self):
        uuid = self.job()
        session = self.session()
        self.update(uuid, state="cancelled")
        self.assertEqual(self.dispatch(session), [])
        self.assertEqual(self.value(uuid), "cancelled")

    def test_locked_row_is_looked_at_again(self):
        uuid, other = self.job(priority=1), self.job(priority=2)
        holder = self.lock_row(uuid, "queue_job")
        session = self.session()
        self.assertEqual(self.dispatch(session), [[other]])
        self.assertLessEqual(session.wakeup_time(1000), 1000.11)
        holder.rollback()
        session.tick(1000.2)
        self.assertEqual(self.dispatch(session, 1000.2), [[uuid]])

    def test_job_that_is_held_for_long_is_tried_less_often(self):
        uuid = self.job()
        self.lock_row(uuid, "queue_job")
        session = self.session()
        now, tries = 1000.0, 0
        while now < 1010:
            if session.best(now):
                tries += 1
            self.dispatch(session, now)
            session.tick(now)
            now += 0.05
        self.assertLess(tries, 20)

    def test_held_key_is_looked_at_again(self):
        uuid = self.job(identity_key="held")
        holder = self.connect()
        holder.autocommit = False
        self.sql(
            "SELECT pg_advisory_xact_lock_shared(%s, queue_job_key_lock('held'))",
            KEY_LOCK_CLASS,
            conn=holder,
        )
        session = self.session()
        self.assertEqual(self.dispatch(session), [])
        self.assertEqual(self.value(uuid), "pending")
        holder.rollback()
        session.tick(1000.2)
        self.assertEqual(self.dispatch(session, 1000.2), [[uuid]])

    def test_nobody_overtakes_a_held_job_of_a_sequential_channel(self):
        first = self.job(priority=1, channel="root.s")
        second = self.job(priority=2, channel="root.s")
        holder = self.lock_row(first, "queue_job")
        session = self.session("root:9,s:1:sequential")
        self.teach(session)
        self.assertEqual(self.dispatch(session), [])
        session.apply_answers(1000)
        self.assertEqual(self.value(second), "pending")
        self.assertEqual(self.dispatch(session, 1000.05), [])
        holder.rollback()
        session.tick(1000.2)
        self.assertEqual(self.dispatch(session, 1000.2), [[first, second]])
        self.assertTrue(self.sent[-1].sequential)

    def test_eta_wakes(self):
        now = time.time()
        uuid = self.job(eta=datetime.utcfromtimestamp(now + 30))
        session = self.session(now=now)
        session.tick(now)
        self.assertEqual(self.dispatch(session, now), [])
        self.assertAlmostEqual(session.tree.get_wakeup_time(), now + 30, places=3)
        with patch.object(session.db, "mark_enqueued", return_value={uuid}):
            self.assertEqual(self.dispatch(session, now + 30.001), [[uuid]])

    def test_b33_nothing_starts_while_modules_change(self):
        uuid = self.job()
        session = self.session()
        with patch.object(session.db, "is_changing", return_value=True):
            self.assertEqual(self.dispatch(session), [])
            self.assertLessEqual(session.wakeup_time(1000), 1001)
        self.assertEqual(self.dispatch(session, 1000.5), [])
        self.assertEqual(self.dispatch(session, 1001), [[uuid]])

    def test_b33_nothing_is_waited_for_when_the_job_that_waited_is_gone(self):
        """The loop would turn round and round until the next job came."""
        uuid = self.job()
        session = self.session()
        session.tick(1000)
        with patch.object(session.db, "is_changing", return_value=True):
            self.assertEqual(self.dispatch(session), [])
            self.assertEqual(session.wakeup_time(1000), 1001)
            # All requests are open: nothing is chosen, however often it is looked.
            session.tick(1002)
            self.assertGreater(session.wakeup_time(1002), 1002)
            self.update(uuid, state="cancelled")
            self.tell(session, uuid)
            session.tick(1005)
            self.assertEqual(self.dispatch(session, 1005), [])
        self.assertGreater(session.wakeup_time(1005), 1005)

    def test_b33_looks_at_the_modules(self):
        db = self.database()
        self.assertFalse(db.is_changing())
        module = self.sql(
            "SELECT min(id) FROM ir_module_module WHERE state = 'uninstalled'"
        )[0][0]
        set_state = "UPDATE ir_module_module SET state = %s WHERE id = %s"
        self.addCleanup(self.sql, set_state, "uninstalled", module)
        for state in ("to install", "to upgrade", "to remove"):
            self.sql(set_state, state, module)
            self.assertTrue(db.is_changing(), state)


@tagged("post_install", "-at_install")
class TestRuns(SessionCase):
    def test_short_jobs_of_a_channel_share_a_request_and_a_slot(self):
        uuids = [self.job(priority=number) for number in range(6)]
        session = self.session("root:1")
        self.teach(session)
        self.assertEqual(self.dispatch(session), [uuids])
        self.assertEqual(len(session.tree.root._running), 1)

    def test_slots_share_the_work(self):
        uuids = [self.job(priority=number) for number in range(8)]
        session = self.session("root:4")
        self.teach(session)
        runs = self.dispatch(session)
        self.assertEqual([len(run) for run in runs], [2, 2, 1, 1])
        rest = [uuid for uuid in uuids if uuid not in sum(runs, [])]
        self.assertEqual(len(rest), 2)

    def test_long_run_is_sent_before_the_next_is_marked(self):
        uuids = [self.job(priority=number) for number in range(200)]
        session = self.session("root:2")
        self.teach(session)
        marked = []
        mark = session.db.mark_enqueued

        def noting(ids, now):
            marked.append((len(ids), len(self.sent)))
            return mark(ids, now)

        with patch.object(session.db, "mark_enqueued", noting):
            runs = self.dispatch(session)
        self.assertEqual([len(run) for run in runs], [100, 50])
        self.assertEqual(sum(runs, []), uuids[:150])
        self.assertEqual(marked, [(100, 0), (50, 1)])

    def test_throttled_channel_gets_runs_of_one(self):
        uuids = [self.job(priority=number, channel="root.t") for number in range(3)]
        session = self.session("root:9,t:2:throttle=1")
        self.teach(session)
        self.assertEqual(self.dispatch(session, 1000), [uuids[:1]])
        self.assertEqual(self.dispatch(session, 1001), [uuids[1:2]])

    def test_outcomes(self):
        uuids = [self.job(priority=number) for number in range(6)]
        done, failed, postponed, refused, held, left = uuids
        session = self.session("root:1")
        self.teach(session)
        self.dispatch(session)
        self.update(done, state="done")
        self.update(failed, state="failed")
        self.update(postponed, state="pending", eta=datetime.utcfromtimestamp(1030))
        self.update(refused, state="cancelled")
        self.update(held, state="pending")
        self.answer(
            session,
            self.sent[0],
            (done, DONE),
            (failed, FAILED),
            (postponed, POSTPONED),
            (refused, REFUSED),
            (held, HELD),
            left=[left],
        )
        self.assertEqual(session.in_flight, {})
        self.assertEqual(self.value(left), "pending")
        self.assertEqual(self.dispatch(session, 1001), [[left]])
        self.assertEqual(session.tree.root._queue.timed_count, 1)
        self.update(left, state="done")
        self.answer(session, self.sent[-1], (left, DONE), now=1001.2)
        session.tick(1001.2)
        self.assertEqual(self.dispatch(session, 1001.2), [[held]])

    def test_what_was_told_meanwhile_is_looked_at_with_the_answer(self):
        """Requeued by a person between the end of the job and the answer."""
        uuid = self.job()
        session = self.session()
        self.dispatch(session)
        self.update(uuid, state="pending")
        self.tell(session, uuid)
        self.assertEqual(self.dispatch(session), [])
        self.answer(session, self.sent[0], (uuid, DONE))
        self.assertEqual(self.dispatch(session, 1002), [[uuid]])

    def test_failure_holds_up_a_sequential_channel(self):
        one = self.job(priority=1, channel="root.s")
        two = self.job(priority=2, channel="root.s")
        session = self.session("root:9,s:1:sequential")
        self.assertEqual(self.dispatch(session), [[one]])
        self.update(one, state="failed")
        self.answer(session, self.sent[0], (one, FAILED))
        self.assertEqual(self.dispatch(session), [])
        self.update(one, state="done")
        self.tell(session, one)
        self.assertEqual(self.dispatch(session), [[two]])

    def test_failed_jobs_hold_up_at_the_start_too(self):
        self.job("failed", channel="s")
        self.job(channel="root.s")
        other = self.job(channel="root.other")
        self.job("failed", channel="root.other")
        session = self.session("root:9,s:1:sequential")
        self.assertEqual(self.dispatch(session), [[other]])
        self.assertEqual(len(session.tree.get_channel_by_name("other")._failed), 0)

    def test_nobody_waits_behind_a_job_that_turned_out_long(self):
        uuids = [self.job(priority=number) for number in range(4)]
        over, long, behind, postponed = uuids
        session = self.session("root:2")
        self.teach(session)
        with patch.object(session.tree.root, "slots", return_value=1):
            self.assertEqual(self.dispatch(session), [uuids])
        self.update(over, state="done")
        self.update(long, state="started")
        self.update(postponed, state="pending", eta=datetime.utcfromtimestamp(500))
        session.tick(1001)
        self.assertEqual(self.value(behind), "enqueued")
        session.tick(1003)
        self.assertEqual(self.value(behind), "pending")
        self.assertEqual(list(session.in_flight), [long])
        self.assertEqual(len(session.tree.root._running), 1)
        self.assertEqual(self.dispatch(session, 1003), [[behind]])
        self.assertEqual(session.tree.root._queue.head.uuid, postponed)

    def test_nor_behind_what_ended_before_it(self):
        """The worker looks once, at the end of its run, for who came meanwhile."""
        over, long = (self.job(priority=number) for number in range(2))
        session = self.session("root:1")
        self.teach(session)
        self.assertEqual(self.dispatch(session), [[over, long]])
        free, held = (self.job("wait_dependencies") for _number in range(2))
        self.edge(over, free)
        self.edge(over, held)
        self.edge(long, held)
        self.update(over, state="done")
        self.update(long, state="started")
        session.tick(1003)
        self.assertEqual(self.value(free), "pending")
        self.assertEqual(self.value(held), "wait_dependencies")

    def test_b29_run_that_no_worker_has_begun_is_left_alone(self):
        uuids = [self.job(priority=number) for number in range(3)]
        session = self.session("root:1")
        self.teach(session)
        self.assertEqual(self.dispatch(session), [uuids])
        for uuid in uuids:
            self.update(uuid, date_enqueued=self.old(600))
        for now in (1010, 1020, 1100):
            session.tick(now)
        self.assertEqual({self.value(uuid) for uuid in uuids}, {"enqueued"})
        self.assertEqual(len(self.sent), 1)


@tagged("post_install", "-at_install")
class TestHearing(SessionCase):
    def test_b28_one_update_of_many_rows_does_not_deafen(self):
        count = 20_000
        self.sql(
            """INSERT INTO queue_job (uuid, state, priority, channel, date_created)
               SELECT 'b28-' || n, 'pending', 10, 'root.many', now() AT TIME ZONE 'UTC'
               FROM generate_series(1, %s) n""",
            count,
        )
        self.addCleanup(self.sql, "DELETE FROM queue_job WHERE uuid LIKE 'b28-%'")
        session = self.session()
        self.sql("ANALYZE queue_job")
        self.sql("UPDATE queue_job SET priority = 11 WHERE uuid LIKE 'b28-%'")
        db, heard = session.db, 0
        with patch.object(db, "_fetch", side_effect=db._fetch) as fetch:
            while heard < count:
                if not db.has_notifications:
                    self.assertTrue(select.select([db.conn], [], [], 10)[0], heard)
                uuids, _changed = db.poll()
                session.tracker.apply_changes(uuids)
                heard += len(uuids)
        self.assertLess(fetch.call_count, count / 50)
        self.assertLess(len(session.tree._jobs), 2000)

    def test_many_told_at_once_are_read_as_windows(self):
        uuids = {self.job() for _ in range(tracker.MANY + 1)}
        session = self.session()
        with (
            patch.object(session.db, "read", side_effect=AssertionError("row by row")),
            patch.object(session.tracker, "load_waiting") as load,
        ):
            session.tracker.apply_changes(uuids)
        load.assert_called_once()

    def test_change_of_a_channel_record_applies_at_once(self):
        name = "root.session_test"
        channel = self.sql(
            "INSERT INTO queue_job_channel"
            " (name, complete_name, parent_id, removal_interval, paused)"
            " SELECT 'session_test', %s, id, 30, true FROM queue_job_channel"
            " WHERE complete_name = 'root' RETURNING id",
            name,
        )[0][0]
        self.addCleanup(
            self.sql, "DELETE FROM queue_job_channel WHERE id = %s", channel
        )
        uuid = self.job(channel=name)
        session = self.session()
        self.assertEqual(self.dispatch(session), [])
        self.sql("UPDATE queue_job_channel SET paused = false WHERE id = %s", channel)
        select.select([session.db.conn], [], [], 10)
        session.poll(1000.0)
        self.assertEqual(self.dispatch(session), [[uuid]])

    def test_deleted_job_is_forgotten(self):
        uuid = self.job()
        session = self.session()
        self.sql("DELETE FROM queue_job WHERE uuid = %s", uuid)
        self.tell(session, uuid)
        self.assertEqual(self.dispatch(session), [])

    def test_lost_notification_delays_and_loses_nothing(self):
        session = self.session()
        uuid = self.job()
        session.tick(1000 + session_module.RELOAD_EVERY)
        self.assertEqual(self.dispatch(session, 1061), [[uuid]])

    def test_b19_requeued_parent_frees_the_slot_of_its_child(self):
        uuid = self.job("started", date_enqueued=self.old(1))
        self.lock_row(uuid)
        session = self.session()
        self.assertIsNotNone(session.tree.job(uuid, self.db_name))
        self.update(uuid, state="wait_dependencies")
        self.tell(session, uuid)
        self.assertIsNone(session.tree.job(uuid, self.db_name))
