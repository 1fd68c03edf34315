# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Large graphs: what they cost does not grow faster than they do. Counted, not timed."""

from odoo.tests import tagged

from odoo.addons.queue_job.delay import chain, group
from odoo.addons.queue_job.executor_run import RunExecutor
from odoo.addons.queue_job.job import Job

from .common import JobCase


@tagged("post_install", "-at_install")
class TestLargeGraphs(JobCase):
    def delayables(self, count):
        return [self.record.delayable().testing_method() for _ in range(count)]

    def count_queries(self, function):
        before = self.env.cr.sql_log_count
        function()
        self.env.flush_all()
        return self.env.cr.sql_log_count - before

    def edges(self):
        self.env.cr.execute("SELECT count(*) FROM queue_job_dependency")
        return self.env.cr.fetchone()[0]

    def parents_and_children(self, size):
        parents, children = self.delayables(size), self.delayables(size)
        chain(group(*parents), group(*children)).delay()
        return [d._generated_job for d in parents], [d._generated_job for d in children]

    def end(self, job):
        row = job._record()
        row._editor().write({"state": "done"})
        self.env.flush_all()

    def test_n_before_m_costs_n_plus_m(self):
        before = self.edges()
        queries = self.count_queries(lambda: self.parents_and_children(2000))
        self.assertEqual(self.edges() - before, 4000)
        self.assertLess(queries, 60)

    def test_end_of_a_parent_costs_the_same_in_a_large_group(self):
        counts = []
        for size in (10, 100):
            parents, _children = self.parents_and_children(size)
            self.end(parents[0])
            job = Job.load(self.env, parents[0].uuid)
            counts.append(
                self.count_queries(
                    lambda j=job: RunExecutor._enqueue_dependent_jobs(self.env, j)
                )
            )
        self.assertEqual(counts[0], counts[1])
        self.assertLess(counts[0], 6)

    def test_last_parent_releases_all_children_at_once(self):
        parents, children = self.parents_and_children(300)
        rows = self.job_model.browse([job._db_id for job in parents])
        rows._editor().write({"state": "done"})
        job = Job.load(self.env, parents[0].uuid)
        queries = self.count_queries(
            lambda: RunExecutor._enqueue_dependent_jobs(self.env, job)
        )
        self.env.invalidate_all()
        released = self.job_model.browse([job._db_id for job in children])
        self.assertEqual(set(released.mapped("state")), {"pending"})
        self.assertLess(queries, 12)

    def test_cancelling_the_parent_of_thousands_is_a_few_statements(self):
        [parent] = top = self.delayables(1)
        children = self.delayables(2_000)
        chain(group(*top), group(*children)).delay()
        row = parent._generated_job._record()
        queries = self.count_queries(row.button_cancelled)
        states = self.job_model._read_group(
            [("graph_uuid", "=", row.graph_uuid)], ["state"], ["__count"]
        )
        self.assertEqual(states, [("cancelled", 2_001)])
        self.assertLess(queries, 12)

    def test_fields_of_a_graph_cost_the_same_in_a_large_one(self):
        counts = []
        for size in (10, 200):
            parents, _children = self.parents_and_children(size)
            self.env.invalidate_all()
            row = self.job_model.browse(parents[0]._db_id)

            def read(row=row):
                row.read(
                    [
                        "dependency_ids",
                        "dependent_ids",
                        "dependency_graph",
                        "graph_jobs_count",
                    ]
                )

            counts.append(self.count_queries(read))
        self.assertEqual(counts[0], counts[1])

    def test_cycle_is_refused_with_the_jobs_on_it(self):
        first, second, outside = self.delayables(3)
        outside.on_done(first)
        first.on_done(second)
        second.on_done(first)
        with self.assertRaisesRegex(
            ValueError, r"wait for each other.*testing_method.*→"
        ):
            outside.delay()
        for delayable in (first, second, outside):
            delayable._generated_job = True
