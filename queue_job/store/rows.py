# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Rows of jobs, loaded and stored."""

from odoo.tools import SQL
from odoo.tools.misc import clean_context

from ..job import Job
from ..options import integer
from ..sql import statements as sql
from ..states import ENQUEUED, FAILED, WAIT_DEPENDENCIES
from ..utils import has_content, storable_text
from . import keys, links, release, transitions, waking
from .mapping import (
    CORE,
    CREATED,
    LOADED,
    LOADED_AS_IS,
    LOADED_NUMBERS,
    MUTABLE,
)

_LOADED = SQL(", ").join(map(SQL.identifier, LOADED))
# Third parties extend it in subclasses, or replace it on the class.
_STORE_VALUES = Job._store_values

# Loading --------------------------------------------------------------------


def _row(jobs, more=None):
    """Return the query of a row; equal versions mean that it was not written in between."""
    added = jobs._loaded_columns()
    columns = SQL(", ").join([_LOADED, *map(SQL.identifier, added)])
    return SQL(sql.read_row, columns=columns, more=more or SQL())


def read(jobs, name, values):
    """Return the columns that jobs are loaded from, and the version of each row, as dicts.

    :param jobs: the model queue.job
    :param name: of the column that is one of ``values``
    """
    jobs.flush_model([*LOADED[1:], *jobs._loaded_columns()])
    # One by one: for many at once the planner would rather read a table that it
    # believes to be small.
    jobs.env.cr.execute(
        SQL(
            sql.read_rows,
            values=list(dict.fromkeys(values)),
            type=SQL(jobs._fields[name].column_type[1]),
            row=_row(jobs),
            name=SQL.identifier(name),
        )
    )
    return jobs.env.cr.dictfetchall()


def read_one(jobs, uuid, more):
    """Return the row of a uuid with one more expression, named ``claim``; None without row."""
    more = SQL(", %s AS claim", more)
    transitions.send(
        jobs.env.cr,
        SQL(
            sql.read_row_of_uuid,
            row=_row(jobs, more),
            uuid=uuid,
        ),
    )
    return jobs.env.cr.dictfetchone()


def load(jobs, cls, name, values):
    """Return the jobs, objects of ``cls``, of the rows that :func:`read` finds."""
    return [job_of(cls, jobs, row) for row in read(jobs, name, values)]


def job_of(cls, jobs, row):
    """Return the job of a row, a dict of its columns.

    A row whose model, method or arguments are gone loads as a job too: it can
    be moved, and fails with the reason when performed.
    """
    attributes = {name: row[name] or None for name in LOADED_AS_IS}
    attributes.update((name, row[name] or 0) for name in LOADED_NUMBERS)
    attributes["company_id"] = row["company_id"] or False
    job = cls.restored(row, *_call_of(jobs, row), attributes)
    job.stored = {column.name: getattr(job, column.attribute) for column in MUTABLE}
    job.more = {name: row[name] for name in jobs._loaded_columns()}
    return job


def _call_of(jobs, row):
    """Return ``((recordset, args, kwargs), why they cannot be performed or None)``."""
    try:
        recordset, args, kwargs = (
            jobs._fields[name].decode(row[name], jobs.env)
            for name in ("records", "args", "kwargs")
        )
        call = recordset, tuple(args or ()), kwargs or {}
        return call, _missing_part(jobs.env, row, recordset)
    except Exception as error:  # noqa: BLE001 whatever a row holds, it can be moved
        reason = f"cannot be read: {type(error).__name__}: {error}"
        return (jobs.env["base"], (), {}), reason


def _missing_part(env, row, recordset):
    """Return what makes the call impossible, or None."""
    if row["model_name"] and row["model_name"] not in env:
        return f"model {row['model_name']} does not exist"
    uid = recordset.env.uid
    if not row["user_id"] and recordset and not env["res.users"].browse(uid).exists():
        return f"user {uid}, on whose behalf it was delayed, was deleted"
    return None


# Storing --------------------------------------------------------------------


def store_new(jobs, new):
    """Store jobs unless twins stand for them; return ``{job: job of its twin}``."""
    twins = keys.reserve_all(jobs, new)
    if twins:
        return twins
    try:
        store(jobs, new)
    except Exception:
        # The caller may go on: a key without a job would refuse for ever.
        jobs._give_up_keys(new)
        raise
    return {}


def store(jobs, to_store):
    """Write the rows of jobs: one ``create`` for the new ones.

    The creation happens with the context of the caller of each job, so
    that overrides of ``create`` see it.

    :param jobs: the model queue.job, as superuser
    """
    new, waiting = {}, []
    for job in to_store:
        if job.is_new():
            new.setdefault(job.env, []).append(job)
            continue
        update(jobs, job, job.record)
        if job.state == WAIT_DEPENDENCIES:
            waiting.append(job.row_id)
    # A parent that ended in another transaction did not see it wait.
    if waiting:
        release.after_commit(jobs, sql.free_among, waiting)
    if new:
        # Here, because not each new row passes through ``create``.
        waking.after_commit(jobs.env.cr, is_new=True)
        _note_traceparent(jobs, [job for env_jobs in new.values() for job in env_jobs])
    for env, env_jobs in new.items():
        if len(env_jobs) == 1 and _insert(jobs, env_jobs[0]):
            continue
        context = {**env.context, **jobs._CREATION_CONTEXT, **_as_editor(jobs)}
        model = env(su=True, context=context)["queue.job"]
        records = model.create([creation_values(job) for job in env_jobs])
        for job, record_id in zip(env_jobs, records._ids, strict=True):
            job.row_id, job.is_maker = record_id, True
    linked = [job for job in to_store if job.is_linked]
    if linked:
        links.store(jobs, linked)


def _insert(jobs, job):
    """Insert the row of a new job past the ORM; return whether that was possible."""
    insertion = jobs._insertion()
    if not insertion.takes(jobs, job):
        return False
    values = jobs._with_full_channel(creation_values(job))
    jobs._warn_unlimited_channels([values])
    row_id = insertion.insert(jobs, values)
    if row_id is None:
        return False
    job.row_id, job.is_maker = row_id, True
    return True


def _note_traceparent(jobs, new):
    """Give new jobs the trace of their caller, where a module provides one."""
    traceparent = jobs._current_traceparent()
    if traceparent:
        for job in new:
            job.traceparent = job.traceparent or traceparent


def update(jobs, job, record):
    """Write what changed of a job; past the ORM where that has nothing to do."""
    values = changed_values(job, record)
    # A worker's end is followed behind its commit, that of a caller by overrides.
    by_orm = jobs._has_write_overrides() or (
        job.lease is None and jobs._is_followed(job)
    )
    if by_orm or not transitions.finish(record, values):
        write(record, job, values)


def write(record, job, values):
    """Write in the context of the job, as the code that may change everything."""
    env = job.env
    context = {**clean_context(env.context), **_as_editor(record)}
    context["tracking_disable"] = job.state != FAILED
    context["_of_worker"] = job.lease is not None
    record.with_env(env(context=context, su=True)).write(values)


def keep_stored(job, names):
    """Note that these columns, named as the attributes, are stored as the job has them."""
    job.stored.update((name, getattr(job, name)) for name in names)


def notify_started(job, names):
    """Pass a claim, which SQL has written, through the overrides of ``write``.

    They find the row as it was before, enqueued. The effects of an override that
    raises are undone.

    :param names: of the columns that the claim wrote
    """
    record, method_name = job.record, job.method_name
    if not (
        record._has_write_overrides()
        or _is_extended(job)
        or extra_values(job, method_name)
    ):
        keep_stored(job, names)
        transitions.forget_cached(record)
        return
    with record.env.cr.savepoint():
        before = {**job.stored, "state": ENQUEUED}
        values = changed_values(job, record)
        for name in values.keys() & set(names):
            field = record._fields[name]
            field._update_cache(record, field.convert_to_cache(before[name], record))
        write(record, job, values)


def _as_editor(jobs):
    return {"_job_edit_sentinel": jobs.EDIT_SENTINEL, "_edges_follow": True}


def creation_values(job):
    """Return the values of the new row, without those of the core that are empty."""
    values = _values_to_store(job, create=True)
    return _noted(
        job,
        {
            column: value
            for column, value in values.items()
            if column not in CORE or (value is not None and value is not False)
        },
    )


def _is_extended(job):
    """Return whether a subclass, or a patch of the class, extends the values to store."""
    return type(job)._store_values is not _STORE_VALUES


def _values_to_store(job, create):
    if _is_extended(job):
        return job._store_values(create)
    return values_of(job, create)


def values_of(job, create):
    """Return what :meth:`Job.store` writes, by column; see there."""
    columns = CREATED if create else MUTABLE
    values = {column.name: getattr(job, column.attribute) for column in columns}
    values["dependencies"] = job.dependencies_value()
    method_name = job.method_name
    for column in columns:
        value = values[column.name]
        if value is None:
            continue
        if column.text:
            values[column.name] = (
                storable_text(value, column.limit) if has_content(value) else None
            )
        elif column.checked and value != job.stored.get(column.name):
            values[column.name] = integer(column.name, value)
    return {**extra_values(job, method_name), **values}


def changed_values(job, record):
    """Return the state, and what is not stored yet.

    Values that this transaction wrote past the job count as not stored.
    """
    values = _values_to_store(job, create=False)
    stored = {**job.stored, **_cached_values(job, record)}
    stored.pop("state", None)
    if not job.is_linked:
        values.pop("dependencies", None)
    return _noted(
        job,
        {
            column: value
            for column, value in values.items()
            if column not in stored or stored[column] != value
        },
    )


def _cached_values(job, record):
    """Return the mutable columns that the ORM holds otherwise than this job knows them."""
    cached = record.env.transaction.field_data
    found = {}
    for column in MUTABLE:
        values = cached.get(record._fields[column.name])
        if values and record.id in values:
            value = values[record.id]
            if (value or None) != (job.stored.get(column.name) or None):
                found[column.name] = value
    return found


def _noted(job, values):
    """Return ``values`` as stored from now on."""
    job.stored.update(
        (column.name, values[column.name])
        for column in MUTABLE
        if column.name in values
    )
    return values


def extra_values(job, method_name):
    """Return what the store-values hooks add, the specific one last."""
    model = job.env["base"] if job.recordset is None else job.recordset
    values = dict(model._job_store_values(job) or {})
    specific = getattr(model, f"_job_store_values_for_{method_name}", None)
    if specific:
        values.update(specific(job) or {})
    return {column: value for column, value in values.items() if column not in CORE}
