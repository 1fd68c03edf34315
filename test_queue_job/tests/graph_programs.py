# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Random graphs, as a caller builds them, and a simple model of what they mean.

A program is a list of steps. Each makes a node, of earlier ones or of new
jobs, or lets nodes follow an earlier one. So a node may be part of several others:
chains, groups, diamonds, splits, what is empty, and cycles, in every combination.
"""

import itertools

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from odoo.addons.queue_job.delay import chain, group

QUICK = settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@st.composite
def programs(draw, max_steps=9):
    """Steps ``(kind, *what it is made of)``; nodes are named by their number."""
    steps, count = [], 0
    for _number in range(draw(st.integers(1, max_steps))):
        earlier = (
            st.lists(st.integers(0, count - 1), max_size=4, unique=True)
            if count
            else st.just([])
        )
        kind = draw(st.sampled_from(["job", "split", "chain", "group", "on_done"]))
        if kind == "job":
            steps.append(("job",))
        elif kind == "split":
            steps.append(("split", draw(st.integers(0, 3)), draw(st.booleans())))
        elif kind == "on_done" and count:
            node = draw(st.integers(0, count - 1))
            steps.append(("on_done", node, draw(earlier)))
            continue
        else:
            steps.append(("group" if kind == "on_done" else kind, draw(earlier)))
        count += 1
    return steps


class Model:
    """What a program means: jobs by number, and which pairs are in order."""

    def __init__(self, program):
        self.jobs = []
        self._edges, self._gaps = set(), set()
        self._numbers = itertools.count()
        nodes = []
        for kind, *what in program:
            if kind == "on_done":
                node, followers = what
                for follower in followers:
                    self._link(nodes[node][1], nodes[follower][0])
            elif kind == "job":
                job = self._job()
                nodes.append(([job], [job]))
            elif kind == "split":
                size, chained = what
                parts = [([job], [job]) for job in (self._job() for _ in range(size))]
                nodes.append(self._join("chain" if chained else "group", parts))
            else:
                nodes.append(self._join(kind, [nodes[number] for number in what[0]]))
        self.edges = self._without_gaps()

    def _job(self):
        self.jobs.append(next(self._numbers))
        return self.jobs[-1]

    def _link(self, parents, children):
        self._edges.update(itertools.product(parents, children))

    def _join(self, kind, parts):
        """Return ``(first, last)`` of a chain or group; of an empty one, a gap."""
        if not parts:
            gap = next(self._numbers)
            self._gaps.add(gap)
            return [gap], [gap]
        if kind == "chain":
            for before, after in itertools.pairwise(parts):
                self._link(before[1], after[0])
            return parts[0][0], parts[-1][1]
        return [one for part in parts for one in part[0]], [
            one for part in parts for one in part[1]
        ]

    def _without_gaps(self):
        edges = set(self._edges)
        for gap in self._gaps:
            before = {parent for parent, child in edges if child == gap}
            after = {child for parent, child in edges if parent == gap}
            edges = {edge for edge in edges if gap not in edge}
            edges |= set(itertools.product(before - {gap}, after - {gap}))
        number = {job: index for index, job in enumerate(self.jobs)}
        self.jobs = list(range(len(self.jobs)))
        return {(number[parent], number[child]) for parent, child in edges}

    def has_cycle(self):
        return bool(self.jobs) and len(self.in_some_order()) < len(self.jobs)

    def ready(self, done):
        """Return the jobs that may run when others are done."""
        held = {child for parent, child in self.edges if parent not in done}
        return set(self.jobs) - held - set(done)

    def in_some_order(self):
        done = []
        while ready := self.ready(done):
            done += ready
        return done


def build(program, record):
    """Return the top of what a program builds, and its delayables by number."""
    nodes, jobs = [], []
    records = record.concat(*[record] * 3) if program else record
    for kind, *what in program:
        if kind == "on_done":
            node, followers = what
            nodes[node].on_done(*(nodes[follower] for follower in followers))
        elif kind == "job":
            nodes.append(record.delayable().testing_method(len(jobs)))
            jobs.append(nodes[-1])
        elif kind == "split":
            size, chained = what
            delayable = records[:size].delayable().testing_method(len(jobs))
            parts = delayable.split(1, chain=chained)
            jobs += sorted(parts._graph.vertices(), key=lambda part: part.description)
            nodes.append(parts)
        else:
            make = chain if kind == "chain" else group
            nodes.append(make(*(nodes[number] for number in what[0])))
    return group(*nodes), jobs
