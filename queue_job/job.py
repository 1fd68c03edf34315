# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A job: one method call to perform later, as a value with moves.

:class:`Job` knows its attributes, its links in memory and the moves from one state to
another. Its row is a matter of the model ``queue.job`` and of ``store/``; who calls
the moves, and when, is ``worker/``.

Moved here from their own rooms: the states, the identity functions.
"""

import hashlib
import inspect
import json
import logging
import os
import uuid
from collections import OrderedDict, defaultdict
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import randint
from weakref import WeakSet

from odoo import models
from odoo.tools.misc import frozendict

from .exception import FailedJobError, NoSuchJobError, RetryableJobError
from .fields import encode_arguments
from .identity import identity_exact, identity_exact_hasher
from .options import (
    FREE,
    JobOptions,
    check_executes,
    key_or_function,
    not_before,
    text,
)
from .protocol import LONGEST_UUID, is_uuid
from .retry import as_wait, is_last_try, wait_before
from .states import (
    CANCELLED,
    DEFAULT_MAX_RETRIES,
    DEFAULT_PRIORITY,
    DONE,
    ENDED,
    ENQUEUED,
    FAILED,
    PENDING,
    RETRY_INTERVAL,
    STARTED,
    STATES,
    WAIT_DEPENDENCIES,
)
from .utils import has_content, text_of

_logger = logging.getLogger(__name__)

__all__ = [
    "CANCELLED",
    "DEFAULT_MAX_RETRIES",
    "DEFAULT_PRIORITY",
    "DONE",
    "ENQUEUED",
    "FAILED",
    "Job",
    "PENDING",
    "RETRY_INTERVAL",
    "STARTED",
    "STATES",
    "WAIT_DEPENDENCIES",
    "identity_exact",
    "identity_exact_hasher",
]

# Attribute of a cursor: the ``worker.Lease`` of the job that is performed on it.
LEASE = "_queue_job_lease"
# Characters of a call that are kept; the rest is replaced by a digest.
FUNC_STRING_LENGTH = 4000
# The stored value of a job that lists no other.
_NO_LINKS = '{"depends_on": [], "reverse_depends_on": []}'


def _is_model_method(func):
    return inspect.ismethod(func) and isinstance(
        func.__self__.__class__, models.MetaModel
    )


def description_of(method):
    """Return the first line of the docstring of a method, else its full name."""
    doc = (method.__doc__ or "").strip()
    if doc:
        return doc.splitlines()[0].strip()
    return f"{method.__self__._name}.{method.__name__}"


def bound_to(value, cr):
    """Return ``value`` with the recordsets in it on the cursor ``cr``.

    User, superuser mode and context of each are kept.
    """
    if isinstance(value, models.BaseModel):
        return value if value.env.cr is cr else value.with_env(value.env(cr=cr))
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return kind([bound_to(item, cr) for item in value])
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make([bound_to(item, cr) for item in value])
    if kind in (dict, OrderedDict, frozendict):
        return kind({key: bound_to(item, cr) for key, item in value.items()})
    if kind is defaultdict:
        items = {key: bound_to(item, cr) for key, item in value.items()}
        return defaultdict(value.default_factory, items)
    return value


def lists_others(dependencies):
    """Return whether the text of the column ``dependencies`` names other jobs."""
    if not dependencies or dependencies == _NO_LINKS:
        return False
    try:
        return any(json.loads(dependencies).values())
    except (ValueError, AttributeError):
        return False


def link_through(joint):
    """Let all children of a joint of jobs wait for all its parents."""
    if any(known.is_like(joint) for known in joint.parents[0].joints_after):
        return  # delayed again
    for parent in joint.parents:
        parent.joints_after.append(joint)
        parent.is_linked = True
    waits = any(parent.state != DONE for parent in joint.parents)
    for child in joint.children:
        child.joints_before.append(joint)
        child.is_linked = True
        if waits:
            child.state = WAIT_DEPENDENCIES


def store_jobs(jobs):
    """Store new and known jobs together; return the twins that stand for some.

    The rows of new jobs come from one ``create``. When every job that has an
    identity key has a twin, nothing is stored and the result maps each job to
    the job that stands for it; otherwise it is empty. The caller commits.
    """
    # Test kits and third parties replace `store`, of a job or of the class.
    if Job.store is not _STORE or any("store" in vars(job) for job in jobs):
        return _store_one_by_one(jobs)
    return jobs[0].env["queue.job"].sudo()._store_new_jobs(jobs)


def _store_one_by_one(jobs):
    keyed = [job for job in jobs if job.identity_key]
    records = {job: job.job_record_with_same_identity_key() for job in keyed}
    if records and all(records.values()):
        twins = {
            job: Job._load_from_db_record(record) for job, record in records.items()
        }
        return {job: twins.get(job, next(iter(twins.values()))) for job in jobs}
    for job in jobs:
        job.store()
    return {}


@contextmanager
def _performed_on(cr, lease):
    """Let methods on this cursor find the claim of their job in this block.

    :param lease: None for a call without a worker, also inside of a job
    """
    before = vars(cr).get(LEASE)
    setattr(cr, LEASE, lease)
    try:
        yield
    finally:
        setattr(cr, LEASE, before)


class Job:
    """One call of a method of a recordset, with its properties and its state.

    The options are those of :class:`~.options.JobOptions`.

    :param func: method bound to a recordset
    :raise TypeError: for what is not a method of a recordset that executes when it
        is called, an argument that cannot be stored, or a property of the wrong type
    :raise ValueError: for a property that is out of bounds
    """

    def __init__(
        self,
        func,
        args=None,
        kwargs=None,
        priority=None,
        eta=None,
        job_uuid=None,
        max_retries=None,
        description=None,
        channel=None,
        identity_key=None,
    ):
        if not _is_model_method(func):
            raise TypeError(f"Job accepts only methods of Models, not {func!r}")
        check_executes(func)
        options = JobOptions(
            priority, eta, max_retries, description, channel, identity_key
        ).checked(datetime.now(), func.__self__.env.context.get("lang"))
        args = tuple(args) if isinstance(args, list) else args
        assert args is None or isinstance(args, tuple), f"args: {args!r} is not a tuple"
        assert kwargs is None or isinstance(kwargs, dict), (
            f"kwargs: {kwargs!r} is not a dict"
        )
        self._init_row()
        self.recordset = func.__self__
        self._method_name = func.__name__
        self._args = args or ()
        self._kwargs = kwargs or {}
        if job_uuid and not is_uuid(job_uuid):
            raise ValueError(
                f"job_uuid must be printable and have at most {LONGEST_UUID} characters"
            )
        self._uuid = job_uuid or None
        self.uuid_was_given = bool(job_uuid)
        self.job_config = self._read_config()
        self._check_on_fail_method()

        self.state = PENDING
        self.retry = 0
        self.run_number = 0
        self.priority = options.priority
        self.max_retries = options.max_retries
        self._description = options.description
        self._channel = options.channel
        self._identity_key = options.identity_key
        self._eta = options.eta
        self.graph_uuid = None
        self.company_id = self._company_of_caller()
        self.date_created = datetime.now()
        # The W3C trace context of the caller, if a module provides it.
        self.traceparent = None
        self._clear_moves()
        self.result = None
        self.exc_name = self.exc_message = self.exc_info = None

    def _init_row(self):
        """Set what a job knows of its row and its links: nothing yet."""
        self.row_id = None
        # Why the call cannot be performed, of a row that could not be read.
        self.load_error = None
        # The mutable columns as they were stored last.
        self.stored = {}
        # The columns that other addons load with it.
        self.more = {}
        # The row was made by this object: a rollback may have undone that.
        self.is_maker = False
        # The claim of this process, a ``worker.Lease``.
        self.lease = None
        self._depends_on = set()
        self._reverse_depends_on = WeakSet()
        self.joints_before = []
        self.joints_after = []
        self.is_linked = False
        # The row of a job without graph lists other jobs.
        self.is_listed = False

    def _clear_moves(self):
        self.date_enqueued = self.date_started = None
        self.date_done = self.date_cancelled = None
        self.worker_pid = None

    def _company_of_caller(self):
        context = self.env.context
        return context["company_id"] if "company_id" in context else self.env.company.id

    def _read_config(self):
        functions = self.env["queue.job.function"].sudo()
        return functions.job_config(self.job_function_name)

    @property
    def commit_mode(self):
        """When the method may commit, see ``options.py``."""
        if self.job_config.allow_commit:
            return FREE
        functions = self.env["queue.job.function"].sudo()
        return functions.job_settings(self.job_function_name).commit_mode

    def _check_on_fail_method(self):
        name = self.on_fail_method_name
        if name and not _is_model_method(getattr(self.recordset, name, None)):
            raise TypeError(
                f"Job accepts only methods of Models: {self.model_name} has no method {name!r}, "
                f"the on-fail method of {self.job_function_name}"
            )

    # Properties -------------------------------------------------------------

    @property
    def uuid(self):
        if self._uuid is None:
            self._uuid = str(uuid.uuid4())
        return self._uuid

    @property
    def env(self):
        return self.recordset.env

    def _set_env(self, env):
        self.recordset = self.recordset.with_env(env)

    _env = property(fset=_set_env)

    def _bound(self, holder, value):
        try:
            return bound_to(value, self.env.cr)
        except RecursionError:
            encode_arguments(holder, value)  # the error names the argument
            raise

    @property
    def args(self):
        return self._bound("args", self._args)

    @args.setter
    def args(self, value):
        self._args = value

    @property
    def kwargs(self):
        return self._bound("kwargs", self._kwargs)

    @kwargs.setter
    def kwargs(self, value):
        self._kwargs = value

    @property
    def method_name(self):
        return self._method_name

    @method_name.setter
    def method_name(self, name):
        self._method_name = name
        self.job_config = self._read_config()
        self._check_on_fail_method()

    @property
    def model_name(self):
        return vars(self).get("_model_name") or self.recordset._name

    @property
    def func(self):
        return getattr(
            self.recordset.with_context(job_uuid=self.uuid), self.method_name
        )

    @property
    def func_string(self):
        args = [repr(arg) for arg in self.args]
        kwargs = [f"{key}={value!r}" for key, value in self.kwargs.items()]
        call = f"{self.recordset!r}.{self.method_name}({', '.join(args + kwargs)})"
        if len(call) <= FUNC_STRING_LENGTH:
            return call
        # Equal texts stay equal, and no others become so.
        digest = hashlib.sha256(call.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{call[:FUNC_STRING_LENGTH]}…{digest}"

    @property
    def job_function_name(self):
        return f"<{self.model_name}>.{self.method_name}"

    @property
    def job_function_id(self):
        return self.job_config.job_function_id

    @property
    def on_fail_method_name(self):
        return self.job_config.on_fail_method_name

    @property
    def user_id(self):
        return self.env.uid

    @property
    def channel(self):
        return self._channel or self.job_config.channel

    @channel.setter
    def channel(self, value):
        self._channel = text("channel", value)

    @property
    def description(self):
        return self._description or description_of(
            getattr(self.recordset, self.method_name)
        )

    @property
    def eta(self):
        return self._eta

    @eta.setter
    def eta(self, value):
        self._eta = not_before(value, datetime.now())

    @property
    def identity_key(self):
        if callable(self._identity_key):
            key = self._identity_key(self)
            self._identity_key = text("identity_key", key, numbers=True)
        return self._identity_key

    @identity_key.setter
    def identity_key(self, value):
        self._identity_key = key_or_function(value)

    @property
    def exec_time(self):
        """Seconds between start and end of the last run, None when it did not end.

        0 when the clock was set back while it ran.
        """
        if self.date_done and self.date_started:
            return max((self.date_done - self.date_started).total_seconds(), 0)
        return None

    # Row --------------------------------------------------------------------

    @classmethod
    def load(cls, env, job_uuid):
        """Return the job with this uuid; ``NoSuchJobError`` when there is none."""
        jobs = cls.load_many(env, [job_uuid])
        if not jobs:
            raise NoSuchJobError(f"Job {job_uuid} does not exist")
        return jobs.pop()

    @classmethod
    def load_many(cls, env, uuids):
        """Return the set of the jobs that exist among ``uuids``."""
        return set(env["queue.job"].sudo()._load_jobs(cls, "uuid", uuids))

    @classmethod
    def restored(cls, row, call, load_error, attributes):
        """Return the job of a row that ``store/rows.py`` has read.

        :param row: dict of the columns of its identity: id, uuid, name, model and method
        :param call: ``(recordset, args, kwargs)``
        :param attributes: the rest, by name
        """
        job = cls.__new__(cls)
        job._init_row()
        job.row_id = row["id"]
        job._uuid = row["uuid"]
        job.uuid_was_given = False
        job._description = row["name"]
        job._model_name = row["model_name"]
        job._method_name = row["method_name"]
        job.recordset, job._args, job._kwargs = call
        job.load_error = load_error
        # Past the properties: stored values need no check.
        for name in ("identity_key", "channel", "eta"):
            setattr(job, "_" + name, attributes.pop(name))
        vars(job).update(attributes)
        job.is_listed = not job.graph_uuid and lists_others(row["dependencies"])
        job.job_config = job._read_config()
        return job

    @classmethod
    def _load_from_db_record(cls, record):
        """Return the job of a row."""
        return cls._load_from_db_records(record).pop()

    @classmethod
    def _load_from_db_records(cls, records):
        """Return the set of the jobs of some rows."""
        return set(records._load_jobs(cls, "id", records.ids))

    @staticmethod
    def db_records_from_uuids(env, uuids):
        """Return the rows of ``uuids`` as superuser, in ``env``."""
        return env["queue.job"].sudo().search([("uuid", "in", tuple(uuids))])

    def db_record(self):
        """Return the row of this job as superuser, empty when it is not stored."""
        return self.db_records_from_uuids(self.env, [self.uuid])

    @property
    def record(self):
        """The row as superuser, without a look whether it still exists."""
        if self.row_id is None:
            self.row_id = self.db_record().id or None
        return self.env["queue.job"].sudo().browse(self.row_id)

    def store(self):
        """Write the row of this job, or make it; the caller commits.

        Raises ``TypeError`` when an argument cannot be stored.
        """
        self.env["queue.job"].sudo()._store_job(self)

    def _store_values(self, create=False):
        """Return what :meth:`store` writes, by column; for subclasses to extend.

        The row is written with what differs from it.

        :param create: with the values that only a new row gets
        """
        return self.env["queue.job"]._values_of_job(self, create)

    def is_new(self):
        """Return whether the row is still to be made, or again after a rollback."""
        if self.is_maker and not self.record.exists():
            self.row_id, self.is_maker, self.stored = None, False, {}
            for joint in (*self.joints_before, *self.joints_after):
                joint.stored = False
        if self.row_id is None and self.uuid_was_given:
            self.row_id = self.db_record().id or None
        return self.row_id is None

    def become(self, other):
        """Be another job from now on: a policy refused to store this one."""
        vars(self).clear()
        vars(self).update(vars(other))

    def job_record_with_same_identity_key(self):
        """Return a waiting row with the same identity key, or an empty recordset."""
        return self.env["queue.job"].sudo()._search_twin(self)

    def add_lock_record(self):
        """Make sure that the liveness row of this job exists."""
        self.record._add_lock_row()

    def lock(self):
        """Lock the liveness row until the end of the transaction.

        Return False when the job is not started by this very claim, or
        the row is locked elsewhere.
        """
        return self.record._lock_row(self.run_number)

    # Links ------------------------------------------------------------------

    def add_depends(self, jobs):
        """Let this job wait for ``jobs``, a set; stored with the next ``store``.

        :raise ValueError: when this job is one of them
        """
        if self in jobs:
            raise ValueError(f"Job {self.uuid} cannot depend on itself")
        self._depends_on |= jobs
        self.is_linked = True
        for parent in jobs:
            parent._reverse_depends_on.add(self)
            parent.is_linked = True
        if any(parent.state != DONE for parent in jobs):
            self.state = WAIT_DEPENDENCIES

    @property
    def depends_on(self):
        """The jobs this one waits for, from memory or else from the edges."""
        return self._linked_jobs(
            self._depends_on, self.joints_before, "parents", "dependency_ids"
        )

    @property
    def reverse_depends_on(self):
        """The jobs that wait for this one, from memory or else from the edges."""
        return self._linked_jobs(
            self._reverse_depends_on, self.joints_after, "children", "dependent_ids"
        )

    def direct_links(self):
        """Return ``(parents, children)`` in memory, joints left out."""
        return self._depends_on, self._reverse_depends_on

    def _linked_jobs(self, direct, joints, end, field):
        jobs = set(direct).union(*(getattr(joint, end) for joint in joints))
        return jobs or self._load_from_db_records(self.record[field])

    def may_be_linked(self):
        """Return whether it is worth a look for links: most jobs are alone."""
        return bool(self.is_linked or self.is_listed or self.graph_uuid)

    def should_check_dependents(self):
        """Return whether any job waits for this one."""
        if self.lease and self.lease.has_no_dependents:
            return False
        if self._reverse_depends_on or self.joints_after:
            return True
        if self.lease and self.lease.links_after:
            return True
        return self.may_be_linked() and self.record._has_dependents()

    def _is_held_back(self):
        """Return whether a parent may still release this job.

        One that was cancelled will not, see ``sql/release.sql``.
        """
        if not self.may_be_linked():
            return False
        if self._depends_on or self.joints_before:
            return any(parent.state not in ENDED for parent in self.depends_on)
        return bool(self.record._held_back())

    def enqueue_waiting(self):
        """Make pending what waited for this job and for nothing else now.

        Locks the dependents in the order of their ids; the caller commits.
        """
        self.record._release_dependents()

    def cancel_dependent_jobs(self):
        """Cancel what waits for this job, and what waits for that, and so on."""
        self.record._cancel_dependents()

    def dependencies_value(self):
        """Return the uuid lists of the column, left empty for large graphs."""
        if self.joints_before or self.joints_after:
            return {"depends_on": [], "reverse_depends_on": []}
        return {
            "depends_on": [job.uuid for job in self._depends_on],
            "reverse_depends_on": [job.uuid for job in self._reverse_depends_on],
        }

    # Performing -------------------------------------------------------------

    @contextmanager
    def in_temporary_env(self):
        """Let the job live on a cursor of its own in this block.

        The cursor commits at the end, and rolls back on an exception.
        """
        env = self.env
        with env.registry.cursor() as cr:
            self._env = env(cr=cr)
            try:
                yield
            finally:
                self._env = env

    def perform(self):
        """Run the method and return its result, which is kept.

        The try is counted.

        :raise FailedJobError: from a retryable error, when the tries are used up
        """
        self.retry += 1
        worker_cr = self.env.cr
        try:
            if self.load_error:
                raise RetryableJobError(f"Job {self.uuid} {self.load_error}")
            if self.job_config.allow_commit:
                with self.in_temporary_env():
                    self.result = self._call_in_own_session(worker_cr)
            else:
                self.result = self._call()
        except RetryableJobError as error:
            if error.ignore_retry:
                self.retry -= 1
                raise
            self.check_tries(error)
            raise
        return self.result

    def _call(self):
        """Call the method; refuse a result that only begins to execute it.

        :raise FailedJobError: for a generator or a coroutine
        """
        with _performed_on(self.env.cr, self.lease):
            result = self.func(*self.args, **self.kwargs)
        if inspect.isgenerator(result) or inspect.iscoroutine(result):
            result.close()
        elif not (inspect.isasyncgen(result) or inspect.isawaitable(result)):
            return result
        raise FailedJobError(
            f"{self.job_function_name} returned a {type(result).__name__}: its code was not "
            "executed. A job method must be an ordinary function, without yield or async."
        )

    def _call_in_own_session(self, worker_cr):
        """Call the method on a second connection, which others had and will have."""
        if self.env.cr is worker_cr:
            return self._call()
        with self.env["queue.job"].browse(self.row_id)._own_session():
            return self._call()

    def check_tries(self, error):
        """Raise ``FailedJobError`` from ``error`` when no try is left."""
        if is_last_try(self.retry, self.max_retries):
            raise FailedJobError(
                f"Max. retries ({self.max_retries}) reached: {text_of(error)}"
            ) from error

    def _get_retry_seconds(self, seconds=None):
        wait = as_wait(seconds)
        if wait is None and has_content(seconds):
            _logger.warning(
                "job %s: no wait of %s seconds; taking the retry pattern",
                self.uuid,
                text_of(seconds),
            )
        return wait_before(self.retry, randint, self.job_config.retry_pattern, wait)

    def on_fail(self, fail_vals):
        """Call the on-fail method of the job function, if it has one.

        :raise ValidationError: for a name that a person set and that is not meant for it
        """
        name = self.on_fail_method_name
        if name:
            function = self.env["queue.job.function"].browse(self.job_function_id)
            function._check_hook_of_user(self.model_name, name)
            getattr(self.recordset, name)(**fail_vals)

    def related_action(self):
        """Return the action that shows what the job is about, or None."""
        return self.record._related_action(self.job_config)

    # Moves ------------------------------------------------------------------

    def set_pending(self, result=None, reset_retry=True):
        self.state = WAIT_DEPENDENCIES if self._is_held_back() else PENDING
        self._clear_moves()
        if reset_retry:
            self.retry = 0
        self._keep_result(result)

    def set_enqueued(self):
        self.state = ENQUEUED
        self.date_enqueued = datetime.now()
        self.date_started = None
        self.worker_pid = None

    def set_started(self):
        """Claim the job for this process; the number of the run goes up."""
        self.become_started(datetime.now())
        self.add_lock_record()

    def become_started(self, date_started):
        """Become what a claim makes of the row."""
        self.state = STARTED
        self.date_started = date_started
        self.worker_pid = os.getpid()
        self.run_number = (self.run_number or 0) + 1

    def set_done(self, result=None):
        self.state = DONE
        self.date_done = datetime.now()
        self.exc_name = self.exc_info = None
        self._keep_result(result)

    def set_cancelled(self, result=None):
        self.state = CANCELLED
        self.date_cancelled = datetime.now()
        self._keep_result(result)

    def set_failed(self, **kw):
        self.state = FAILED
        for name, value in kw.items():
            if value is not None:
                setattr(self, name, value)

    def postpone(self, result=None, seconds=None):
        """Set the eta of the next try, by ``seconds`` or the retry pattern."""
        self.eta = timedelta(seconds=self._get_retry_seconds(seconds))
        self.exc_name = self.exc_info = None
        self._keep_result(result)

    def _keep_result(self, result):
        if result is not None:
            self.result = result

    def __eq__(self, other):
        return isinstance(other, Job) and self.uuid == other.uuid

    def __hash__(self):
        return hash(self.uuid)

    def __repr__(self):
        return f"<Job {self.uuid}, priority:{self.priority}>"


# Others replace or extend these: they are compared with what they were.
_STORE = Job.store
