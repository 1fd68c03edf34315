# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import itertools
import sys
import uuid
from unittest import mock

from odoo.tests import BaseCase, tagged

from odoo.addons.queue_job.delay import (
    Delayable,
    DelayableGraph,
    Graph,
    chain,
    group,
)
from odoo.addons.queue_job.job import Job

from .common import JobCase

EDGES = [(0, 5), (0, 4), (1, 4), (2, 3), (2, 5), (3, 1)]


def graph_of(edges):
    graph = Graph()
    for parent, child in edges:
        graph.add_edge(parent, child)
    return graph


@tagged("post_install", "-at_install")
class TestGraph(BaseCase):
    def test_add_vertex_twice_keeps_one(self):
        graph = Graph()
        graph.add_vertex("a")
        graph.add_edge("a", "b")
        graph.add_vertex("a")
        self.assertEqual(graph.vertices(), {"a", "b"})
        self.assertEqual(graph.edges(), [("a", "b")])

    def test_add_edge_adds_both_vertices_once(self):
        graph = Graph()
        graph.add_edge("a", "b")
        graph.add_edge("a", "b")
        self.assertEqual(graph.vertices(), {"a", "b"})
        self.assertEqual(graph.edges(), [("a", "b")])

    def test_made_of_a_dict(self):
        graph = Graph({"a": {"b", "c"}, "b": set(), "c": {"b"}})
        self.assertEqual(sorted(graph.edges()), [("a", "b"), ("a", "c"), ("c", "b")])

    def test_paths_are_the_longest_without_cycle(self):
        graph = graph_of([*EDGES, (4, 0)])
        paths = {tuple(path) for path in graph.paths(2)}
        self.assertEqual(paths, {(2, 5), (2, 3, 1, 4, 0, 5)})

    def test_dict_that_names_no_leaf_as_a_key(self):
        graph = Graph({"a": {"b"}, "b": {"c"}})
        self.assertEqual(list(graph.topological_sort()), ["a", "b", "c"])
        self.assertEqual(graph.root_vertices(), {"a"})
        self.assertEqual(list(graph.paths("a")), [["a", "b", "c"]])
        self.assertEqual(repr(graph), "'a' → 'b' → 'c'")

    def test_all_paths_of_a_graph_with_a_cycle(self):
        graph = Graph(
            {
                "a": {"b", "c"},
                "b": {"c", "d"},
                "c": {"d"},
                "d": {"c"},
                "e": {"f"},
                "f": {"c"},
            }
        )
        self.assertEqual(
            sorted(graph.paths("a")),
            [["a", "b", "c", "d"], ["a", "b", "d", "c"], ["a", "c", "d"]],
        )
        self.assertEqual(list(graph.paths("e")), [["e", "f", "c", "d"]])

    def test_path_of_a_leaf(self):
        self.assertEqual(list(graph_of(EDGES).paths(5)), [[5]])

    def test_topological_sort_puts_parents_first(self):
        order = list(graph_of(EDGES).topological_sort())
        self.assertEqual(sorted(order), [0, 1, 2, 3, 4, 5])
        for parent, child in EDGES:
            self.assertLess(order.index(parent), order.index(child))

    def test_root_vertices_have_no_parent(self):
        graph = graph_of(EDGES)
        graph.add_vertex(9)
        self.assertEqual(graph.root_vertices(), {0, 2, 9})

    def test_repr_is_a_line_for_each_path(self):
        graph = graph_of([("a", "b"), ("b", "c"), ("b", "d")])
        self.assertEqual(
            sorted(repr(graph).split("\n")),
            ["'a' → 'b' → 'c'", "'a' → 'b' → 'd'"],
        )


class FlatCase(BaseCase):
    """Graphs over delayables of plain lists: no database is needed."""

    def delayable(self, name):
        delayable = Delayable(mock.MagicMock(name=name))
        delayable._generated_job = True
        self.names[delayable] = name
        return delayable

    def setUp(self):
        super().setUp()
        self.names = {}
        for name in "abcdefg":
            setattr(self, name, self.delayable(name))

    def assert_edges(self, top, *edges):
        flat = top._graph._connect_graphs()
        self.assertIsInstance(flat, DelayableGraph)
        self.assertTrue(
            all(isinstance(vertex, Delayable) for vertex in flat.vertices())
        )
        actual = {self.names[one] + self.names[other] for one, other in flat.edges()}
        self.assertEqual(actual, set(edges))


@tagged("post_install", "-at_install")
class TestConnectGraphs(FlatCase):
    def test_on_done_links_one(self):
        self.assertIs(self.a.on_done(self.b), self.a)
        self.assert_edges(self.a, "ab")

    def test_own_graph_of_a_delayable(self):
        self.assertEqual(self.a._graph._graph, {self.a: set()})
        self.a.on_done(self.b)
        self.assertEqual(self.a._graph._graph, {self.a: {self.b}, self.b: set()})
        self.assertEqual(
            self.a._graph._connect_graphs()._graph, {self.a: {self.b}, self.b: set()}
        )

    def test_vertices_of_chain_and_group_are_their_elements(self):
        elements = (self.a, self.b, self.c)
        for node in (chain(*elements), group(*elements)):
            self.assertIsInstance(node._graph, DelayableGraph)
            self.assertEqual(node._graph.vertices(), set(elements))

    def test_merge_of_graphs(self):
        self.a.on_done(self.b)
        self.b.on_done(self.c)
        graph = DelayableGraph()
        for other in (self.a, self.b):
            graph._merge_graph(other._graph)
        self.assertEqual(
            graph._graph, {self.a: {self.b}, self.b: {self.c}, self.c: set()}
        )

    def test_on_done_with_several_lets_each_wait(self):
        self.a.on_done(self.b, self.c)
        self.assert_edges(self.a, "ab", "ac")

    def test_on_done_is_transitive(self):
        self.a.on_done(self.b.on_done(self.c.on_done(self.d)))
        self.assert_edges(self.a, "ab", "bc", "cd")

    def test_diamond(self):
        self.a.on_done(self.b.on_done(self.d), self.c.on_done(self.d))
        self.assert_edges(self.a, "ab", "ac", "bd", "cd")

    def test_chain_is_sequential(self):
        self.assert_edges(chain(self.a, self.b, self.c), "ab", "bc")

    def test_group_is_parallel(self):
        top = group(self.a, self.b)
        self.assert_edges(top)
        self.assertEqual(top._graph._connect_graphs().vertices(), {self.a, self.b})
        self.assertEqual(set(top._delayables), {self.a, self.b})

    def test_after_a_chain_waits_for_its_last(self):
        top = chain(self.a, self.b)
        self.assertIs(top.on_done(self.c), top)
        self.assert_edges(top, "ab", "bc")

    def test_after_a_group_waits_for_all(self):
        top = group(self.a, self.b)
        self.assertIs(top.on_done(self.c), top)
        self.assert_edges(top, "ac", "bc")

    def test_group_after_a_delayable_starts_all(self):
        self.assert_edges(self.a.on_done(group(self.b, self.c)), "ab", "ac")

    def test_chain_after_a_delayable_starts_its_first(self):
        self.assert_edges(self.a.on_done(chain(self.b, self.c)), "ab", "bc")

    def test_group_after_group(self):
        top = group(self.a, self.b).on_done(group(self.c, self.d))
        self.assert_edges(top, "ac", "ad", "bc", "bd")

    def test_chain_of_chains(self):
        top = chain(chain(self.a, self.b), chain(self.c, self.d))
        self.assert_edges(top, "ab", "bc", "cd")

    def test_chain_in_a_group(self):
        top = group(chain(self.a, self.b), self.c).on_done(self.d)
        self.assert_edges(top, "ab", "bd", "cd")

    def test_group_in_a_chain(self):
        top = chain(self.a, group(self.b, self.c), self.d)
        self.assert_edges(top, "ab", "ac", "bd", "cd")

    def test_head_of_a_nested_chain_is_its_first_job(self):
        """19.0 lets ``b`` start without waiting for ``a``."""
        top = chain(self.a, chain(chain(self.b, self.c), self.d), self.e)
        self.assert_edges(top, "ab", "bc", "cd", "de")

    def test_elements_bring_what_follows_them(self):
        self.b.on_done(self.e)
        self.assert_edges(chain(self.a, self.b, self.c), "ab", "bc", "be")

    def test_delayable_in_two_places_is_one_vertex(self):
        top = group(chain(self.a, self.b), chain(self.a, self.c))
        self.assert_edges(top, "ab", "ac")

    def test_what_follows_something_empty_waits_for_what_is_before_it(self):
        for make in (chain, group):
            with self.subTest(make.__name__):
                a, b, c, d = (self.delayable(name) for name in "abcd")
                empty = make().on_done(c)
                self.assert_edges(a.on_done(empty), "ac")
                self.assert_edges(chain(b, make(), make(), d), "bd")
                top = chain(a, make(b, empty), d)
                self.assertIn((a, c), top._graph._connect_graphs().edges())

    def test_emptiness_in_a_circle_holds_nobody_back(self):
        one, other = group(), chain()
        one.on_done(other.on_done(one, self.b))
        self.a.on_done(one)
        self.assert_edges(self.a, "ab")

    def test_nesting_deeper_than_the_stack(self):
        depth = 2 * sys.getrecursionlimit()
        for make, inner_first in itertools.product((chain, group), (True, False)):
            with self.subTest(make=make, inner_first=inner_first):
                delayables = [self.delayable(str(n)) for n in range(depth)]
                inward = delayables if inner_first else delayables[::-1]
                top = make(inward[0])
                for delayable in inward[1:]:
                    top = make(top, delayable) if inner_first else make(delayable, top)
                before, after = self.delayable("before"), self.delayable("after")
                flat = chain(before, top, after)._graph._connect_graphs()
                edges = (
                    list(itertools.pairwise([before, *delayables, after]))
                    if make is chain
                    else [
                        edge
                        for delayable in delayables
                        for edge in ((before, delayable), (delayable, after))
                    ]
                )
                self.assertEqual(set(flat.edges()), set(edges))

    def test_large_groups_connect_all_pairs(self):
        one = [self.delayable(f"p{number}") for number in range(20)]
        other = [self.delayable(f"c{number}") for number in range(20)]
        flat = group(*one).on_done(group(*other))._graph._connect_graphs()
        self.assertEqual(len(flat.edges()), 400)
        self.assertEqual(flat.root_vertices(), set(one))


@tagged("post_install", "-at_install")
class TestSameGraphUuid(BaseCase):
    def jobs(self, *graph_uuids):
        return [
            mock.Mock(name=f"job {number}", graph_uuid=graph_uuid, uuid=str(number))
            for number, graph_uuid in enumerate(graph_uuids)
        ]

    def test_no_job(self):
        with self.assertRaises(ValueError):
            DelayableGraph._ensure_same_graph_uuid([])

    def test_single_job_has_none(self):
        [job] = jobs = self.jobs(None)
        DelayableGraph._ensure_same_graph_uuid(jobs)
        self.assertIsNone(job.graph_uuid)

    def test_single_job_of_a_graph_is_refused(self):
        with self.assertRaises(ValueError):
            DelayableGraph._ensure_same_graph_uuid(self.jobs("one"))

    def test_several_get_a_new_one(self):
        jobs = self.jobs(None, None)
        DelayableGraph._ensure_same_graph_uuid(jobs)
        self.assertEqual(jobs[0].graph_uuid, jobs[1].graph_uuid)
        self.assertEqual(str(uuid.UUID(jobs[0].graph_uuid)), jobs[0].graph_uuid)

    def test_present_one_is_shared(self):
        jobs = self.jobs(None, "present", None)
        DelayableGraph._ensure_same_graph_uuid(jobs)
        self.assertEqual({job.graph_uuid for job in jobs}, {"present"})

    def test_different_graphs_are_refused(self):
        with self.assertRaises(ValueError):
            DelayableGraph._ensure_same_graph_uuid(self.jobs("one", "other"))


@tagged("post_install", "-at_install")
class TestExecuteDirectly(JobCase):
    def test_environment_of_any_vertex_decides(self):
        graph = DelayableGraph()
        one = self.record.delayable().testing_method()
        other = (
            self.record.with_context(queue_job__no_delay=True)
            .delayable()
            .testing_method()
        )
        for delayable in (one, other):
            delayable._build_job()
        self.assertFalse(graph._has_to_execute_directly([one]))
        self.assertTrue(graph._has_to_execute_directly([one, other]))

    def test_vertices_are_executed_parents_first(self):
        ran = []
        self.patch(
            type(self.model), "return_value", lambda records, value: ran.append(value)
        )
        a, b, c = (self.record.delayable().return_value(name) for name in "abc")
        graph = chain(a, b, c)._graph._connect_graphs()
        for delayable in (c, b, a):
            delayable._build_job()
        graph._execute_graph_direct(graph)
        self.assertEqual(ran, ["a", "b", "c"])


@tagged("post_install", "-at_install")
class TestDelayGraph(JobCase):
    def delayable(self, name, **properties):
        return self.record.delayable(**properties).testing_method(name)

    def state(self, delayable):
        return self.row(delayable._generated_job).state

    def test_chain_is_stored_waiting_but_its_first(self):
        a, b, c = map(self.delayable, "abc")
        self.assertIsNone(chain(a, b, c).delay())
        self.assertEqual(
            [self.state(d) for d in (a, b, c)],
            ["pending", "wait_dependencies", "wait_dependencies"],
        )
        rows = [self.row(d._generated_job) for d in (a, b, c)]
        self.assertEqual(len({row.graph_uuid for row in rows}), 1)
        self.assertTrue(rows[0].graph_uuid)
        self.assertEqual(rows[1].dependency_ids, rows[0])
        self.assertEqual(rows[1].dependent_ids, rows[2])

    def test_uuid_lists_of_small_graphs_are_stored(self):
        a, b = map(self.delayable, "ab")
        chain(a, b).delay()
        parent, child = self.row(a._generated_job), self.row(b._generated_job)
        self.assertEqual(
            parent.dependencies, {"depends_on": [], "reverse_depends_on": [child.uuid]}
        )
        self.assertEqual(
            child.dependencies, {"depends_on": [parent.uuid], "reverse_depends_on": []}
        )

    def test_jobs_are_made_in_the_order_in_which_they_were_given(self):
        groups = [
            [self.delayable(f"{name}{n}") for n in range(2)] for name in "bcdefghijkl"
        ]
        top = self.delayable("a").on_done(*(group(*jobs) for jobs in groups))
        top.delay()
        ids = [d._generated_job.row_id for jobs in groups for d in jobs]
        self.assertEqual(ids, sorted(ids))

    def test_store_of_others_stores_large_groups_too(self):
        """Third parties replace ``Job.store``; then each job is stored by itself."""
        store = Job.store
        self.patch(Job, "store", lambda job: store(job))
        parents, children = ([self.delayable(n) for n in range(12)] for _ in "ab")
        group(*parents).on_done(group(*children)).delay()
        for child in children:
            self.assertEqual(len(self.row(child._generated_job).dependency_ids), 12)

    def test_group_is_stored_pending(self):
        a, b = map(self.delayable, "ab")
        self.assertIsNone(group(a, b).delay())
        self.assertEqual([self.state(a), self.state(b)], ["pending", "pending"])
        self.assertTrue(a._generated_job.graph_uuid)
        self.assertEqual(a._generated_job.graph_uuid, b._generated_job.graph_uuid)

    def test_delayable_delayed_alone_can_join_a_graph(self):
        alone = self.delayable("alone")
        alone.delay()
        uuid_alone = alone._generated_job.uuid
        first = self.delayable("first")
        first.on_done(alone).delay()
        row = self.row(alone._generated_job)
        self.assertEqual(row.uuid, uuid_alone)
        self.assertEqual(row.state, "wait_dependencies")
        self.assertEqual(row.graph_uuid, first._generated_job.graph_uuid)
        self.assertEqual(row.dependency_ids, self.row(first._generated_job))

    def test_dependency_on_itself_is_refused(self):
        a = self.delayable("a")
        a.on_done(a)
        with self.assertRaises(ValueError):
            a.delay()

    def test_jobs_that_wait_for_each_other_are_refused(self):
        """19.0 stores them, and none of them can ever start."""
        first, a, b = map(self.delayable, ("first", "a", "b"))
        first.on_done(a.on_done(b.on_done(a)))
        before = self.job_model.search_count([])
        with self.assertRaisesRegex(ValueError, "wait for each other"):
            first.delay()
        self.assertEqual(self.job_model.search_count([]), before)
        for delayable in (first, a, b):
            delayable._generated_job = True  # not to be delayed

    def test_all_keys_taken_stores_nothing(self):
        twins = [self.delayable(name, identity_key=f"key {name}") for name in "ab"]
        group(*twins).delay()
        before = self.job_model.search_count([])
        a, b = (self.delayable(name, identity_key=f"key {name}") for name in "ab")
        without_key = self.delayable("c")
        chain(a, b, without_key).delay()
        self.assertEqual(self.job_model.search_count([]), before)
        self.assertEqual(a._generated_job.uuid, twins[0]._generated_job.uuid)
        self.assertEqual(b._generated_job.uuid, twins[1]._generated_job.uuid)

    def test_one_free_key_stores_the_whole_graph(self):
        self.delayable("twin", identity_key="taken").delay()
        before = self.job_model.search_count([])
        taken = self.delayable("a", identity_key="taken")
        free = self.delayable("b", identity_key="free")
        without_key = self.delayable("c")
        chain(taken, free, without_key).delay()
        self.assertEqual(self.job_model.search_count([]), before + 3)

    def test_keys_of_a_graph_without_twin(self):
        a, b = (self.delayable(name, identity_key=f"key {name}") for name in "ab")
        chain(a, b).delay()
        self.assertEqual(
            [self.state(a), self.state(b)], ["pending", "wait_dependencies"]
        )

    def test_large_groups_are_stored_with_all_dependencies(self):
        parents = [self.delayable(number) for number in range(12)]
        children = [self.delayable(number) for number in range(12)]
        group(*parents).on_done(group(*children)).delay()
        rows = self.job_model.concat(*(self.row(d._generated_job) for d in children))
        self.assertEqual(set(rows.mapped("state")), {"wait_dependencies"})
        for row in rows:
            self.assertEqual(len(row.dependency_ids), 12)
        self.assertEqual(len(self.row(parents[0]._generated_job).dependent_ids), 12)
