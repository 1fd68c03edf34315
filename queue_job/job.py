# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A job: one method call to perform later, as a value with moves.

:class:`Job` knows its attributes and the moves from one state to another; how it
is loaded and stored is in :mod:`.job_row`, what ties it to others in
:mod:`.job_links`. Rows, locks and everything set-based are methods of the model
``queue.job``; who calls the moves, and when, is the executor.

Moved here from their own rooms: the states, the identity functions.
"""

import inspect
import logging
import os
import uuid
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import randint

from odoo import models

from .exception import FailedJobError, RetryableJobError
from .fields import encode_arguments
from .identity import identity_exact, identity_exact_hasher
from .job_row import StoredJob
from .properties import (
    bound_to,
    check_executes,
    description_of,
    integer,
    not_before,
    number_of_tries,
    text,
)
from .retry import as_wait, is_last_try, wait_before
from .run import LONGEST_UUID, is_uuid
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
from .utils import digested, has_content, text_of

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

# Characters of a call that are kept; the rest is replaced by a digest.
FUNC_STRING_LENGTH = 4000


def _is_model_method(func):
    return inspect.ismethod(func) and isinstance(
        func.__self__.__class__, models.MetaModel
    )


def store_jobs(jobs):
    """Store new and known jobs together; return the twins that stand for some.

    The rows of new jobs come from one ``create``. When every job that has an
    identity key has a twin, nothing is stored and the result maps each job to
    the job that stands for it; otherwise it is empty. The caller commits.
    """
    # Test kits and third parties replace `store`, of a job or of the class.
    if Job.store is not StoredJob.store or any("store" in vars(job) for job in jobs):
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


class Job(StoredJob):
    """One call of a method of a recordset, with its properties and its state.

    :param func: method bound to a recordset
    :param eta: not before: naive UTC or aware datetime, date, Odoo datetime
        string, timedelta, or seconds from now
    :param max_retries: runs in all, 0 for no limit
    :param channel: complete name of a channel, which need not exist
    :param identity_key: str, or a callable that makes one from the job
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
        self._uuid_was_given = bool(job_uuid)
        self.job_config = self._read_config()
        self._check_on_fail_method()

        self.state = PENDING
        self.retry = 0
        self.run_number = 0
        self.priority = integer("priority", priority, DEFAULT_PRIORITY)
        self.max_retries = number_of_tries(max_retries, DEFAULT_MAX_RETRIES)
        self._description = text(
            "description", description, numbers=True, lang=self.env.lang
        )
        self.channel = channel
        self.identity_key = identity_key
        self.eta = eta
        self.graph_uuid = None
        self.company_id = self._company_of_caller()
        self.date_created = datetime.now()
        self._clear_moves()
        self.result = None
        self.exc_name = self.exc_message = self.exc_info = None

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
        return digested(call, FUNC_STRING_LENGTH)

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
        self._identity_key = (
            value if callable(value) else text("identity_key", value, numbers=True)
        )

    @property
    def exec_time(self):
        """Seconds between start and end of the last run, None when it did not end.

        0 when the clock was set back while it ran.
        """
        if self.date_done and self.date_started:
            return max((self.date_done - self.date_started).total_seconds(), 0)
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
        worker_cr = self.env.cr
        try:
            if self._load_error:
                raise RetryableJobError(f"Job {self.uuid} {self._load_error}")
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
        jobs = self.env["queue.job"]
        jobs._enter_session()
        try:
            result = self._call()
            # Fails where an error of the transaction was swallowed: nothing would be left.
            jobs._clean_session()
        except BaseException:
            jobs._leave_session()
            raise
        return result

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
        return self._record()._related_action(self.job_config)

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
        self._become_started(datetime.now())
        self.add_lock_record()

    def _become_started(self, date_started):
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

    def add_lock_record(self):
        """Make sure that the liveness row of this job exists."""
        if not self._has_lock_row:
            self._record()._add_lock_row()
        # The claim has just made it; nobody knows whether that will be committed.
        self._has_lock_row = False

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
