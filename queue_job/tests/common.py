# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The public test kit: catch jobs, look at them, perform them.

Most tests want :func:`trap_jobs`::

    with trap_jobs() as trap:
        record.button_that_delays_a_job()
        trap.assert_jobs_count(1, only=record.export)
        trap.assert_enqueued_job(record.export, args=(1,), properties={"priority": 5})
        trap.perform_enqueued_jobs()

Tests that need the rows of the jobs count and perform them with
:class:`JobMixin`. The context key ``queue_job__no_delay`` performs each job
at once instead.
"""

import doctest
import logging
from collections import namedtuple
from contextlib import ExitStack, contextmanager
from graphlib import TopologicalSorter
from unittest import mock

from odoo.tests import case as odoo_case

from odoo.addons.queue_job.job import Job

_logger = logging.getLogger(__name__)

# Named as strings: the doors that tests of other addons patch as well.
DELAY_JOB = "odoo.addons.queue_job.delay.Job"
BASE_DELAYABLE_RECORDSET = "odoo.addons.queue_job.models.base.DelayableRecordset"

# The order in which a failure message tells the properties of a job.
JOB_PROPERTIES = (
    "priority",
    "max_retries",
    "eta",
    "description",
    "channel",
    "identity_key",
)


def _is_same_method(one, other):
    """Return whether two bound methods are one function of equal recordsets."""
    return one.__self__ == other.__self__ and one.__func__ == other.__func__


class JobCall(namedtuple("JobCall", ("method", "args", "kwargs", "properties"))):
    """One call of the delay API: what was to be called, and how."""

    __slots__ = ()
    __hash__ = None  # holds dicts, as the tuple it is made of

    def __eq__(self, other):
        if not isinstance(other, JobCall):
            return NotImplemented
        return _is_same_method(self.method, other.method) and self[1:] == other[1:]

    def __ne__(self, other):
        return not self == other


class JobsTrap:
    """Collect the jobs of a block instead of storing them.

    ``calls`` holds a :class:`JobCall` for each job that was built, those
    refused for their identity key included. ``enqueued_jobs`` holds the
    jobs that wait, each identity key once.

    :param job_mock: the mock that stands for the class ``Job`` of ``delay``
    """

    def __init__(self, job_mock):
        self.job_mock = job_mock
        self.job_mock.side_effect = self._add_job
        self.calls = []
        self.enqueued_jobs = []
        self._store_patches = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self._store_patches.close()

    def __repr__(self):
        return repr(self.calls)

    def jobs_count(self, only=None):
        """Return how many jobs wait.

        :param only: count those of this bound method
        """
        if only:
            return len(self._filtered_enqueued_jobs(only))
        return len(self.enqueued_jobs)

    def assert_jobs_count(self, expected, only=None):
        """Fail unless exactly ``expected`` jobs wait.

        :param only: count those of this bound method
        """
        actual = self.jobs_count(only=only)
        if actual != expected:
            error = AssertionError(f"{actual} != {expected}")
            _add_note(error, f"Jobs built:\n{self._format_calls(JOB_PROPERTIES)}")
            raise error

    def assert_enqueued_job(self, method, args=None, kwargs=None, properties=None):
        """Fail unless a job was built by exactly this call.

        :param method: bound method, its recordset has to be equal too
        :param args: tuple of all the positional arguments
        :param kwargs: dict of all the keyword arguments
        :param properties: dict of the properties to compare, with the values
            the caller of the delay API gave; others are not looked at
        """
        expected = JobCall(
            method, () if args is None else args, kwargs or {}, properties or {}
        )
        if any(self._matches(call, expected) for call in self.calls):
            return
        error = AssertionError(
            f"Job {self._format_job_call(expected)} was not enqueued.\n"
            f"Actual enqueued jobs:\n{self._format_calls(expected.properties)}"
        )
        for note in self._explain(expected):
            _add_note(error, note)
        raise error

    def perform_enqueued_jobs(self):
        """Perform and forget the jobs that wait.

        First those without graph, by priority, then each graph, parents
        first. An exception ends the batch: the jobs behind it are dropped.
        """
        jobs = self.enqueued_jobs.copy()
        self.enqueued_jobs.clear()
        graphs = {}
        for job in jobs:
            graphs.setdefault(job.graph_uuid, []).append(job)
        for job in sorted(graphs.pop(None, ()), key=lambda job: job.priority):
            job.perform()
        for graph_jobs in graphs.values():
            for job in _parents_first(graph_jobs):
                job.perform()

    def _add_job(self, *args, **kwargs):
        """Build the job in the place of the class ``Job``, and keep it."""
        job = Job(*args, **kwargs)
        method = kwargs["func"] if "func" in kwargs else args[0]
        properties = {name: kwargs.get(name) for name in JOB_PROPERTIES}
        self.calls.append(JobCall(method, job.args, job.kwargs, properties))
        self._neutralise_store(job)
        # An identity function sees the context of the caller.
        if not self._is_duplicate(job):
            self.enqueued_jobs.append(job)
        self._prepare_context(job)
        return job

    def _is_duplicate(self, job):
        key = job.identity_key
        return bool(key) and any(
            key == other.identity_key for other in self.enqueued_jobs
        )

    def _neutralise_store(self, job):
        self._store_patches.enter_context(mock.patch.object(job, "store"))

    def _prepare_context(self, job):
        """Keep of the context what a store and a load would keep."""
        context = job.recordset._job_prepare_context_before_enqueue()
        job.recordset = job.recordset.with_env(job.env(context=context))

    def _filtered_enqueued_jobs(self, method):
        return [job for job in self.enqueued_jobs if _is_same_method(job.func, method)]

    def _matches(self, call, expected):
        """Compare with the properties of the call that ``expected`` names."""
        names = expected.properties
        if not names.keys() <= call.properties.keys():
            return False
        named = {name: call.properties[name] for name in names}
        return call._replace(properties=named) == expected

    def _explain(self, expected):
        """Yield what the lists of the message cannot show."""
        unknown = [name for name in expected.properties if name not in JOB_PROPERTIES]
        if unknown:
            yield f"No job has the properties {unknown}, only {list(JOB_PROPERTIES)}."
        text = self._format_job_call(expected)
        for call in self.calls:
            if self._format_job_call(call, expected.properties) == text:
                yield (
                    "The same text, yet not equal: expected "
                    f"{expected[1:]!r}, actual {call[1:]!r}."
                )
                break

    def _format_calls(self, names):
        return "\n".join(
            f" * {self._format_job_call(call, names)}" for call in self.calls
        )

    def _format_job_call(self, call, names=None):
        """Return the call as text, with its properties of these names."""
        arguments = [str(value) for value in call.args]
        arguments += [f"{name}={value}" for name, value in call.kwargs.items()]
        properties = ", ".join(
            f"{name}={value}"
            for name, value in call.properties.items()
            if names is None or name in names
        )
        return (
            f"<{call.method.__self__}>.{call.method.__name__}"
            f"({', '.join(arguments)}) with properties ({properties})"
        )


# The usage documentation of older series spells it so.
JobsTester = JobsTrap


def _add_note(error, note):
    # Notes leave the message as it is; Python 3.10 has none.
    if hasattr(error, "add_note"):
        error.add_note(note)


def _parents_first(jobs):
    """Yield the jobs of a graph by priority, each after those it depends on."""
    position = {job: (job.priority, index) for index, job in enumerate(jobs)}
    sorter = TopologicalSorter()
    for job in jobs:
        sorter.add(job, *(parent for parent in job.depends_on if parent in position))
    sorter.prepare()
    while sorter.is_active():
        for job in sorted(sorter.get_ready(), key=position.get):
            yield job
            sorter.done(job)


@contextmanager
def trap_jobs():
    """Collect the jobs delayed in the block instead of storing them.

    Yield the :class:`JobsTrap`. The trapped jobs are real: they have their
    uuid, graph, dependencies and state, and can be performed. Jobs delayed
    while they are performed are trapped as well.
    """
    with mock.patch(DELAY_JOB, name="Job") as job_mock, JobsTrap(job_mock) as trap:
        yield trap


@contextmanager
def mock_with_delay():
    """Replace what ``with_delay()`` returns by a mock (prefer :func:`trap_jobs`).

    Yield ``(delayable_cls, delayable)``: the first is called with the
    recordset and the six properties, the second receives the method call.
    Jobs prepared with ``delayable()`` are not mocked.
    """
    with mock.patch(BASE_DELAYABLE_RECORDSET, spec=True) as delayable_cls:
        delayable = mock.MagicMock(name="DelayableRecordset")
        delayable_cls.return_value = delayable
        yield delayable_cls, delayable


class JobCounter:
    """Tell the jobs stored since this object was made from those before."""

    def __init__(self, env):
        self.env = env
        self.existing = self.search_all()

    def count_all(self):
        return len(self.search_all())

    def count_created(self):
        return len(self.search_created())

    def count_existing(self):
        return len(self.existing)

    def search_created(self):
        return self.search_all() - self.existing

    def search_all(self):
        return self.env["queue.job"].search([])


class JobMixin:
    """Helpers for test cases that have an ``env``."""

    def job_counter(self):
        return JobCounter(self.env)

    def perform_jobs(self, jobs):
        """Perform the jobs stored since the counter was made, oldest first.

        Their rows do not change.

        :param jobs: what :meth:`job_counter` returned
        """
        for record in jobs.search_created().sorted("id"):
            Job.load(record.env, record.uuid).perform()

    @contextmanager
    def trap_jobs(self):
        with trap_jobs() as trap:
            yield trap


class OdooDocTestCase(doctest.DocTestCase, odoo_case.TestCase):
    """A doctest that the runner of Odoo's tests accepts.

    :param doctest: the doc test case to perform
    :param seq: its place among the tests of its module
    """

    def __init__(
        self,
        doctest,
        optionflags=0,
        setUp=None,
        tearDown=None,
        checker=None,
        seq=0,
    ):
        odoo_case.TestCase.__init__(self)
        super().__init__(
            doctest._dt_test,
            optionflags=optionflags or doctest._dt_optionflags,
            setUp=setUp or doctest._dt_setUp,
            tearDown=tearDown or doctest._dt_tearDown,
            checker=checker or doctest._dt_checker,
        )
        self.test_sequence = seq

    def setUp(self):
        _logger.info("Performing %s", self.id())
        super().setUp()


def load_doctests(module):
    """Return a ``load_tests`` that adds the doctests of ``module``.

    Bind it under that name in a test module.
    """

    def load_tests(loader, tests, ignore):
        for seq, doc_case in enumerate(doctest.DocTestSuite(module)):
            test = OdooDocTestCase(doc_case, seq=seq)
            test.test_tags = {"standard", "at_install", "queue_job", "doctest"}
            test.test_module = module.__name__.split(".")[2]
            tests.addTest(test)
        return tests

    return load_tests
