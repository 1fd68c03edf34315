# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A job: one method call to perform later, as a value with moves.

:class:`Job` knows its attributes, the column of each and the moves from one
state to another. Rows, locks and everything set-based are methods of the
model ``queue.job``; who calls the moves, and when, is the executor.

Moved here from their own rooms: the states, the identity functions.
"""

import inspect
import os
import uuid
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from random import randint
from weakref import WeakSet

from odoo import fields, models

from .exception import FailedJobError, NoSuchJobError, RetryableJobError
from .identity import identity_exact, identity_exact_hasher
from .retry import is_last_try, wait_before
from .states import (
    CANCELLED,
    DEFAULT_MAX_RETRIES,
    DEFAULT_PRIORITY,
    DONE,
    ENQUEUED,
    FAILED,
    PENDING,
    RETRY_INTERVAL,
    STARTED,
    STATES,
    WAIT_DEPENDENCIES,
)
from .utils import storable_text

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

# Attribute of a Job = column of queue.job, written at each store and loaded.
MUTABLE = {
    "state": "state",
    "priority": "priority",
    "retry": "retry",
    "max_retries": "max_retries",
    "exc_name": "exc_name",
    "exc_message": "exc_message",
    "exc_info": "exc_info",
    "company_id": "company_id",
    "result": "result",
    "date_enqueued": "date_enqueued",
    "date_started": "date_started",
    "date_done": "date_done",
    "date_cancelled": "date_cancelled",
    "exec_time": "exec_time",
    "eta": "eta",
    "identity_key": "identity_key",
    "worker_pid": "worker_pid",
    "run_number": "run_number",
    "graph_uuid": "graph_uuid",
}
# The same for what is written once, when the row is made.
CONSTANT = {
    "user_id": "user_id",
    "channel": "channel",
    "uuid": "uuid",
    "description": "name",
    "func_string": "func_string",
    "date_created": "date_created",
    "model_name": "model_name",
    "method_name": "method_name",
    "job_function_id": "job_function_id",
    "job_function_name": "channel_method_name",
    "recordset": "records",
    "args": "args",
    "kwargs": "kwargs",
}
CREATED = {**CONSTANT, **MUTABLE}
TEXT = {"exc_name", "exc_message", "exc_info", "result", "name", "func_string", "identity_key"}
# Columns that no store-values hook may set.
CORE_COLUMNS = {*MUTABLE.values(), *CONSTANT.values(), "dependencies"}
# What a loaded job takes from its row as it is; the rest needs a rule.
_LOADED = [
    "state",
    "exc_name",
    "exc_message",
    "exc_info",
    "result",
    "date_enqueued",
    "date_started",
    "date_done",
    "date_cancelled",
    "date_created",
    "identity_key",
    "graph_uuid",
    "channel",
]
_LOADED_NUMBERS = ["priority", "retry", "max_retries", "worker_pid", "run_number"]


def _is_model_method(func):
    return inspect.ismethod(func) and isinstance(func.__self__.__class__, models.MetaModel)


def description_of(method):
    """Return the first line of the docstring of a method, else its full name."""
    doc = (method.__doc__ or "").strip()
    if doc:
        return doc.splitlines()[0].strip()
    return f"{method.__self__._name}.{method.__name__}"


def store_jobs(jobs):
    """Store new and known jobs together; return the twins that stand for some.

    The rows of new jobs come from one ``create``. When every job that has an
    identity key has a twin, nothing is stored and the result maps each job to
    the job that stands for it; otherwise it is empty. The caller commits.
    """
    # Test kits replace `store` to keep jobs out of the database.
    if any("store" in vars(job) for job in jobs):
        return _store_one_by_one(jobs)
    store = jobs[0].env["queue.job"].sudo()
    twins = store._reserve_keys(jobs)
    if twins:
        return twins
    try:
        store._store_jobs(jobs)
    except Exception:
        # The caller may go on: a key without a job would refuse for ever.
        store._give_up_keys(jobs)
        raise
    return {}


def link_through(joint):
    """Let all children of a joint of jobs wait for all its parents."""
    for parent in joint.parents:
        parent._joints_after.append(joint)
        parent._linked = True
    waits = any(parent.state != DONE for parent in joint.parents)
    for child in joint.children:
        child._joints_before.append(joint)
        child._linked = True
        if waits:
            child.state = WAIT_DEPENDENCIES


def _store_one_by_one(jobs):
    keyed = [job for job in jobs if job.identity_key]
    records = {job: job.job_record_with_same_identity_key() for job in keyed}
    if records and all(records.values()):
        twins = {job: Job._load_from_db_record(record) for job, record in records.items()}
        return {job: twins.get(job, next(iter(twins.values()))) for job in jobs}
    for job in jobs:
        job.store()
    return {}


class Job:
    """One call of a method of a recordset, with its properties and its state.

    :param func: method bound to a recordset
    :param eta: not before: naive UTC or aware datetime, date, Odoo datetime
        string, timedelta, or seconds from now
    :param max_retries: runs in all, 0 for no limit
    :param channel: complete name of a channel, which need not exist
    :param identity_key: str, or a callable that makes one from the job
    :raise TypeError: for what is not a method of a recordset, an argument that
        cannot be stored, or a property of the wrong type
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
        args = tuple(args) if isinstance(args, list) else args
        assert args is None or isinstance(args, tuple), f"args: {args!r} is not a tuple"
        assert kwargs is None or isinstance(kwargs, dict), f"kwargs: {kwargs!r} is not a dict"
        self._init_links()
        self.recordset = func.__self__
        self._method_name = func.__name__
        self._args = args or ()
        self._kwargs = kwargs or {}
        self._uuid = job_uuid
        self._uuid_was_given = bool(job_uuid)
        self.job_config = self._read_config()
        self._check_on_fail_method()

        self.state = PENDING
        self.retry = 0
        self.run_number = 0
        self.priority = _integer("priority", priority, DEFAULT_PRIORITY)
        self.max_retries = _integer("max_retries", max_retries, DEFAULT_MAX_RETRIES)
        self._description = _text("description", description)
        self._channel = _text("channel", channel)
        self.identity_key = identity_key
        self.eta = eta
        self.graph_uuid = None
        self.company_id = self._company_of_caller()
        self.date_created = datetime.now()
        self._clear_moves()
        self.result = None
        self.exc_name = self.exc_message = self.exc_info = None

    def _init_links(self):
        self._db_id = None
        self._load_error = None
        self._depends_on = set()
        self._reverse_depends_on = WeakSet()
        self._joints_before = []
        self._joints_after = []
        self._linked = False
        # The mutable columns as they were stored last.
        self._known = {}
        self._has_lock_row = False
        # The run of a worker that this job is part of.
        self.run = None

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

    def _check_on_fail_method(self):
        name = self.on_fail_method_name
        if name and not _is_model_method(getattr(self.recordset, name, None)):
            raise TypeError(
                f"Job accepts only methods of Models: {self.model_name} has no method {name!r}, "
                f"the on-fail method of {self.job_function_name}"
            )

    # Loading ----------------------------------------------------------------

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
        return {cls._load_from_db_record(r) for r in cls.db_records_from_uuids(env, uuids)}

    @staticmethod
    def db_records_from_uuids(env, uuids):
        """Return the rows of ``uuids`` as superuser, in ``env``."""
        return env["queue.job"].sudo().search([("uuid", "in", tuple(uuids))])

    @classmethod
    def _load_from_db_record(cls, record):
        """Return the job of a row.

        A row whose model, method or arguments cannot be had any more loads as
        a job too: it can be moved, and fails with the reason when performed.
        """
        job = cls.__new__(cls)
        job._init_links()
        job._db_id = record.id
        job._uuid = record.uuid
        for name in _LOADED:
            setattr(job, name, record[name] or None)
        for name in _LOADED_NUMBERS:
            setattr(job, name, record[name] or 0)
        job._method_name = record.method_name
        job._model_name = record.model_name
        job._description = record.name
        job._eta = record.eta or None
        job.company_id = record.company_id.id
        job._load_call(record)
        job.job_config = job._read_config()
        job._known = {column: getattr(job, name) for name, column in MUTABLE.items()}
        return job

    def _load_call(self, record):
        try:
            self.recordset = record.records
            self._args = tuple(record.args or ())
            self._kwargs = record.kwargs or {}
            self._load_error = self._missing_part(record)
        except Exception as error:  # noqa: BLE001 whatever a row holds, it can be moved
            self.recordset = record.env["base"]
            self._args, self._kwargs = (), {}
            self._load_error = f"cannot be read: {type(error).__name__}: {error}"

    def _missing_part(self, record):
        """Return what makes the call impossible, or None."""
        if self._model_name and self._model_name not in record.env:
            return f"model {self._model_name} does not exist"
        uid = self.recordset.env.uid
        if not record.user_id and record.records and not record.env["res.users"].browse(uid).exists():
            return f"user {uid}, on whose behalf it was delayed, was deleted"
        return None

    # Storing ----------------------------------------------------------------

    def store(self):
        """Write the row of this job, or make it; the caller commits.

        Raises ``TypeError`` when an argument cannot be stored.
        """
        self.env["queue.job"].sudo()._store_job(self)

    def _become(self, other):
        """Be another job from now on: a policy refused to store this one."""
        vars(self).clear()
        vars(self).update(vars(other))

    def _creation_values(self):
        """Return the values of the new row; what is not set yet costs nothing."""
        values = {}
        for name, column in CREATED.items():
            value = self._value(name, column)
            if value is not None and value is not False:
                values[column] = value
        return self._with_extra(values)

    def _changed_values(self):
        """Return what is to be written: the state, and what is not stored yet."""
        values = {"state": self.state}
        for name, column in MUTABLE.items():
            value = self._value(name, column)
            if column not in self._known or self._known[column] != value:
                values[column] = value
        return self._with_extra(values)

    def _value(self, name, column):
        value = getattr(self, name)
        return storable_text(value or None) if column in TEXT else value

    def _with_extra(self, values):
        self._known.update((column, values[column]) for column in MUTABLE.values() if column in values)
        if self._linked:
            values["dependencies"] = self._dependencies_value()
        return {**self._extra_values(), **values}

    def _extra_values(self):
        """Return what the store-values hooks add, the specific one last."""
        model = self.env["base"] if self.recordset is None else self.recordset
        values = dict(model._job_store_values(self) or {})
        specific = getattr(model, f"_job_store_values_for_{self.method_name}", None)
        if specific:
            values.update(specific(self) or {})
        return {column: value for column, value in values.items() if column not in CORE_COLUMNS}

    def _dependencies_value(self):
        """Return the uuid lists of the column, left empty for large graphs."""
        if self._joints_before or self._joints_after:
            return {"depends_on": [], "reverse_depends_on": []}
        return {
            "depends_on": [job.uuid for job in self._depends_on],
            "reverse_depends_on": [job.uuid for job in self._reverse_depends_on],
        }

    def _is_new(self):
        """Return whether the row is still to be made."""
        if self._db_id is None and self._uuid_was_given:
            self._stored_as(self.db_record().id or None)
        return self._db_id is None

    def _stored_as(self, record_id):
        self._db_id = record_id

    def db_record(self):
        """Return the row of this job as superuser, empty when it is not stored."""
        return self.db_records_from_uuids(self.env, [self.uuid])

    def _record(self):
        """Return the row without looking whether it still exists."""
        if self._db_id is None:
            self._db_id = self.db_record().id or None
        return self.env["queue.job"].sudo().browse(self._db_id)

    def job_record_with_same_identity_key(self):
        """Return a waiting row with the same identity key, or an empty recordset."""
        return self.env["queue.job"].sudo()._search_twin(self)

    # Links ------------------------------------------------------------------

    def add_depends(self, jobs):
        """Let this job wait for ``jobs``, a set; stored with the next ``store``.

        :raise ValueError: when this job is one of them
        """
        if self in jobs:
            raise ValueError(f"Job {self.uuid} cannot depend on itself")
        self._depends_on |= jobs
        self._linked = True
        for parent in jobs:
            parent._reverse_depends_on.add(self)
            parent._linked = True
        if any(parent.state != DONE for parent in jobs):
            self.state = WAIT_DEPENDENCIES

    @property
    def depends_on(self):
        """The jobs this one waits for, from memory or else from the edges."""
        return self._linked_jobs(self._depends_on, self._joints_before, "parents", "dependency_ids")

    @property
    def reverse_depends_on(self):
        """The jobs that wait for this one, from memory or else from the edges."""
        return self._linked_jobs(
            self._reverse_depends_on, self._joints_after, "children", "dependent_ids"
        )

    def _linked_jobs(self, direct, joints, end, field):
        jobs = set(direct).union(*(getattr(joint, end) for joint in joints))
        if jobs:
            return jobs
        return {self._load_from_db_record(record) for record in self._record()[field]}

    def should_check_dependents(self):
        """Return whether any job waits for this one."""
        if self._reverse_depends_on or self._joints_after:
            return True
        return bool(self.graph_uuid) and self._record()._has_dependents()

    def enqueue_waiting(self):
        """Make pending what waited for this job and for nothing else now.

        Locks the dependents in the order of their ids; the caller commits.
        """
        self._record()._release_dependents()

    def cancel_dependent_jobs(self):
        """Cancel what waits for this job, and what waits for that, and so on."""
        self._record()._cancel_dependents()

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

    @property
    def args(self):
        return _bound_to(self._args, self.env.cr)

    @args.setter
    def args(self, value):
        self._args = value

    @property
    def kwargs(self):
        return _bound_to(self._kwargs, self.env.cr)

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
        return getattr(self.recordset.with_context(job_uuid=self.uuid), self.method_name)

    @property
    def func_string(self):
        args = [repr(arg) for arg in self.args]
        kwargs = [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"{self.recordset!r}.{self.method_name}({', '.join(args + kwargs)})"

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
        self._channel = value

    @property
    def description(self):
        return self._description or description_of(getattr(self.recordset, self.method_name))

    @property
    def eta(self):
        return self._eta

    @eta.setter
    def eta(self, value):
        self._eta = _not_before(value)

    @property
    def identity_key(self):
        if callable(self._identity_key):
            self._identity_key = _text("identity_key", self._identity_key(self))
        return self._identity_key

    @identity_key.setter
    def identity_key(self, value):
        self._identity_key = value if callable(value) else _text("identity_key", value)

    @property
    def exec_time(self):
        """Seconds between start and end of the last run, None when it did not end."""
        if self.date_done and self.date_started:
            return (self.date_done - self.date_started).total_seconds()
        return None

    # Performing -------------------------------------------------------------

    @contextmanager
    def in_temporary_env(self):
        """Let the job live on a cursor of its own meanwhile.

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
        try:
            if self._load_error:
                raise RetryableJobError(f"Job {self.uuid} {self._load_error}")
            if self.job_config.allow_commit:
                with self.in_temporary_env():
                    self.result = self.func(*self.args, **self.kwargs)
            else:
                self.result = self.func(*self.args, **self.kwargs)
        except RetryableJobError as error:
            if error.ignore_retry:
                self.retry -= 1
                raise
            self.check_tries(error)
            raise
        return self.result

    def check_tries(self, error):
        """Raise ``FailedJobError`` from ``error`` when no try is left."""
        if is_last_try(self.retry, self.max_retries):
            raise FailedJobError(f"Max. retries ({self.max_retries}) reached: {error}") from error

    def _get_retry_seconds(self, seconds=None):
        return wait_before(self.retry, randint, self.job_config.retry_pattern, seconds)

    def on_fail(self, fail_vals):
        """Call the on-fail method of the job function, if it has one."""
        if self.on_fail_method_name:
            getattr(self.recordset, self.on_fail_method_name)(**fail_vals)

    def related_action(self):
        """Return the action that shows what the job is about, or None."""
        return self._record()._related_action(self.job_config)

    # Moves ------------------------------------------------------------------

    def set_pending(self, result=None, reset_retry=True):
        waits = any(job.state != DONE for job in self.depends_on) if self.graph_uuid else False
        self.state = WAIT_DEPENDENCIES if waits else PENDING
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
        self.state = STARTED
        self.date_started = datetime.now()
        self.worker_pid = os.getpid()
        self.run_number = (self.run_number or 0) + 1
        self.add_lock_record()

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

    def add_lock_record(self):
        """Make sure that the liveness row of this job exists."""
        if not self._has_lock_row:
            self._record()._add_lock_row()
            self._has_lock_row = True

    def lock(self):
        """Lock the liveness row until the end of the transaction.

        Return False when the job is not started by this very claim, or
        somebody else holds the row.
        """
        return self._record()._lock_row(self.run_number)

    def __eq__(self, other):
        return isinstance(other, Job) and self.uuid == other.uuid

    def __hash__(self):
        return hash(self.uuid)

    def __repr__(self):
        return f"<Job {self.uuid}, priority:{self.priority}>"


def _integer(name, value, default):
    if value is None:
        return default
    if isinstance(value, int):
        return value
    raise TypeError(f"{name} of a job must be an integer, not {value!r} ({type(value).__name__})")


def _text(name, value):
    if value is None or value is False:
        return None
    if isinstance(value, str):
        return value
    # Lazy translations and the like say what they are worth as text.
    if hasattr(value, "translate") or hasattr(value, "_translate"):
        return str(value)
    raise TypeError(f"{name} of a job must be a string, not {value!r} ({type(value).__name__})")


def _not_before(value):
    """Return an eta as the moment it means, naive UTC."""
    if not value:
        return None
    if isinstance(value, timedelta):
        return datetime.now() + value
    if isinstance(value, int | float):
        return datetime.now() + timedelta(seconds=value)
    if getattr(value, "tzinfo", None):
        return value.astimezone(timezone.utc).replace(tzinfo=None)
    try:
        fields.Datetime.to_datetime(value)
    except (TypeError, ValueError, AttributeError) as error:
        raise TypeError(
            "eta of a job must be a datetime, a date, an Odoo datetime string, a timedelta or "
            f"seconds, not {value!r} ({type(value).__name__})"
        ) from error
    return value


def _bound_to(value, cr):
    """Return ``value`` with the recordsets in it on the cursor ``cr``.

    User, superuser mode and context of each are kept.
    """
    if isinstance(value, models.BaseModel):
        return value if value.env.cr is cr else value.with_env(value.env(cr=cr))
    if isinstance(value, list | tuple):
        items = [_bound_to(item, cr) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, dict):
        return {key: _bound_to(item, cr) for key, item in value.items()}
    return value
