# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Large graphs: what they cost does not grow faster than they do. Counted, not timed."""

import json
import tracemalloc

from odoo import sql_db
from odoo.tests import tagged
from odoo.tools import SQL

from odoo.addons.queue_job.delay import chain, group
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.sql import statements as sql
from odoo.addons.queue_job.worker import WorkerDoors

from .common import JobCase


@tagged("post_install", "-at_install")
class TestLargeGraphs(JobCase):
    def setUp(self):
        super().setUp()
        # What other tests rolled back is read as well, until it is removed.
        with sql_db.db_connect(self.env.cr.dbname).cursor() as cursor:
            cursor._cnx.autocommit = True
            cursor.execute("VACUUM queue_job, queue_job_dependency")

    def delayables(self, count):
        return [self.record.delayable().testing_method() for _ in range(count)]

    def count_queries(self, function):
        before = self.env.cr.sql_log_count
        function()
        self.env.flush_all()
        return self.env.cr.sql_log_count - before

    def rows_read(self, function, analyzed="queue_job, queue_job_dependency"):
        """Return how many rows and index entries of jobs and edges are read for it.

        :param analyzed: tables of which the statistics are those of this moment
        """
        self.env.flush_all()
        self.env.cr.execute(f"ANALYZE {analyzed}")
        # Which pays for small tables, however small a part is wanted.
        self.env.cr.execute("SET LOCAL enable_seqscan = off")
        before = self.rows_read_until_now()
        function()
        self.env.flush_all()
        return self.rows_read_until_now() - before

    def rows_read_until_now(self):
        self.env.cr.execute(
            """
            WITH tables AS (
                SELECT unnest('{queue_job,queue_job_dependency}'::regclass[]) AS oid
            )
            SELECT sum(pg_stat_get_xact_tuples_returned(oid)
                       + pg_stat_get_xact_tuples_fetched(oid))
            FROM (
                SELECT oid FROM tables
                UNION ALL
                SELECT indexrelid FROM pg_index JOIN tables ON indrelid = oid
            ) AS looked_at
            """
        )
        return self.env.cr.fetchone()[0]

    def rows_in_plan(self, query):
        """Return how many rows all nodes of a plan give."""
        self.env.flush_all()
        self.env.cr.execute("ANALYZE queue_job, queue_job_dependency")
        self.env.cr.execute(SQL("EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) %s", query))
        nodes = [self.env.cr.fetchone()[0][0]["Plan"]]
        for node in nodes:
            nodes += node.get("Plans", ())
        return sum(node["Actual Rows"] * node["Actual Loops"] for node in nodes)

    def memory(self, function):
        """Return how many bytes Python needs for it at most."""
        tracemalloc.start()
        try:
            function()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def assert_linear(self, measure, small=50, large=200):
        """Fail when what is measured for a size grows much faster than the size."""
        costs = [measure(size) for size in (small, large)]
        self.assertLess(costs[1], 1.6 * large / small * costs[0], costs)

    def edges(self):
        self.env.cr.execute("SELECT count(*) FROM queue_job_dependency")
        return self.env.cr.fetchone()[0]

    def parents_and_children(self, size):
        parents, children = self.delayables(size), self.delayables(size)
        chain(group(*parents), group(*children)).delay()
        return [d._generated_job for d in parents], [d._generated_job for d in children]

    def end(self, job):
        row = job.record
        row._editor().write({"state": "done"})
        self.env.flush_all()

    def test_n_before_m_costs_n_plus_m(self):
        before = self.edges()
        queries = self.count_queries(lambda: self.parents_and_children(2000))
        self.assertEqual(self.edges() - before, 4000)
        self.assertLess(queries, 60)

    def test_all_that_waits_for_a_group_waits_for_it_together(self):
        """As long arguments of ``on_done``, too."""
        before = self.edges()
        parents, children = self.delayables(200), self.delayables(100)
        group(*parents).on_done(*children).delay()
        self.assertEqual(self.edges() - before, 300)

    def test_b36_memory_of_a_graph_grows_with_its_jobs(self):
        def memory(size):
            return self.memory(lambda: self.parents_and_children(size))

        memory(10)  # what is made once
        self.assert_linear(memory, 100, 400)

    def test_delaying_again_adds_no_edges(self):
        parents, children = self.delayables(20), self.delayables(20)
        top = chain(group(*parents), group(*children))
        top.delay()
        before = self.edges()
        top.delay()
        self.assertEqual(self.edges(), before)

    def test_end_of_a_parent_reads_the_same_in_a_large_group_before_one(self):
        """All but two of the parents are done: one look finds the other."""

        def rows(size):
            parents, [child] = self.delayables(size), self.delayables(1)
            group(*parents).on_done(child).delay()
            jobs = [delayable._generated_job for delayable in parents]
            ended = self.job_model.browse([job.row_id for job in jobs[:-1]])
            ended._editor().write({"state": "done"})
            job = Job.load(self.env, jobs[-2].uuid)
            return self.rows_read(
                lambda: WorkerDoors._enqueue_dependent_jobs(self.env, job)
            )

        self.assertLess(rows(400), rows(20) + 20)

    def test_end_of_a_parent_reads_the_same_whatever_statistics_say(self):
        """They are of a time when no job waited: now thousands do, until the next analysis."""
        self.job_model.search([])._editor().write({"state": "done"})
        group(*self.delayables(200)).delay()
        self.job_model.search([])._editor().write({"state": "done"})
        self.env.flush_all()
        self.env.cr.execute("ANALYZE queue_job")
        self.parents_and_children(500)
        parent, child = self.delayables(1)[0], self.delayables(1)[0]
        chain(parent, child).delay()
        job = Job.load(self.env, parent._generated_job.uuid)
        job.set_done()
        job.store()

        def release():
            WorkerDoors._enqueue_dependent_jobs(self.env, job)

        # PostgreSQL keeps a plan of a function from the sixth time on.
        read = [
            self.rows_read(release, analyzed="queue_job_dependency")
            for _number in range(8)
        ]
        self.assertLess(max(read), 50, read)

    def test_memory_of_moving_a_whole_group_grows_with_its_jobs(self):
        for name in ("button_cancelled", "unlink"):

            def memory(size, name=name):
                parents, _children = self.parents_and_children(size)
                jobs = self.job_model.browse([job.row_id for job in parents])
                self.env.invalidate_all()
                return self.memory(getattr(jobs, name))

            memory(10)  # what is made once
            with self.subTest(name):
                self.assert_linear(memory, 100, 400)

    def test_what_waits_behind_a_group_is_found_joint_by_joint(self):
        def rows(size):
            parents, _children = self.parents_and_children(size)
            ids = [job.row_id for job in parents]
            return self.rows_in_plan(SQL(sql.waiting_behind, jobs=ids))

        self.assert_linear(rows)

    def test_searches_do_not_make_all_pairs(self):
        size = 200
        parents, _children = self.parents_and_children(size)
        graph = ("graph_uuid", "=", parents[0].graph_uuid)
        for field in ("dependency_ids", "dependent_ids"):
            domain = [(field, "any", [graph])]
            with self.subTest(field):
                self.assertEqual(self.job_model.search_count(domain), size)
                query = self.job_model._search(domain).select()
                self.assertLess(self.rows_in_plan(query), size * size)

    def test_sweep_looks_at_a_joint_once(self):
        """Its first parent has failed: all others are looked at before."""

        def rows(size):
            parents, children = (
                [job.row_id for job in jobs] for jobs in self.parents_and_children(size)
            )
            jobs = self.job_model.browse(parents)
            jobs[:1]._editor().write({"state": "failed"})
            jobs[1:]._editor().write({"state": "done"})
            self.job_model.browse(children)._editor().write(
                {"date_created": "2020-01-01"}
            )
            last = min(children) - 1
            return self.rows_read(
                lambda: self.env.cr.execute(
                    sql.old_waiting, {"after": last, "age": "1 minute"}
                )
            )

        self.assert_linear(rows)

    def test_child_that_is_put_off_loads_none_of_its_parents(self):
        _parents, children = self.parents_and_children(20)
        job = Job.load(self.env, children[0].uuid)
        loaded = []
        self.patch(Job, "restored", classmethod(lambda *args: loaded.append(args)))
        job.set_pending()
        self.assertEqual((job.state, loaded), ("wait_dependencies", []))

    def test_end_of_a_parent_costs_the_same_in_a_large_group(self):
        counts = []
        for size in (10, 100):
            parents, _children = self.parents_and_children(size)
            self.end(parents[0])
            job = Job.load(self.env, parents[0].uuid)
            counts.append(
                self.count_queries(
                    lambda j=job: WorkerDoors._enqueue_dependent_jobs(self.env, j)
                )
            )
        self.assertEqual(counts[0], counts[1])
        self.assertLess(counts[0], 6)

    def test_last_parent_releases_all_children_at_once(self):
        parents, children = self.parents_and_children(300)
        rows = self.job_model.browse([job.row_id for job in parents])
        rows._editor().write({"state": "done"})
        job = Job.load(self.env, parents[0].uuid)
        queries = self.count_queries(
            lambda: WorkerDoors._enqueue_dependent_jobs(self.env, job)
        )
        self.env.invalidate_all()
        released = self.job_model.browse([job.row_id for job in children])
        self.assertEqual(set(released.mapped("state")), {"pending"})
        self.assertLess(queries, 12)

    def test_cancelling_the_parent_of_thousands_is_a_few_statements(self):
        # Odoo writes a thousand rows at a time.
        for size, most in ((2_000, 12), (10_000, 20)):
            with self.subTest(size=size):
                [parent] = top = self.delayables(1)
                children = self.delayables(size)
                chain(group(*top), group(*children)).delay()
                row = parent._generated_job.record
                queries = self.count_queries(row.button_cancelled)
                states = self.job_model._read_group(
                    [("graph_uuid", "=", row.graph_uuid)], ["state"], ["__count"]
                )
                self.assertEqual(states, [("cancelled", size + 1)])
                self.assertLess(queries, most)

    def test_fields_of_a_graph_cost_the_same_in_a_large_one(self):
        counts = []
        for size in (10, 200):
            parents, _children = self.parents_and_children(size)
            self.env.invalidate_all()
            row = self.job_model.browse(parents[0].row_id)

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

    def test_picture_of_n_before_m_has_n_plus_m_edges(self):
        """``dependency_graph`` of a group before a group has the joint as a node.

        For two groups of 1,000 it made a million edges: 13 MB, and 22 seconds.
        """
        parents, children = self.parents_and_children(200)
        graph = parents[0].db_record().dependency_graph
        joints = [node["id"] for node in graph["nodes"] if node["id"] < 0]
        self.assertEqual((len(graph["nodes"]), len(joints)), (401, 1))
        self.assertIn("200 jobs before 200 jobs", graph["nodes"][-1]["title"])
        ids = [[job.db_record().id for job in jobs] for jobs in (parents, children)]
        self.assertCountEqual(
            graph["edges"],
            [[parent, joints[0]] for parent in ids[0]]
            + [[joints[0], child] for child in ids[1]],
        )

    def test_picture_of_a_graph_grows_with_its_jobs(self):
        def size(count):
            parents, _children = self.parents_and_children(count)
            row = parents[0].db_record()
            return len(json.dumps([row.dependency_graph, row.dependency_graph_facts]))

        self.assert_linear(size)

    def test_picture_without_most_parents_needs_no_joint(self):
        """The edges of what is left, when the vacuum took the other parents."""
        parents, children = self.parents_and_children(20)
        parent = parents[0].db_record()
        for other in parents[1:]:
            other.db_record().unlink()
        self.env.invalidate_all()
        self.assertEqual(
            parent.dependency_graph["edges"],
            [[parent.id, child.db_record().id] for child in children],
        )

    def test_picture_of_groups_in_a_chain_has_each_joint_once(self):
        members = [self.delayables(size) for size in (20, 10, 30)]
        chain(*(group(*delayables) for delayables in members)).delay()
        row = members[0][0]._generated_job.db_record()
        edges = [tuple(edge) for edge in row.dependency_graph["edges"]]
        self.assertEqual(len(edges), len(set(edges)))
        self.assertEqual(len(edges), 20 + 10 + 10 + 30)

    def test_links_of_jobs_cost_the_same_in_a_large_graph(self):
        counts = []
        for size in (10, 200):
            parents, children = self.parents_and_children(size)
            self.env.invalidate_all()
            parent, child = (
                Job.load(self.env, jobs[0].uuid) for jobs in (parents, children)
            )
            counts.append(
                [
                    self.count_queries(lambda p=parent: len(p.reverse_depends_on)),
                    self.count_queries(lambda c=child: len(c.depends_on)),
                ]
            )
        self.assertEqual(*counts)

    def test_cycle_is_refused_with_the_jobs_on_it(self):
        outside, first, second = delayables = [
            self.record.delayable().testing_method(name)
            for name in ("outside", "first", "second")
        ]
        outside.on_done(first)
        first.on_done(second)
        second.on_done(first)
        with self.assertRaisesRegex(ValueError, r"wait for each other.*→") as caught:
            outside.delay()
        for delayable in delayables:
            delayable._generated_job = True
        message = str(caught.exception)
        self.assertIn("'first'", message)
        self.assertIn("'second'", message)
        self.assertNotIn("'outside'", message)
