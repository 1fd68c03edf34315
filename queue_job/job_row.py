# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A job and its row: which attribute is which column, how it is loaded and stored."""

import logging

from psycopg2 import InterfaceError, OperationalError

from .exception import NoSuchJobError, exceptions_only
from .job_links import LinkedJob, lists_others
from .properties import integer
from .utils import SHORT_TEXT, has_content, storable_text

# The name that administrators and test suites know.
_logger = logging.getLogger("odoo.addons.queue_job.controllers.main")

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
# Text columns, and how many characters of a text they keep at most.
TEXT = {
    "exc_name": SHORT_TEXT,
    "exc_message": SHORT_TEXT,
    "exc_info": None,
    "result": None,
    "name": SHORT_TEXT,
    "func_string": None,
    "identity_key": None,
}
# Attributes of a job may be set to any number, its columns not.
_NUMBERS = ("priority", "max_retries")
# Columns that no store-values hook may set.
CORE_COLUMNS = {*MUTABLE.values(), *CONSTANT.values(), "dependencies"}
# What a claim writes, as attribute of a job and as column.
CLAIMED = ("state", "date_started", "worker_pid", "run_number")
# What a loaded job takes from its row as it is; the rest needs a rule.
_LOADED = (
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
    "eta",
)
_LOADED_NUMBERS = ("priority", "retry", "max_retries", "worker_pid", "run_number")
# What is read of a row to load its job.
LOADED_COLUMNS = (
    *("id", "uuid", "name", "model_name", "method_name", "user_id", "company_id"),
    *("records", "args", "kwargs", "dependencies"),
    *_LOADED,
    *_LOADED_NUMBERS,
)


class StoredJob(LinkedJob):
    """What a job knows of its row; :class:`~.job.Job` is made of it."""

    def _init_row(self):
        self._init_links()
        self._db_id = None
        self._load_error = None
        # The mutable columns as they were stored last.
        self._known = {}
        # The row was made by this object: a rollback may have undone that.
        self._is_maker = False
        self._has_lock_row = False
        # The liveness lock is still to be taken, together with the savepoint of the work.
        self.lock_with_work = False
        self._work = None
        # The savepoint of the work was released together with the outcome.
        self.work_ended = False
        # The run of a worker that this job is part of.
        self.run = None

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
        jobs = env["queue.job"].sudo()
        return {cls._of_row(jobs, row) for row in jobs._read_rows("uuid", uuids)}

    @staticmethod
    def db_records_from_uuids(env, uuids):
        """Return the rows of ``uuids`` as superuser, in ``env``."""
        return env["queue.job"].sudo().search([("uuid", "in", tuple(uuids))])

    @classmethod
    def _load_from_db_record(cls, record):
        """Return the job of a row."""
        return cls._load_from_db_records(record).pop()

    @classmethod
    def _load_from_db_records(cls, records):
        """Return the set of the jobs of some rows."""
        return {
            cls._of_row(records, row) for row in records._read_rows("id", records.ids)
        }

    @classmethod
    def _of_row(cls, reader, row):
        """Return the job of a row, a dict of its columns.

        A row whose model, method or arguments cannot be had any more loads as
        a job too: it can be moved, and fails with the reason when performed.

        :param reader: records of queue.job, for the environment of the job
        """
        job = cls.__new__(cls)
        job._init_row()
        job._db_id = row["id"]
        job._uuid = row["uuid"]
        job._method_name = row["method_name"]
        job._model_name = row["model_name"]
        job._description = row["name"]
        # Past the properties: what was stored needs no check.
        loaded = {name: row[name] or None for name in _LOADED}
        for name in ("identity_key", "channel", "eta"):
            loaded["_" + name] = loaded.pop(name)
        vars(job).update(loaded, **{name: row[name] or 0 for name in _LOADED_NUMBERS})
        job.company_id = row["company_id"] or False
        job._listed = not job.graph_uuid and lists_others(row["dependencies"])
        job._load_call(reader, row)
        job.job_config = job._read_config()
        job._known = {column: getattr(job, name) for name, column in MUTABLE.items()}
        return job

    def _load_call(self, reader, row):
        fields = reader._fields
        try:
            self.recordset, args, kwargs = (
                fields[name].decode(row[name], reader.env)
                for name in ("records", "args", "kwargs")
            )
            self._args, self._kwargs = tuple(args or ()), kwargs or {}
            self._load_error = self._missing_part(reader.env, row)
        except Exception as error:  # noqa: BLE001 whatever a row holds, it can be moved
            self.recordset = reader.env["base"]
            self._args, self._kwargs = (), {}
            self._load_error = f"cannot be read: {type(error).__name__}: {error}"

    def _missing_part(self, env, row):
        """Return what makes the call impossible, or None."""
        if self._model_name and self._model_name not in env:
            return f"model {self._model_name} does not exist"
        uid = self.recordset.env.uid
        if (
            not row["user_id"]
            and self.recordset
            and not env["res.users"].browse(uid).exists()
        ):
            return f"user {uid}, on whose behalf it was delayed, was deleted"
        return None

    # Storing ----------------------------------------------------------------

    def store(self):
        """Write the row of this job, or make it; the caller commits.

        Raises ``TypeError`` when an argument cannot be stored.
        """
        self.env["queue.job"].sudo()._store_job(self)

    def _tell_started(self):
        """Let overrides of ``write`` see the claim, which is in the row already.

        One that objects makes this job fail, and not the worker that claimed it: it
        would claim it again for ever, and the jobs around it would suffer.
        """
        record = self._record()
        try:
            with exceptions_only():
                record._tell_started(self)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            _logger.exception("somebody objects to the start of job %s", self.uuid)
            record._forget_cached()
            self._known.update((name, getattr(self, name)) for name in CLAIMED)
            self._load_error = f"cannot be started: {type(error).__name__}: {error}"

    def _begin_work(self):
        """Return the savepoint of this job's work, with the liveness lock if it is wanted."""
        work, self._work = self._work, None
        run_number = self.run_number if self.lock_with_work else None
        self.lock_with_work = False
        return work or self._record()._begin_work(run_number)

    def _end_work(self):
        """Release the savepoint of this job's work, right before the commit."""
        if not self.work_ended:
            self._record()._end_work()

    def _commit_and_begin_work(self, before=None):
        """Commit, and make the savepoint of this job's work.

        :param before: the job that the commit ends; when it releases others, the
            work is not begun
        """
        look = before and before._may_be_linked() and not before.frees_nobody
        self._work = self._record()._commit_and_begin_work(
            self.run_number,
            before._record_id() if look else None,
            ends_work=bool(before) and not before.work_ended,
        )
        if look:
            before.frees_nobody = bool(self._work)

    def _become(self, other):
        """Be another job from now on: a policy refused to store this one."""
        vars(self).clear()
        vars(self).update(vars(other))

    def _creation_values(self):
        """Return the values of the new row, without those of the core that are empty."""
        values = self._store_values(create=True)
        return self._noted(
            {
                column: value
                for column, value in values.items()
                if column not in CORE_COLUMNS
                or (value is not None and value is not False)
            }
        )

    def _store_values(self, create=False):
        """Return what :meth:`store` writes, by column; for subclasses to extend.

        The row is written with what differs from it.

        :param create: with the values that only a new row gets
        """
        attributes = CREATED if create else MUTABLE
        values = {
            column: self._value(name, column) for name, column in attributes.items()
        }
        values["dependencies"] = self._dependencies_value()
        return {**self._extra_values(), **values}

    def _changed_values(self):
        """Return what is to be written: the state, and what is not stored yet.

        What this transaction wrote past the job counts as not stored.
        """
        values = self._store_values()
        known = {**self._known, **self._cached_values()}
        known.pop("state", None)
        if not self._linked:
            values.pop("dependencies", None)
        return self._noted(
            {
                column: value
                for column, value in values.items()
                if column not in known or known[column] != value
            }
        )

    def _has_extra_values(self):
        """Return whether hooks or a subclass add to the values of the core."""
        store_values = type(self)._store_values
        return store_values is not StoredJob._store_values or self._extra_values()

    def _cached_values(self):
        """Return the mutable columns that the ORM holds otherwise than this job knows them."""
        record = self._record()
        cached = record.env.transaction.field_data
        found = {}
        for column in MUTABLE.values():
            values = cached.get(record._fields[column])
            if values and record.id in values:
                value = values[record.id]
                if (value or None) != (self._known.get(column) or None):
                    found[column] = value
        return found

    def _value(self, name, column):
        value = getattr(self, name)
        if column in TEXT:
            return storable_text(value if has_content(value) else None, TEXT[column])
        return integer(column, value) if column in _NUMBERS else value

    def _noted(self, values):
        """Return ``values`` as stored from now on."""
        self._known.update(
            (column, values[column]) for column in MUTABLE.values() if column in values
        )
        return values

    def _extra_values(self):
        """Return what the store-values hooks add, the specific one last."""
        model = self.env["base"] if self.recordset is None else self.recordset
        values = dict(model._job_store_values(self) or {})
        specific = getattr(model, f"_job_store_values_for_{self.method_name}", None)
        if specific:
            values.update(specific(self) or {})
        return {
            column: value
            for column, value in values.items()
            if column not in CORE_COLUMNS
        }

    def _is_new(self):
        """Return whether the row is still to be made, or again after a rollback."""
        if self._is_maker and not self._record().exists():
            self._forget_row()
        if self._db_id is None and self._uuid_was_given:
            self._db_id = self.db_record().id or None
        return self._db_id is None

    def _made_as(self, record_id):
        self._db_id = record_id
        self._is_maker = True

    def _forget_row(self):
        self._db_id = None
        self._is_maker = False
        self._known = {}
        self._forget_edges()

    def _is_own_run(self, state):
        """Lock the row and tell whether it is still as this job knows it.

        :param state: in which the job was stored when its run began
        """
        run_number = self._known.get("run_number")
        return self._is_new() or self._record()._is_own_run(state, run_number)

    def db_record(self):
        """Return the row of this job as superuser, empty when it is not stored."""
        return self.db_records_from_uuids(self.env, [self.uuid])

    def _record_id(self):
        if self._db_id is None:
            self._db_id = self.db_record().id or None
        return self._db_id

    def _record(self):
        """Return the row without looking whether it still exists."""
        return self.env["queue.job"].sudo().browse(self._record_id())

    def job_record_with_same_identity_key(self):
        """Return a waiting row with the same identity key, or an empty recordset."""
        return self.env["queue.job"].sudo()._search_twin(self)
