# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Random graphs against a simple model: order, storage, and that everything ends."""

import itertools
import re

from hypothesis import assume, example, given
from hypothesis import strategies as st

from odoo.tests import tagged

from odoo.addons.queue_job.graph import Joint
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.worker import WorkerDoors

from .common import JobCase
from .graph_programs import QUICK, Model, build, programs

# Both as edges and through joints.
WORTH = st.sampled_from([0, 64])


@tagged("post_install", "-at_install")
class TestRandomGraphs(JobCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(setattr, Joint, "WORTH", Joint.WORTH)

    def delay(self, program, worth):
        """Store a graph; return the uuids of its jobs by number."""
        Joint.WORTH = worth
        top, delayables = build(program, self.record)
        top.delay()
        return [delayable._generated_job.uuid for delayable in delayables]

    @QUICK
    @given(program=programs(), worth=WORTH)
    @example([("job",), ("split", 0, False), ("job",), ("chain", [0, 1, 2])], 64)
    @example(
        [
            *(("job",), ("group", []), ("job",)),
            *(("on_done", 0, [1]), ("on_done", 1, [2])),
        ],
        64,
    )
    @example([("job",), ("job",), ("group", [0, 1]), ("chain", [2, 0])], 0)
    def test_stored_graph_is_the_one_asked_for(self, program, worth):
        model = Model(program)
        if model.has_cycle():
            self.assert_cycle_is_refused(program, worth)
            return
        uuids = self.delay(program, worth)
        number = {uuid: index for index, uuid in enumerate(uuids)}
        self.env.invalidate_all()
        jobs = Job.load_many(self.env, uuids)
        self.assertEqual(len(jobs), len(model.jobs))
        forward = {
            (number[parent.uuid], number[job.uuid])
            for job in jobs
            for parent in job.depends_on
        }
        self.assertEqual(forward, model.edges)
        back = {
            (number[job.uuid], number[child.uuid])
            for job in jobs
            for child in job.reverse_depends_on
        }
        self.assertEqual(back, model.edges)

    def assert_cycle_is_refused(self, program, worth):
        before = self.job_model.search_count([])
        Joint.WORTH = worth
        top, delayables = build(program, self.record)
        for number, delayable in enumerate(delayables):
            delayable.testing_method(number)
        with self.assertRaisesRegex(ValueError, "wait for each other") as caught:
            top.delay()
        self.assertEqual(self.job_model.search_count([]), before)
        for delayable in delayables:
            delayable._generated_job = True  # not to be delayed
        # It names the jobs on one cycle, in order, the first again at the end.
        named = [
            int(found)
            for found in re.findall(r"method\(\((\d+),\)", str(caught.exception))
        ]
        self.assertEqual(named[0], named[-1])
        self.assertEqual(len(set(named)), len(named) - 1)
        self.assertLessEqual(set(itertools.pairwise(named)), Model(program).edges)

    @QUICK
    @given(program=programs(), worth=WORTH, data=st.data())
    def test_every_possible_order_respects_the_graph_and_ends(
        self, program, worth, data
    ):
        """Whatever pending job is performed next, no child comes before a parent."""
        model = Model(program)
        assume(model.jobs and not model.has_cycle())
        uuids = self.delay(program, worth)
        done = []
        while True:
            self.env.invalidate_all()
            rows = self.job_model.search([("uuid", "in", uuids)])
            pending = rows.filtered(lambda row: row.state == "pending").sorted("id")
            numbers = {uuids.index(row.uuid) for row in pending}
            self.assertEqual(numbers, model.ready(done))
            if not pending:
                break
            row = pending[data.draw(st.integers(0, len(pending) - 1))]
            job = Job.load(self.env, row.uuid)
            job.perform()
            job.set_done()
            job.store()
            self.env.flush_all()
            WorkerDoors._enqueue_dependent_jobs(self.env, job)
            done.append(uuids.index(row.uuid))
        self.assertEqual(sorted(done), model.jobs)
