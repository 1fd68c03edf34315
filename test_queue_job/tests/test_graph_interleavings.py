# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""People and workers move the jobs of one graph at the same time."""

import contextlib
import functools
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from unittest import mock

from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg2 import IntegrityError, OperationalError

from odoo import SUPERUSER_ID, api
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.delay import chain, group
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.graph import Joint
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.states import ENDED
from odoo.addons.queue_job.worker import WorkerDoors

from .common import CONTROLLER_LOGGER, CommittedJobCase
from .graph_programs import QUICK
from .test_runs import RunCase

# A shape: a leaf is None; a node is ("chain" or "group", [shapes]).
SHAPES = st.recursive(
    st.none(),
    lambda inner: st.tuples(
        st.sampled_from(["chain", "group"]), st.lists(inner, min_size=1, max_size=4)
    ),
    max_leaves=12,
)
ONE_AFTER_ONE = ("chain", [None, None])
TWO_BEFORE_ONE = ("chain", [("group", [None, None]), None])
OF_WORKERS = ("finish", "fail", "retry")
OF_PEOPLE = ("cancel", "requeue", "set_done", "delete")
MOVES = (*OF_WORKERS, *OF_PEOPLE)
CONFLICTS = (IntegrityError, OperationalError)
STEPS = 3  # of a session


@st.composite
def rounds(draw):
    """Moves of sessions that overlap, and the order of their steps, by session."""
    move = st.tuples(st.integers(0, 11), st.sampled_from(MOVES))
    moves = draw(st.lists(move, min_size=1, max_size=3))
    steps = [number for number in range(len(moves)) for _step in range(STEPS)]
    return moves, draw(st.permutations(steps))


class ShapeMixin:
    """For a case of committed jobs."""

    def setUp(self):
        super().setUp()
        self.addCleanup(setattr, Joint, "WORTH", Joint.WORTH)
        self.enterContext(mute_logger("odoo.sql_db", CONTROLLER_LOGGER))

    def store_shape(self, shape):
        """Store the graph of a shape; return the uuids of its leaves in order."""
        with self.new_env() as env:
            record, leaves = self.record_in(env), []

            def visit(node):
                if node is None:
                    leaves.append(record.delayable().testing_method(len(leaves)))
                    return leaves[-1]
                kind, inner = node
                parts = [visit(part) for part in inner]
                return chain(*parts) if kind == "chain" else group(*parts)

            visit(shape).delay()
            return [leaf._generated_job.uuid for leaf in leaves]

    def move_as_person(self, env, uuid, move):
        row = env["queue.job"].search([("uuid", "=", uuid)])
        if move == "cancel":
            row.button_cancelled()
        elif move == "requeue":
            row.requeue()
        elif move == "set_done":
            row.button_done()
        elif move == "delete" and row.state != "started":
            row.unlink()
        env.flush_all()

    def stuck(self):
        """Return the jobs that wait although nothing holds them back."""
        with self.new_env() as env:
            rows = env["queue.job"].search([("state", "=", "wait_dependencies")])
            return rows.filtered(
                lambda row: all(p.state in ENDED for p in row.dependency_ids)
            ).mapped("func_string")


@tagged("post_install", "-at_install")
class TestInterleavings(ShapeMixin, CommittedJobCase):
    """Two sessions move the jobs of one graph, their steps in any order.

    A session opens its transaction (and with it the snapshot), moves one job,
    and commits; the other may do so in between. A conflict rolls back and is
    tried again, as Odoo and the executor do.
    """

    def move_job(self, env, uuid, move):
        row = env["queue.job"].search([("uuid", "=", uuid)])
        if move in OF_PEOPLE:
            self.move_as_person(env, uuid, move)
        elif row.state != "pending":
            return
        elif move == "finish":
            row.write({"state": "done", "date_done": datetime.now()})
        elif move == "fail":
            row.write({"state": "failed"})
        elif move == "retry":
            row.write({"retry": row.retry + 1, "eta": datetime.now()})
        env.flush_all()

    def release(self, uuid):
        """What the executor does when the end of a job is committed."""
        with self.new_env() as env:
            row = env["queue.job"].search([("uuid", "=", uuid)])
            if row.state == "done":
                WorkerDoors._enqueue_dependent_jobs(env, Job._load_from_db_record(row))

    def step(self, env, uuid, move):
        """Move in a transaction that may have an old snapshot; again when in conflict."""
        try:
            self.move_job(env, uuid, move)
            env.cr.commit()
        except CONFLICTS:
            env.cr.rollback()
            with self.new_env() as again:
                self.move_job(again, uuid, move)
        if move == "finish":
            self.release(uuid)

    @settings(QUICK, max_examples=12)
    @given(
        shape=SHAPES,
        worth=st.sampled_from([0, 64]),
        steps=st.lists(
            st.tuples(st.integers(0, 11), st.sampled_from(MOVES)),
            min_size=2,
            max_size=6,
        ),
    )
    @example(TWO_BEFORE_ONE, 0, [(0, "set_done"), (1, "set_done")])
    @example(TWO_BEFORE_ONE, 64, [(0, "set_done"), (1, "finish")])
    @example(TWO_BEFORE_ONE, 64, [(0, "cancel"), (0, "delete"), (2, "requeue")])
    @example(
        ONE_AFTER_ONE,
        64,
        [(0, "cancel"), (0, "requeue"), (1, "requeue"), (0, "cancel")],
    )
    @example(ONE_AFTER_ONE, 64, [(1, "cancel"), (0, "finish"), (1, "requeue")])
    @example(ONE_AFTER_ONE, 64, [(1, "cancel"), (1, "requeue"), (0, "set_done")])
    def test_no_job_waits_for_nothing(self, shape, worth, steps):
        Joint.WORTH = worth
        uuids = self.store_shape(shape)
        for first, second in itertools.pairwise(steps):
            # Both snapshots are older than both moves.
            with self.new_env() as env1, self.new_env() as env2:
                for env in (env1, env2):
                    env.cr.execute("SELECT count(*) FROM queue_job")
                for env, (index, move) in ((env1, first), (env2, second)):
                    self.step(env, uuids[index % len(uuids)], move)
            self.assertFalse(self.stuck())


class Session:
    """A thread with one move to make, in steps that are ordered from outside.

    A person looks, moves, commits. A worker claims a job, is in the middle of it,
    and ends it. A step that waits for a lock is left waiting, as in life.
    """

    WAITS = 0.1  # seconds until a step is taken to wait for another session
    PATIENCE = 60  # seconds for all of it

    def __init__(self, case, uuid, move):
        self._case, self._uuid, self._move = case, uuid, move
        self._pool = ThreadPoolExecutor(1)
        self._in_the_middle, self._may_end = threading.Event(), threading.Event()
        self._futures = []
        self._cr = None

    def steps(self):
        if self._move in OF_WORKERS:
            return [self._begin_work, self._may_end.set, self._wait]
        return [
            functools.partial(self._submit, step)
            for step in (self._look, self._act, self._commit)
        ]

    def _submit(self, step):
        self._futures.append(self._pool.submit(step))
        self._wait()

    def _wait(self):
        wait(self._futures[-1:], self.WAITS)

    def end(self):
        """Let everything come to its end; what went wrong is raised."""
        self._may_end.set()
        try:
            for future in self._futures:
                future.result(self.PATIENCE)
        finally:
            self._pool.shutdown()
            if self._cr:
                self._cr.close()

    # A person ---------------------------------------------------------------

    def _look(self):
        self._cr = self._case.registry.cursor()
        self._cr.execute("SELECT count(*) FROM queue_job")

    def _act(self):
        """Move; in case of a conflict nothing is done, and the commit begins anew."""
        env = api.Environment(self._cr, SUPERUSER_ID, {})
        try:
            self._case.move_as_person(env, self._uuid, self._move)
            self._has_moved = True
        except CONFLICTS:
            self._cr.rollback()
            self._has_moved = False

    def _commit(self):
        while True:
            try:
                if self._has_moved:
                    self._cr.commit()  # pylint: disable=invalid-commit # its own cursor
                    return
            except CONFLICTS:
                self._cr.rollback()
            self._act()

    # A worker ---------------------------------------------------------------

    def _begin_work(self):
        self._futures.append(self._pool.submit(self._work))
        self._in_the_middle.wait(self.WAITS)

    def _work(self):
        self._case.sessions[threading.get_ident()] = self
        self._case.run_as_worker(self._uuid)
        self._in_the_middle.set()

    def perform(self):
        """What the job does."""
        self._in_the_middle.set()
        self._may_end.wait(self.PATIENCE)
        if self._move == "fail":
            raise ValueError("failed")
        if self._move == "retry":
            raise RetryableJobError("again", seconds=1)


@tagged("post_install", "-at_install")
class TestSimultaneousMoves(ShapeMixin, RunCase):
    """Sessions that really overlap: real claims, real runs, uncommitted moves."""

    def setUp(self):
        super().setUp()
        self.sessions = {}

        def testing_method(_records, _number):
            session = self.sessions.get(threading.get_ident())
            if session:
                session.perform()

        self.startPatcher(
            mock.patch.object(self.model_class, "testing_method", testing_method)
        )

    def run_as_worker(self, uuid):
        """Mark a pending job as the runner does, and run it as a worker does."""
        with self.registry.cursor() as cr:
            cr.execute(
                "UPDATE queue_job SET state = 'enqueued' WHERE id IN (SELECT id "
                "FROM queue_job WHERE uuid = %s AND state = 'pending' "
                "FOR NO KEY UPDATE SKIP LOCKED)",
                (uuid,),
            )
            found = cr.rowcount
        if found:
            self.perform([uuid])

    def test_many_parents_that_end_at_once_release_each_child_once(self):
        count, barrier = 8, threading.Barrier(8, timeout=60)

        def testing_method(_records, number):
            if number < count:
                barrier.wait()
            ran.append(number)

        self.patch(self.model_class, "testing_method", testing_method)
        shape = ("chain", [("group", [None] * count), ("group", [None] * 2)])
        for worth in (0, 64):
            Joint.WORTH = worth
            for _round in range(10):
                ran = []
                *parents, one, other = self.store_shape(shape)
                with ThreadPoolExecutor(count) as pool:
                    list(pool.map(self.run_as_worker, parents))
                self.assertEqual(self.states([one, other]), ["pending"] * 2)
                self.run_as_worker(one)
                self.run_as_worker(other)
                self.assertEqual(sorted(ran), list(range(count + 2)))

    def jobs_in(self, env, *states):
        domain = [("id", "not in", self.known_jobs), ("state", "in", states)]
        return env["queue.job"].search(domain, order="id")

    def drain(self, is_in_order):
        """Run what may run, and requeue what failed, until nothing moves any more.

        :param is_in_order: nobody has requeued a parent of what was released already
        """
        self.sessions.clear()
        while True:
            with self.new_env() as env:
                pending = self.jobs_in(env, "pending").mapped("uuid")
                failed = self.jobs_in(env, "failed")
                if not pending and not failed:
                    return
                if not pending:
                    failed.requeue()
            for uuid in pending:
                with self.new_env() as env:
                    job = env["queue.job"].search([("uuid", "=", uuid)])
                    before = set(job.dependency_ids.mapped("state"))
                if is_in_order:
                    self.assertLessEqual(before, set(ENDED))
                self.run_as_worker(uuid)

    def play(self, uuids, moves, order):
        """Make some moves, their steps in an order of numbers of the moves."""
        sessions = [
            Session(self, uuids[index % len(uuids)], move) for index, move in moves
        ]
        steps = [iter(session.steps()) for session in sessions]
        with contextlib.ExitStack() as stack:
            for session in sessions:
                stack.callback(session.end)
            for number in order:
                next(steps[number])()

    @settings(QUICK, max_examples=25)
    @given(
        shape=SHAPES,
        worth=st.sampled_from([0, 64]),
        rounds=st.lists(rounds(), min_size=1, max_size=3),
    )
    # Nobody sees what another has done and not committed.
    @example(
        TWO_BEFORE_ONE, 64, [([(0, "set_done"), (1, "set_done")], [0, 0, 1, 1, 0, 1])]
    )
    @example(
        TWO_BEFORE_ONE, 0, [([(0, "finish"), (1, "set_done")], [1, 1, 0, 0, 0, 1])]
    )
    @example(
        ONE_AFTER_ONE,
        64,
        [
            ([(1, "cancel")], [0, 0, 0]),
            ([(1, "requeue"), (0, "finish")], [0, 0, 1, 1, 1, 0]),
        ],
    )
    @example(
        ONE_AFTER_ONE,
        64,
        [
            ([(0, "finish")], [0, 0, 0]),
            ([(1, "retry"), (0, "requeue")], [0, 1, 1, 1, 0, 0]),
        ],
    )
    @example(TWO_BEFORE_ONE, 0, [([(0, "delete"), (1, "finish")], [0, 0, 1, 1, 1, 0])])
    def test_no_job_waits_for_nothing_and_all_end(self, shape, worth, rounds):
        Joint.WORTH = worth
        uuids = self.store_shape(shape)
        for moves, order in rounds:
            self.play(uuids, moves, order)
            self.assertFalse(self.stuck(), moves)
        all_moves = {move for moves, _order in rounds for _index, move in moves}
        self.drain(is_in_order="requeue" not in all_moves)
        with self.new_env() as env:
            rest = self.jobs_in(
                env, *("wait_dependencies", "pending", "enqueued", "started")
            )
            self.assertFalse(rest.mapped("func_string"))
            self.jobs_in(env, *ENDED).unlink()
