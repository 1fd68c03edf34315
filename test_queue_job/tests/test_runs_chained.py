# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The commit of one job of a run, and the beginning of the next, in one message."""

import threading
from unittest import mock

from psycopg2.errors import SerializationFailure

from odoo.sql_db import Cursor
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job import protocol
from odoo.addons.queue_job.controllers.main import RunJobController
from odoo.addons.queue_job.delay import chain, group
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.tests.alone import without_extensions
from odoo.addons.queue_job.worker import Lease
from odoo.addons.queue_job.worker import lease as lease_module

from .common import CONTROLLER_LOGGER, Unheard
from .test_runs import RunCase, TestRuns
from .test_runs_leaks import TestNothingLeaks

JOBS = 10


class ChainedCase(Unheard, RunCase):
    def messages(self, uuids, controller=RunJobController):
        """Perform a run; return the statements that its cursors sent."""
        sent = []
        execute = Cursor.execute

        def noting(cursor, query, *args, **options):
            sent.append(str(getattr(query, "code", query)))
            return execute(cursor, query, *args, **options)

        with mock.patch.object(Cursor, "execute", noting):
            self.report = self.perform(uuids, controller)
        return sent

    def delay_plain(self, count):
        """Delay jobs that nothing is stored of but what the suite stores."""
        with self.new_env() as env:
            jobs = [env["queue.job"].with_delay()._test_job() for _ in range(count)]
            uuids = [job.uuid for job in jobs]
        for uuid in uuids:
            self.move(uuid, "enqueued")
        return uuids

    def hold_lock_of(self, uuid, patience=0):
        """Hold the liveness lock of a job elsewhere, from its claim to the end of the test.

        Return the cursor that holds it.

        :param patience: seconds for which a worker waits for the lock
        """
        patch = mock.patch.object(lease_module, "LOCK_PATIENCE", patience)
        self.startPatcher(patch)
        cr = self.registry.cursor()
        self.addCleanup(cr.close)
        cr.execute(
            "INSERT INTO queue_job_lock (id, queue_job_id) SELECT id, id FROM queue_job "
            "WHERE uuid = %s",
            (uuid,),
        )
        cr.commit()  # pylint: disable=invalid-commit # others see the row
        commit, lock = Lease.commit_and_begin_work, Lease.lock
        pending = [uuid]

        def hold(lease):
            if lease.job.uuid in pending:
                pending.clear()
                cr.execute(
                    "SELECT FROM queue_job_lock l JOIN queue_job q ON q.id = l.queue_job_id "
                    "WHERE q.uuid = %s FOR NO KEY UPDATE OF l",
                    (uuid,),
                )

        def held_commit(lease, *args, **options):
            hold(lease)
            return commit(lease, *args, **options)

        def held_lock(lease):
            hold(lease)
            return lock(lease)

        self.startPatcher(
            mock.patch.object(Lease, "commit_and_begin_work", held_commit)
        )
        self.startPatcher(mock.patch.object(Lease, "lock", held_lock))
        return cr


@tagged("post_install", "-at_install")
class TestChained(ChainedCase):
    def test_a_job_costs_two_messages(self):
        uuids = self.delay_plain(JOBS)
        sent = self.messages(uuids)
        self.assertEqual(self.states(uuids), ["done"] * JOBS)
        # One to read them all, and the claim and the beginning of the first.
        self.assertLessEqual(len(sent), 2 * JOBS + 2, sent)

    def delay_group_before(self, new, children):
        """Delay ``JOBS`` jobs before others; return the uuids of both, the first enqueued.

        :param new: makes a delayable in an environment
        """
        with self.new_env() as env:
            halves = [[new(env) for _ in range(n)] for n in (JOBS, children)]
            before, after = (group(*half) for half in halves)
            before.on_done(after).delay()
            uuids = [[one._generated_job.uuid for one in half] for half in halves]
        for uuid in uuids[0]:
            self.move(uuid, "enqueued")
        return uuids

    def test_a_job_of_a_graph_that_releases_nobody_costs_two_messages(self):
        # The cron runner wakes crons for a job that is released.
        without_extensions(
            self.addCleanup, self.env["queue.job"], "_is_release_overridden", "write"
        )
        parents, children = self.delay_group_before(
            lambda env: env["queue.job"].delayable()._test_job(), 1
        )
        sent = self.messages(parents)
        self.assertEqual(self.states(parents + children), ["done"] * JOBS + ["pending"])
        release = 8
        self.assertLessEqual(len(sent), 2 * JOBS + 3 + release, sent)
        # All wait for the last one as well.
        self.assertFalse([text for text in sent if "frees_nobody" in text])

    def perform_while_one_comes(self, uuids):
        """Perform a run; its first job lets a new one wait for the second. Return its uuid."""
        late = []

        def let_one_wait(record):
            if late:
                return
            with self.new_env() as env:
                job = Job(self.record_in(env).write_name, args=("late",))
                job.add_depends({Job.load(env, uuids[1])})
                job.store()
                late.append(job.uuid)

        with mock.patch.object(self.model_class, "testing_method", let_one_wait):
            self.perform(uuids)
        self.assertEqual(self.states(uuids), ["done"] * len(uuids))
        return late[0]

    def delay_graph_of_tests(self):
        return self.delay_group_before(
            lambda env: self.record_in(env).delayable().testing_method(), JOBS
        )

    def test_who_came_to_wait_for_a_parent_of_others_is_released(self):
        """What is known of links when a run begins may be untrue when it ends."""
        parents, _children = self.delay_graph_of_tests()
        late = self.perform_while_one_comes(parents)
        self.assertEqual(self.states([late]), ["pending"])

    def test_who_came_to_wait_for_a_job_without_dependents_is_released(self):
        parents, children = self.delay_graph_of_tests()
        self.perform(parents)
        for uuid in children:
            self.move(uuid, "enqueued")
        late = self.perform_while_one_comes(children)
        self.assertEqual(self.states([late]), ["pending"])

    @mute_logger("odoo.sql_db")
    @mute_logger(CONTROLLER_LOGGER)
    def test_who_came_to_wait_is_released_though_somebody_else_releases_too(self):
        parents, _children = self.delay_graph_of_tests()
        conflict = mock.patch.object(
            type(self.env["queue.job"]),
            "_release_dependents",
            side_effect=SerializationFailure("could not serialize access"),
        )
        with conflict:
            late = self.perform_while_one_comes(parents[:-1])
        self.assertEqual(self.states([late]), ["pending"])

    def delay_chain(self):
        """Delay two jobs one after another, the first of them enqueued."""
        with self.new_env() as env:
            parent, child = (
                self.record_in(env).delayable().testing_method() for _ in "ab"
            )
            chain(parent, child).delay()
            uuids = [delayable._generated_job.uuid for delayable in (parent, child)]
        self.move(uuids[0], "enqueued")
        return uuids

    @mute_logger(CONTROLLER_LOGGER)
    def test_dependents_are_released_though_the_next_job_fails(self):
        uuids = self.delay_chain()
        failing = self.delay("raise_error", "value")
        self.perform([uuids[0], failing])
        self.assertEqual(self.states([*uuids, failing]), ["done", "pending", "failed"])

    @mute_logger(CONTROLLER_LOGGER)
    def test_dependents_are_released_though_the_next_job_is_lost(self):
        uuids = self.delay_chain()
        (lost,) = self.delay_plain(1)
        self.hold_lock_of(lost)
        report = self.perform([uuids[0], lost])
        self.assertEqual(self.outcomes(report)[lost], protocol.REFUSED)
        self.assertEqual(self.states([*uuids, lost]), ["done", "pending", "started"])

    @mute_logger(CONTROLLER_LOGGER)
    def test_what_an_override_does_after_a_job_is_not_work_of_the_next(self):
        original = RunJobController._enqueue_dependent_jobs

        def noting(cls, env, job):
            original(env, job)
            self.record_in(env).name = "noted"

        uuids = self.delay_many(("testing_method",), ("raise_error", "value"))
        with mock.patch.object(
            RunJobController, "_enqueue_dependent_jobs", classmethod(noting)
        ):
            self.perform(uuids)
        self.assertEqual(self.states(uuids), ["done", "failed"])
        self.assertEqual(self.name_of_record(), "noted")

    def test_job_whose_lock_is_held_elsewhere_is_passed_over(self):
        uuids = self.delay_plain(3)
        self.hold_lock_of(uuids[1])
        with mute_logger(CONTROLLER_LOGGER):
            report = self.perform(uuids)
        self.assertEqual(
            self.outcomes(report),
            {
                uuids[0]: protocol.DONE,
                uuids[1]: protocol.REFUSED,
                uuids[2]: protocol.DONE,
            },
        )
        # Whoever holds the lock performs it, or the sweep finds it dead.
        self.assertEqual(self.states(uuids), ["done", "started", "done"])

    def check_lock_that_is_held_for_a_moment(self, number):
        uuids = self.delay_plain(3)
        holder = self.hold_lock_of(uuids[number], patience=30)
        release = threading.Timer(0.5, holder.rollback)
        release.start()
        self.addCleanup(release.join)
        report = self.perform(uuids)
        self.assertEqual(set(self.outcomes(report).values()), {protocol.DONE})
        self.assertEqual(self.states(uuids), ["done"] * 3)

    def test_lock_that_a_sweep_holds_for_a_moment_is_asked_for_again(self):
        """A job that began again was lost, and waited for its sweep as a dead one."""
        for number in (0, 1):
            with self.subTest(number):
                self.check_lock_that_is_held_for_a_moment(number)
        acquire = RunJobController._acquire_job
        with (
            self.subTest("claimed by a door that a module overrides"),
            mock.patch.object(
                RunJobController,
                "_acquire_job",
                classmethod(lambda _cls, env, uuid: acquire(env, uuid)),
            ),
        ):
            self.check_lock_that_is_held_for_a_moment(0)

    def test_first_job_whose_lock_is_held_elsewhere_is_passed_over(self):
        uuids = self.delay_plain(2)
        self.hold_lock_of(uuids[0])
        with mute_logger(CONTROLLER_LOGGER):
            report = self.perform(uuids)
        self.assertEqual(
            self.outcomes(report), {uuids[0]: protocol.REFUSED, uuids[1]: protocol.DONE}
        )
        self.assertEqual(self.states(uuids), ["started", "done"])

    @mute_logger(CONTROLLER_LOGGER, "odoo.sql_db")
    def test_job_that_fails_at_its_commit_takes_nothing_along(self):
        """The claim of the next job was in the transaction that could not be committed."""

        def fail_at_commit(records, value):
            records.env.cr.execute(
                "CREATE TEMP TABLE twice (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED) "
                "ON COMMIT DROP; INSERT INTO twice VALUES (1), (1)"
            )

        uuids = self.delay_many(("return_value", 1), ("write_name", "of the second"))
        with mock.patch.object(self.model_class, "return_value", fail_at_commit):
            report = self.perform(uuids)
        self.assertEqual(
            self.outcomes(report), {uuids[0]: protocol.FAILED, uuids[1]: protocol.DONE}
        )
        self.assertEqual(self.states(uuids), ["failed", "done"])
        self.assertEqual(self.columns(uuids[1], "run_number")["run_number"], 1)
        self.assertEqual(self.name_of_record(), "of the second")

    def test_job_that_rolls_back_itself_undoes_its_work_only(self):
        """B11, in the middle of a run."""

        def roll_back(records, value):
            records.name = "undone"
            records.env.cr.rollback()

        uuids = self.delay_many(("testing_method",), ("return_value", 1))
        with mock.patch.object(self.model_class, "return_value", roll_back):
            self.perform(uuids)
        self.assertEqual(self.states(uuids), ["done", "done"])
        self.assertEqual(self.name_of_record(), "one")


@tagged("post_install", "-at_install")
class TestRunsUnheard(Unheard, TestRuns):
    """What holds of runs where each move is written by the ORM holds where SQL does it."""

    allow_inherited_tests_method = True


@tagged("post_install", "-at_install")
class TestNothingLeaksUnheard(Unheard, TestNothingLeaks):
    allow_inherited_tests_method = True


@tagged("post_install", "-at_install")
class TestHearingOfMoves(ChainedCase):
    """Whoever extends ``write`` of queue.job hears of what SQL has written."""

    def heard_by(self, module):
        heard = []
        job_class = type(self.env["queue.job"])
        write = job_class.write

        def extended(records, vals):
            heard.append(vals.get("state"))
            return write(records, vals)

        extended.__module__ = module
        with mock.patch.object(job_class, "write", extended):
            uuids = self.delay_plain(2)
            self.perform(uuids)
        self.assertEqual(self.states(uuids), ["done", "done"])
        return heard

    def test_override_of_another_addon_hears_each_move(self):
        heard = self.heard_by("odoo.addons.somebody_else.models.queue_job")
        self.assertEqual(heard, ["started", "done", "started", "done"])

    def test_override_sees_the_state_before_each_move(self):
        """C4: overrides of ``write`` saw a job go from started to started, because
        the claim is written by SQL before them.
        """
        job_class = type(self.env["queue.job"])
        write, seen = job_class.write, []

        def extended(records, vals):
            names = ("state", "worker_pid", "date_started")
            before = [tuple(record[name] for name in names) for record in records]
            result = write(records, vals)
            for record, (state, pid, started) in zip(records, before, strict=True):
                if "state" in vals:
                    seen.append((state, record.state, bool(pid), bool(started)))
            return result

        extended.__module__ = "odoo.addons.somebody_else.models.queue_job"
        with mock.patch.object(job_class, "write", extended):
            uuids = self.delay_plain(2)
            self.perform(uuids)
        moves = [
            ("enqueued", "started", False, False),
            ("started", "done", True, True),
        ]
        self.assertEqual(seen, moves * 2)
        self.assertEqual(self.states(uuids), ["done", "done"])

    def test_override_that_is_marked_is_passed_over(self):
        """C8: an override on all models that does nothing for jobs made each of them slow."""
        jobs = self.env["queue.job"]
        write = mock.Mock(__module__="odoo.addons.somebody_else.models.base")
        for passes_over in (True, False):
            write._queue_job_passes_over = passes_over
            with mock.patch.object(type(jobs), "write", write):
                self.assertEqual(jobs._has_write_overrides(), not passes_over)

    def test_events_of_component_event_are_heard_where_a_listener_is(self):
        """C8: its ``write`` on all models notifies listeners; mostly none of jobs."""
        jobs = self.env["queue.job"]
        module = "odoo.addons.component_event.models.base"
        write = mock.Mock(__module__=module, _queue_job_passes_over=False)
        for events in ((), ("a listener",)):

            def event(records, name, events=events):
                return mock.Mock(events=events)

            event.__module__ = module
            with (
                mock.patch.object(type(jobs), "write", write),
                mock.patch.object(type(jobs), "_event", event, create=True),
            ):
                self.env.registry.clear_cache()
                self.assertEqual(jobs._has_write_overrides(), bool(events))
        self.env.registry.clear_cache()

    def test_nobody_is_told_where_nobody_listens(self):
        self.assertEqual(self.heard_by("odoo.addons.queue_job.models.queue_job"), [])

    def test_stored_fields_that_depend_on_a_move_are_computed(self):
        field = self.env["queue.job"]._fields["state"]
        jobs = self.env["queue.job"]
        self.assertFalse(jobs._has_write_overrides())
        self.env.registry.clear_cache()
        dependents = {field: [mock.Mock(store=True)]}
        with mock.patch.object(
            self.registry,
            "get_dependent_fields",
            lambda name: dependents.get(name, []),
        ):
            self.assertTrue(jobs._has_write_overrides())
        self.env.registry.clear_cache()

    def test_row_that_was_looked_at_is_read_anew(self):
        job = self.env["queue.job"].with_delay()._test_job()
        job.set_started()
        job.store()
        record = job.db_record()
        self.assertEqual(record.state, "started")
        job.perform()
        job.set_done("told")
        job.store()
        self.assertEqual((record.state, record.result), ("done", "told"))
