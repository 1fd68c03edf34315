# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The delay API: delayables, chains, groups and the graphs they make.

``Graph`` lives in :mod:`.graph` and is found here too.
"""

import itertools
import logging
import sys
import uuid
from functools import partial
from operator import attrgetter

from odoo.tools import OrderedSet, config

from .delay_plan import Node, Plan
from .graph import Graph, Joint
from .job import Job, description_of, link_through, store_jobs
from .options import OPTION_NAMES, JobOptions, check_call, signature_with_options
from .utils import must_run_without_delay

_logger = logging.getLogger(__name__)


def group(*delayables):
    """Return a group: its elements run side by side."""
    return DelayableGroup(*delayables)


def chain(*delayables):
    """Return a chain: its elements run one after another."""
    return DelayableChain(*delayables)


class DelayableGraph(Graph):
    """The edges "after done" of a delayable, a chain or a group.

    Vertices are delayables, chains and groups. The jobs and their order are those of
    its *plan*, see :mod:`.delay_plan`.
    """

    def delay(self):
        """Store the jobs of everything reachable, or run them at once.

        Nothing is stored when every job that has an identity key has a twin:
        the delayables then hold the twins' jobs. The caller commits.

        :raise ValueError: for jobs that wait for each other
        """
        plan = Plan.of(self)
        plan.check_no_cycle()
        vertices = plan.delayables()
        if vertices:
            self.delay_vertices(vertices, plan)

    @classmethod
    def delay_vertices(cls, vertices, plan=None):
        """Store the jobs of delayables, or run them at once.

        :param vertices: parents before children
        :param plan: their order; None for one delayable alone
        """
        jobs = [vertex._build_job() for vertex in vertices]
        cls._ensure_same_graph_uuid(jobs)
        if cls._has_to_execute_directly(vertices):
            cls._execute_graph_direct(plan or vertices[0]._graph)
            return
        if plan:
            cls._link_jobs(plan)
        twins = store_jobs(jobs)
        if twins:
            for vertex in vertices:
                vertex._generated_job = twins[vertex._generated_job]

    @staticmethod
    def _ensure_same_graph_uuid(jobs):
        """Give several jobs one graph uuid; a job alone has none.

        :raise ValueError: without jobs, for a single job that is in a graph
            already, or for jobs of different graphs
        """
        if not jobs:
            raise ValueError("Expecting jobs: there is nothing to delay")
        known = {job.graph_uuid for job in jobs if job.graph_uuid}
        if len(jobs) == 1:
            if known:
                raise ValueError(f"Job {jobs[0].uuid} is part of a graph already")
            return
        if len(known) > 1:
            raise ValueError(
                f"The jobs belong to different graphs: {', '.join(sorted(known))}"
            )
        graph_uuid = known.pop() if known else str(uuid.uuid4())
        for job in jobs:
            job.graph_uuid = graph_uuid

    @staticmethod
    def _has_to_execute_directly(vertices):
        """Return whether the environment of any vertex asks for no delay."""
        return any(must_run_without_delay(vertex.recordset.env) for vertex in vertices)

    @staticmethod
    def _execute_graph_direct(graph):
        for vertex in graph.topological_sort():
            if isinstance(vertex, Delayable):
                vertex._execute_direct()

    @staticmethod
    def _link_jobs(plan):
        for parent, child in plan.plain_edges():
            child._generated_job.add_depends({parent._generated_job})
        for joint in plan.joints():
            link_through(
                Joint(
                    [vertex._generated_job for vertex in joint.parents],
                    [vertex._generated_job for vertex in joint.children],
                )
            )

    def _merge_graph(self, graph):
        for vertex in graph._graph:
            self.add_vertex(vertex)
        for parent, child in graph.edges():
            self.add_edge(parent, child)

    def _connect_graphs(self):
        """Return the flat graph of the delayables alone, joints written out."""
        flat = DelayableGraph()
        Plan.of(self).write_out(flat)
        return flat


class _Assembly:
    """The vertices that were put together: they warn once when never delayed.

    :param first: the delayable that was given first
    """

    __slots__ = ("first", "place", "has_warned", "merged_into")

    def __init__(self, first):
        self.first = first
        self.place = _place_of_caller()
        self.has_warned = False
        self.merged_into = None

    @classmethod
    def join(cls, vertices):
        """Let vertices be of the assembly of the first one; return it."""
        whole = None
        for vertex in vertices:
            part = vertex._assembly and vertex._assembly.whole()
            if whole is None:
                # An empty chain or group has nothing that could warn.
                whole = part or (None if isinstance(vertex, Node) else cls(vertex))
            elif part is not None and part is not whole:
                part.merged_into = whole
        for vertex in vertices:
            vertex._assembly = whole
        return whole

    def whole(self):
        """Return the assembly that this one has become a part of."""
        found = self
        while found.merged_into:
            found = found.merged_into
        if found is not self:
            self.merged_into = found  # the way is short next time
        return found

    def warn(self, vertex):
        """Log that a vertex was never delayed, unless that was said of another one."""
        if self.has_warned:
            return
        self.has_warned = True
        first = vertex if self.first._generated_job else self.first
        _logger.warning(
            "Delayable %s was prepared but never delayed, with others of its graph%s",
            first,
            self.place,
        )


def _place_of_caller():
    """Return file and line outside of the delay API, in developer mode and tests."""
    if not (config["dev_mode"] or config["test_enable"]):
        return ""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return f" ({frame.f_code.co_filename}:{frame.f_lineno})"


def _check_vertices(caller, values):
    """Refuse values that are no delayable, chain or group.

    :raise TypeError: says how to give one
    """
    for value in values:
        if isinstance(value, _Vertex):
            continue
        if isinstance(value, Job):
            hint = f"{value} is stored already: use delayable() in groups and chains"
        elif isinstance(value, DelayableRecordset):
            hint = "use delayable() instead of with_delay() in groups and chains"
        elif getattr(getattr(value, "func", None), "__func__", None) is (
            Delayable._keep_call
        ):
            hint = "call the method of the delayable: delayable().method()"
        else:
            hint = (
                f"{caller}() takes delayables one by one, {caller}(*delayables), as "
                f"record.delayable().method() makes them, not {type(value).__name__}"
            )
        raise TypeError(hint)


class _Vertex:
    """Part of a graph: a delayable, a chain or a group."""

    __slots__ = ()

    def on_done(self, *delayables):
        """Let each argument wait for the end of this; return self."""
        _check_vertices("on_done", delayables)
        for delayable in delayables:
            self._graph.add_edge(self, delayable)
        _Assembly.join((self, *delayables))
        return self

    def delay(self):
        """Store the whole graph below this, see :meth:`DelayableGraph.delay`."""
        self._graph.delay()


class _DelayableNode(Node, _Vertex):
    """Base of chains and groups: links from and to their ends."""

    # Which members are at either end.
    _first = _last = slice(None)
    # How callers make one.
    _maker = None

    def __init__(self, *delayables):
        _check_vertices(self._maker, delayables)
        self._assembly = _Assembly.join(delayables)
        self._graph = DelayableGraph()
        self._members = delayables
        for delayable in delayables:
            self._graph.add_vertex(delayable)

    def _head(self):
        """Return the delayables that start first; an empty node stands for itself."""
        return self._ends("_first")

    def _tail(self):
        """Return the delayables that end last; an empty node stands for itself."""
        return self._ends("_last")

    def _ends(self, end):
        # Not by recursion: graphs built in a loop nest deeper than Python's stack.
        ends, seen, stack = [], set(), [self]
        while stack:
            vertex = stack.pop()
            if vertex in seen:
                continue
            seen.add(vertex)
            if isinstance(vertex, _DelayableNode) and vertex._members:
                stack.extend(reversed(vertex._members[getattr(vertex, end)]))
            else:
                ends.append(vertex)
        return tuple(ends)

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(map(repr, self._members))})"


class DelayableChain(_DelayableNode):
    """Elements that run one after another; an empty chain does nothing."""

    _first, _last = slice(1), slice(-1, None)
    _maker = "chain"

    def __init__(self, *delayables):
        super().__init__(*delayables)
        for parent, child in itertools.pairwise(delayables):
            self._graph.add_edge(parent, child)


class DelayableGroup(_DelayableNode):
    """Elements that run side by side; an empty group does nothing."""

    _maker = "group"

    def __init__(self, *delayables):
        super().__init__(*delayables)
        self._delayables = OrderedSet(delayables)


def _is_dunder(name):
    # Asked for by copies, debuggers and the like: never the method of a job.
    return name.startswith("__") and name.endswith("__")


class Delayable(_Vertex):
    """One method call to perform later, not stored yet.

    Any attribute that is not of the builder is taken for a method: calling it states
    the method and its arguments, and returns the delayable.
    """

    _properties = OPTION_NAMES
    __signature__ = signature_with_options("recordset")
    __slots__ = (
        "recordset",
        "_options",
        "_own_graph",
        "_job_method",
        "_job_method_name",
        "_job_args",
        "_job_kwargs",
        "_generated_job",
        "_assembly",
        "__weakref__",
    )

    def __init__(self, recordset, *args, **options):
        self.recordset = recordset
        self._options = JobOptions(*args, **options)
        self._own_graph = None
        self._assembly = None
        self._job_method = None
        self._job_method_name = None
        self._job_args = ()
        self._job_kwargs = {}
        self._generated_job = None

    @property
    def _graph(self):
        """Delayables that run after this one; most have none, and never make it."""
        if self._own_graph is None:
            self._own_graph = DelayableGraph({self: set()})
        return self._own_graph

    def delay(self):
        """Store the job and all that runs after it, see :meth:`DelayableGraph.delay`."""
        if self._own_graph is None:
            DelayableGraph.delay_vertices([self])
        else:
            self._own_graph.delay()

    def _head(self):
        return (self,)

    def _tail(self):
        return (self,)

    def __del__(self):
        if self._generated_job:
            return
        if self._assembly:
            self._assembly.whole().warn(self)
        else:
            _logger.warning("Delayable %s was prepared but never delayed", self)

    def __repr__(self):
        name = getattr(self._job_method, "__name__", "")
        return (
            f"Delayable({self.recordset}.{name}({self._job_args}, {self._job_kwargs}))"
        )

    def set(self, *args, **kwargs):
        """Set properties, from a dict, keywords or both; return self.

        :raise ValueError: for a name that is not a property of a job
        """
        if len(args) > 1:
            raise TypeError(
                f"set() takes one dict of properties at most, {len(args)} were given"
            )
        for key, value in {**(args[0] if args else {}), **kwargs}.items():
            if key not in self._properties:
                known = ", ".join(self._properties)
                raise ValueError(f"No property {key}: a job has {known}")
            setattr(self, key, value)
        return self

    def split(self, size, chain=False):
        """Return a group, or a chain, of delayables over ``size`` records each.

        This delayable is used up. A fixed identity key is made distinct for
        each part; an empty recordset gives an empty group.

        :raise ValueError: before a method was chosen, or for a size below 1
        """
        if not self._job_method:
            raise ValueError(
                "Choose the method before split(): delayable.method(...).split(size)"
            )
        if size < 1:
            raise ValueError(f"split() needs a size of at least 1, not {size!r}")
        self._generated_job = True
        starts = range(0, len(self.recordset), size)
        parts = [
            self._part(self.recordset[start : start + size], number, len(starts))
            for number, start in enumerate(starts, 1)
        ]
        return DelayableChain(*parts) if chain else DelayableGroup(*parts)

    def _part(self, recordset, number, total):
        part = Delayable(recordset, **self._options.keywords())
        name = self._job_method_name or self._job_method.__name__
        part._job_method = getattr(recordset, name)
        part._job_method_name = name
        part._job_args = self._job_args
        part._job_kwargs = self._job_kwargs
        base = self.description or description_of(part._job_method)
        part.description = f"{base} (split {number}/{total})"
        if isinstance(self.identity_key, str) and self.identity_key and total > 1:
            part.identity_key = f"{self.identity_key} (split {number}/{total})"
        return part

    def __getattr__(self, name):
        if name in type(self).__slots__ or _is_dunder(name):
            raise AttributeError(name)
        if name in self.recordset:
            raise AttributeError(
                f"{name} is a field of {self.recordset}: only methods can be delayed"
            )
        return partial(self._keep_call, name, getattr(self.recordset, name))

    def _keep_call(self, name, method, /, *args, **kwargs):
        check_call(method, args, kwargs)
        self._job_method = method
        self._job_method_name = name
        self._job_args = args
        self._job_kwargs = kwargs
        return self

    def _build_job(self):
        """Return the job of this delayable, made at the first call."""
        if self._generated_job:
            return self._generated_job
        if not self._job_method:
            raise ValueError(
                f"{self} has no method to delay: delayable.method(...).delay()"
            )
        options = self._options
        # The order of the keywords shows in the messages of the test kit.
        self._generated_job = Job(
            self._job_method,
            args=self._job_args,
            kwargs=self._job_kwargs,
            priority=options.priority,
            max_retries=options.max_retries,
            eta=options.eta,
            description=options.description,
            channel=options.channel,
            identity_key=options.identity_key,
        )
        # A method may be known under another name than its own; a mock has none.
        name = getattr(self._job_method, "__name__", self._job_method_name)
        if self._job_method_name not in (None, name):
            self._generated_job.method_name = self._job_method_name
        return self._generated_job

    def _execute_direct(self):
        self._generated_job.perform()


def _option(name):
    """Return the attribute of a delayable that is one of its options."""

    def set_option(delayable, value):
        setattr(delayable._options, name, value)

    return property(attrgetter(f"_options.{name}"), set_option)


for _name in OPTION_NAMES:
    setattr(Delayable, _name, _option(_name))


class DelayableRecordset:
    """Result of ``with_delay()``: each method call is stored as a job."""

    __slots__ = ("delayable",)
    __signature__ = signature_with_options("recordset")

    def __init__(self, recordset, *args, **options):
        self.delayable = Delayable(recordset, *args, **options)

    @property
    def recordset(self):
        return self.delayable.recordset

    def __getattr__(self, name):
        if _is_dunder(name):
            raise AttributeError(name)

        def delay_call(*args, **kwargs):
            if hasattr(Delayable, name):
                self.delayable._generated_job = True  # it does not warn
                raise ValueError(
                    f"{name} is of delayables: with_delay(priority=5).method() stores a "
                    f"job at once, delayable().method().{name} is used before delay()"
                )
            getattr(self.delayable, name)(*args, **kwargs).delay()
            return self.delayable._generated_job

        return delay_call

    def __repr__(self):
        return f"DelayableRecordset({self.recordset._name}{self.recordset._ids!r})"

    __str__ = __repr__
