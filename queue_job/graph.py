# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Acyclic graphs of anything hashable, and joints."""

from collections import deque


class Graph:
    """A directed graph: each vertex with the set of its children.

    Vertices keep the order in which they were added, so that what is derived
    from the graph does not change from one process to the next.
    """

    def __init__(self, graph=None):
        self._graph = graph or {}

    def add_vertex(self, vertex):
        """Add a vertex; nothing happens when it is there."""
        self._graph.setdefault(vertex, set())

    def add_edge(self, parent, child):
        """Add an edge and both its vertices; nothing happens when it is there."""
        self.add_vertex(child)
        self._graph.setdefault(parent, set()).add(child)

    def vertices(self):
        return set(self._graph)

    def edges(self):
        """Return the list of ``(parent, child)``."""
        return [
            (parent, child)
            for parent, children in self._graph.items()
            for child in children
        ]

    def paths(self, vertex):
        """Yield the longest paths without cycle that start at ``vertex``."""
        stack = [[vertex]]
        while stack:
            path = stack.pop()
            onward = [
                child for child in self._graph.get(path[-1], ()) if child not in path
            ]
            if onward:
                stack.extend([*path, child] for child in onward)
            else:
                yield path

    def topological_sort(self):
        """Yield the vertices, parents before children.

        Vertices of equal rank come in the order they were added. A vertex that lies on
        a cycle or after it is never yielded, see :meth:`find_cycle`.
        """
        parents = self._count_parents()
        rank = {vertex: index for index, vertex in enumerate(parents)}
        ready = deque(vertex for vertex in parents if not parents[vertex])
        while ready:
            vertex = ready.popleft()
            yield vertex
            for child in sorted(self._graph.get(vertex, ()), key=rank.__getitem__):
                parents[child] -= 1
                if not parents[child]:
                    ready.append(child)

    def find_cycle(self):
        """Return the vertices of one cycle in order, or an empty list."""
        rest = set(self._graph).difference(self.topological_sort())
        if not rest:
            return []
        # The rest has a cycle behind it: walk back until a vertex repeats.
        parent_of = {
            child: parent
            for parent in rest
            for child in self._graph[parent]
            if child in rest
        }
        vertex, seen = next(v for v in self._graph if v in parent_of), {}
        while vertex not in seen:
            seen[vertex] = len(seen)
            vertex = parent_of[vertex]
        return list(seen)[seen[vertex] :][::-1]

    def root_vertices(self):
        """Return the set of the vertices that have no parent."""
        return {
            vertex for vertex, parents in self._count_parents().items() if not parents
        }

    def _count_parents(self):
        """Count by vertex; a leaf need not be a key of the dict."""
        counts = dict.fromkeys(self._graph, 0)
        for children in self._graph.values():
            for child in children:
                counts[child] = counts.get(child, 0) + 1
        return counts

    def __repr__(self):
        roots = self.root_vertices()
        paths = [
            path
            for vertex in self._graph
            if vertex in roots
            for path in self.paths(vertex)
        ]
        return "\n".join(" → ".join(map(repr, path)) for path in paths)


class Joint:
    """All of its parents before any of its children.

    Stands for the N times M edges between two groups with N plus M links.
    """

    __slots__ = ("parents", "children", "stored")

    # Below this many edges a joint is not worth a vertex of its own.
    WORTH = 64

    def __init__(self, parents=(), children=()):
        self.parents = tuple(parents)
        self.children = tuple(children)
        self.stored = False

    def is_like(self, other):
        """Return whether another joint links the same."""
        return self.parents == other.parents and self.children == other.children

    @classmethod
    def pays(cls, parents, children):
        """Return whether a joint is better than an edge for each pair."""
        return (
            len(parents) * len(children) > cls.WORTH
            and min(len(parents), len(children)) > 1
        )
