# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Which jobs a graph of the delay API makes, and in which order."""

import itertools

from odoo.tools import OrderedSet

from .graph import Graph, Joint


class Node:
    """A vertex that stands for others: a chain or a group."""

    __slots__ = ()


class Plan(Graph):
    """The delayables of a graph without its chains and groups, and joints."""

    @classmethod
    def of(cls, graph):
        """Return the plan of all that is linked with a ``DelayableGraph``."""
        plan, links = cls(), []
        seen = set()
        to_visit = [graph]
        for reached in to_visit:
            if id(reached) in seen:
                continue
            seen.add(id(reached))
            for vertex in reached._graph:
                if not isinstance(vertex, Node):
                    plan.add_vertex(vertex)
                to_visit.append(vertex._graph)
            links += _links(reached)
        for parents, children in _without_nodes(links):
            plan._link(parents, children)
        return plan

    def _link(self, parents, children):
        if Joint.pays(parents, children):
            joint = Joint(parents, children)
            for parent in parents:
                self.add_edge(parent, joint)
            for child in children:
                self.add_edge(joint, child)
            return
        for parent, child in itertools.product(parents, children):
            self.add_edge(parent, child)

    def delayables(self):
        """Return the delayables, parents before children."""
        return [v for v in self.topological_sort() if not isinstance(v, Joint)]

    def joints(self):
        return [vertex for vertex in self._graph if isinstance(vertex, Joint)]

    def plain_edges(self):
        """Return the ``(parent, child)`` that no joint stands for."""
        return [
            (parent, child)
            for parent, child in self.edges()
            if not isinstance(parent, Joint) and not isinstance(child, Joint)
        ]

    def write_out(self, graph):
        """Add the delayables to another graph, with an edge for each pair of a joint."""
        for vertex in self._graph:
            if isinstance(vertex, Joint):
                for parent, child in itertools.product(vertex.parents, vertex.children):
                    graph.add_edge(parent, child)
            else:
                graph.add_vertex(vertex)
        for parent, child in self.plain_edges():
            graph.add_edge(parent, child)

    def check_no_cycle(self):
        """Refuse jobs that wait for each other.

        :raise ValueError: names them
        """
        cycle = [v for v in self.find_cycle() if not isinstance(v, Joint)]
        if cycle:
            names = " → ".join(map(repr, [*cycle, cycle[0]]))
            raise ValueError(
                f"These jobs wait for each other and could never start: {names}"
            )


def _links(graph):
    """Return ``(parents, children)`` for each vertex that others wait for.

    All that waits for it together: that is as good as a group.
    """
    if not any(graph._graph.values()):
        return []
    rank = {vertex: index for index, vertex in enumerate(graph._graph)}
    links = []
    for parent, children in graph._graph.items():
        heads = OrderedSet()
        for child in sorted(children, key=rank.__getitem__):
            heads.update(child._head())
        if heads:
            links.append((parent._tail(), tuple(heads)))
    return links


def _without_nodes(links):
    """Return links without the empty chains and groups, which were in between.

    The successors of one follow its predecessors.
    """
    before = {}
    for parents, children in links:
        for child in children:
            if isinstance(child, Node):
                before.setdefault(child, []).extend(parents)

    def jobs_among(parents):
        found, seen, to_visit = {}, set(), list(parents)
        for vertex in to_visit:
            if not isinstance(vertex, Node):
                found[vertex] = None
            elif vertex not in seen:
                seen.add(vertex)
                to_visit.extend(before.get(vertex, ()))
        return tuple(found)

    kept = (
        (parents, tuple(child for child in children if not isinstance(child, Node)))
        for parents, children in links
    )
    return [(jobs_among(parents), children) for parents, children in kept if children]
