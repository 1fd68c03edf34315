# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Random graphs against simple models: order, storage, and that everything ends."""

import itertools
from datetime import datetime

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg2 import IntegrityError, OperationalError

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.delay import chain, group
from odoo.addons.queue_job.executor_run import RunExecutor
from odoo.addons.queue_job.graph import Joint
from odoo.addons.queue_job.job import Job

from .common import CONTROLLER_LOGGER, CommittedJobCase, JobCase

# A shape: a leaf is None; a node is ("chain" or "group", [shapes]).
SHAPES = st.recursive(
    st.none(),
    lambda inner: st.tuples(
        st.sampled_from(["chain", "group"]), st.lists(inner, min_size=1, max_size=4)
    ),
    max_leaves=12,
)
QUICK = settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def model_of(shape):
    """Return ``(leaves, edges, first, last)`` of a shape, leaves numbered from 0."""
    counter = itertools.count()

    def visit(node):
        if node is None:
            leaf = next(counter)
            return [leaf], set(), [leaf], [leaf]
        kind, inner = node
        parts = [visit(part) for part in inner]
        leaves = [leaf for part in parts for leaf in part[0]]
        edges = set().union(*(part[1] for part in parts))
        if kind == "group":
            firsts = [leaf for part in parts for leaf in part[2]]
            lasts = [leaf for part in parts for leaf in part[3]]
            return leaves, edges, firsts, lasts
        for before, after in itertools.pairwise(parts):
            edges |= set(itertools.product(before[3], after[2]))
        return leaves, edges, parts[0][2], parts[-1][3]

    return visit(shape)


class ShapeMixin:
    def build(self, shape, record):
        """Return the delayable of a shape and its leaves in order."""
        leaves = []

        def visit(node):
            if node is None:
                leaves.append(record.delayable().testing_method(len(leaves)))
                return leaves[-1]
            kind, inner = node
            parts = [visit(part) for part in inner]
            return chain(*parts) if kind == "chain" else group(*parts)

        return visit(shape), leaves


@tagged("post_install", "-at_install")
class TestRandomGraphs(ShapeMixin, JobCase):
    def setUp(self):
        super().setUp()
        self.worth = Joint.WORTH
        self.addCleanup(setattr, Joint, "WORTH", self.worth)

    @QUICK
    @given(shape=SHAPES, worth=st.sampled_from([0, 64]))
    def test_stored_graph_is_the_one_asked_for(self, shape, worth):
        """Both as edges and through joints."""
        Joint.WORTH = worth
        top, leaves = self.build(shape, self.record)
        top.delay()
        uuids = [leaf._generated_job.uuid for leaf in leaves]
        number = {uuid: index for index, uuid in enumerate(uuids)}
        _leaves, edges, _firsts, _lasts = model_of(shape)
        self.env.invalidate_all()
        stored = {
            (number[parent.uuid], number[job.uuid])
            for job in Job.load_many(self.env, uuids)
            for parent in job.depends_on
        }
        self.assertEqual(stored, edges)
        back = {
            (number[job.uuid], number[child.uuid])
            for job in Job.load_many(self.env, uuids)
            for child in job.reverse_depends_on
        }
        self.assertEqual(back, edges)

    @QUICK
    @given(shape=SHAPES, worth=st.sampled_from([0, 64]), data=st.data())
    def test_every_possible_order_respects_the_graph_and_ends(self, shape, worth, data):
        """Whatever pending job is performed next, no child comes before a parent."""
        Joint.WORTH = worth
        top, leaves = self.build(shape, self.record)
        top.delay()
        uuids = [leaf._generated_job.uuid for leaf in leaves]
        _leaves, edges, _firsts, _lasts = model_of(shape)
        done = []
        while True:
            self.env.invalidate_all()
            rows = self.job_model.search([("uuid", "in", uuids)])
            pending = rows.filtered(lambda row: row.state == "pending").sorted("id")
            expected = {
                leaf
                for leaf in range(len(uuids))
                if leaf not in done and all(a in done for a, b in edges if b == leaf)
            }
            self.assertEqual({uuids.index(row.uuid) for row in pending}, expected)
            if not pending:
                break
            row = pending[data.draw(st.integers(0, len(pending) - 1))]
            job = Job.load(self.env, row.uuid)
            job.perform()
            job.set_done()
            job.store()
            self.env.flush_all()
            RunExecutor._enqueue_dependent_jobs(self.env, job)
            done.append(uuids.index(row.uuid))
        self.assertEqual(sorted(done), list(range(len(uuids))))


ONE_AFTER_ONE = ("chain", [None, None])
TWO_BEFORE_ONE = ("chain", [("group", [None, None]), None])
MOVES = ("finish", "fail", "retry", "cancel", "requeue", "set_done", "delete")


@tagged("post_install", "-at_install")
class TestInterleavings(ShapeMixin, CommittedJobCase):
    """Two sessions move the jobs of one graph, their steps in any order.

    A session opens its transaction (and with it the snapshot), moves one job,
    and commits; the other may do so in between. A conflict rolls back and is
    tried again, as Odoo and the executor do.
    """

    def setUp(self):
        super().setUp()
        self.worth = Joint.WORTH
        self.addCleanup(setattr, Joint, "WORTH", self.worth)
        self.enterContext(mute_logger("odoo.sql_db", CONTROLLER_LOGGER))

    def store_shape(self, shape):
        with self.new_env() as env:
            top, leaves = self.build(shape, self.record_in(env))
            top.delay()
            return [leaf._generated_job.uuid for leaf in leaves]

    def move_job(self, env, uuid, move):
        row = env["queue.job"].search([("uuid", "=", uuid)])
        if move == "finish" and row.state == "pending":
            row.write({"state": "done", "date_done": datetime.now()})
            env.flush_all()
        elif move == "fail" and row.state == "pending":
            row.write({"state": "failed"})
        elif move == "retry" and row.state == "pending":
            row.write({"retry": row.retry + 1, "eta": datetime.now()})
        elif move == "cancel":
            row.button_cancelled()
        elif move == "requeue":
            row.requeue()
        elif move == "set_done":
            row.button_done()
        elif move == "delete" and row.state in ("done", "cancelled"):
            row.unlink()
        env.flush_all()

    def release(self, uuid):
        """What the executor does when the end of a job is committed."""
        with self.new_env() as env:
            row = env["queue.job"].search([("uuid", "=", uuid)])
            if row.state == "done":
                RunExecutor._enqueue_dependent_jobs(env, Job._load_from_db_record(row))

    def step(self, env, uuid, move):
        """Move in a transaction that may have an old snapshot; again when in conflict."""
        try:
            self.move_job(env, uuid, move)
            env.cr.commit()
        except (IntegrityError, OperationalError):
            env.cr.rollback()
            with self.new_env() as again:
                self.move_job(again, uuid, move)
        if move == "finish":
            self.release(uuid)

    def stuck(self):
        """Return the jobs that wait although nothing holds them back."""
        with self.new_env() as env:
            rows = env["queue.job"].search([("state", "=", "wait_dependencies")])
            return rows.filtered(
                lambda row: all(
                    p.state in ("done", "cancelled") for p in row.dependency_ids
                )
            ).mapped("func_string")

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
