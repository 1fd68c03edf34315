# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The rows of jobs, seen from the code that stores them."""

import contextlib

from psycopg2.errors import InFailedSqlTransaction

from odoo import api, models, tools
from odoo.tools import SQL, OrderedSet
from odoo.tools.misc import clean_context

from ..job_row import LOADED_COLUMNS
from ..key_functions import IDENTITY
from ..states import FAILED, WAIT_DEPENDENCIES, WAITING
from ..utils import storable_text
from .queue_job_release import FREE_AMONG

VERSION = SQL("xmin::text AS version")
_LOADED = SQL(", ").join(map(SQL.identifier, LOADED_COLUMNS))


def read_rows(*more):
    """Return the statement, but for its condition, that reads what jobs are loaded from."""
    return SQL("SELECT %s FROM queue_job", SQL(", ").join((_LOADED, VERSION, *more)))


class QueueJob(models.Model):
    _inherit = "queue.job"

    def _editor(self):
        """Return these rows as the code that may change everything, quietly."""
        return self.sudo().with_context(
            {
                **clean_context(self.env.context),
                "_job_edit_sentinel": self.EDIT_SENTINEL,
                "tracking_disable": True,
            }
        )

    # Storing ----------------------------------------------------------------

    @api.model
    def _store_jobs(self, jobs):
        """Write the rows of ``jobs``: one ``create`` for the new ones.

        The creation happens with the context of the caller of each job, so
        that overrides of ``create`` see it.
        """
        new, waiting = {}, []
        for job in jobs:
            if job._is_new():
                new.setdefault(job.env, []).append(job)
                continue
            self._update_job(job)
            if job.state == WAIT_DEPENDENCIES:
                waiting.append(job._db_id)
        # Whoever ended the last parent meanwhile did not see it wait.
        self._after_commit(FREE_AMONG, waiting)
        for env, env_jobs in new.items():
            model = env(
                su=True,
                context={
                    **env.context,
                    **self._CREATION_CONTEXT,
                    "_job_edit_sentinel": self.EDIT_SENTINEL,
                    "_edges_follow": True,
                },
            )["queue.job"]
            values = [job._creation_values() for job in env_jobs]
            records = model.create(values)
            for job, record_id in zip(env_jobs, records._ids, strict=True):
                job._made_as(record_id)
        self._store_edges(jobs)

    def _update_job(self, job):
        values = job._changed_values()
        if self._are_moves_heard() or not job._record()._write_done_past_orm(values):
            self._write_job(job, values)

    def _write_job(self, job, values):
        """Write in the context of the job, as the code that may change everything."""
        context = {
            **clean_context(job.env.context),
            "_job_edit_sentinel": self.EDIT_SENTINEL,
            "tracking_disable": job.state != FAILED,
            "_edges_follow": True,
        }
        jobs = self.env(cr=job.env.cr, user=job.env.uid, context=context, su=True)[
            "queue.job"
        ]
        jobs.browse(job._record_id()).write(values)

    @api.model
    def _read_rows(self, name, values):
        """Return what jobs are loaded from, as dicts, and the version of each row.

        Equal versions mean that nobody wrote the row.

        :param name: of the column that is one of ``values``
        """
        self.flush_model(LOADED_COLUMNS[1:])
        # One by one: for many at once the planner would rather read a table that it
        # believes to be small.
        self.env.cr.execute(
            SQL(
                "SELECT job.* FROM unnest(%s::%s[]) AS asked(value) "
                "CROSS JOIN LATERAL (%s WHERE %s = asked.value LIMIT 1) AS job",
                list(dict.fromkeys(values)),
                SQL(self._fields[name].column_type[1]),
                read_rows(),
                SQL.identifier(name),
            )
        )
        return self.env.cr.dictfetchall()

    @api.model
    def _store_edges(self, jobs):
        """Store the edges between these jobs and whatever is stored of the others."""
        jobs = [job for job in jobs if job._linked]
        if not jobs:
            return
        pairs, joints = OrderedSet(), OrderedSet()
        for job in jobs:
            pairs.update((parent._db_id, job._db_id) for parent in job._depends_on)
            pairs.update(
                (job._db_id, child._db_id) for child in job._reverse_depends_on
            )
            # At either end: it is stored with the last of its jobs.
            joints.update(
                joint
                for joint in (*job._joints_before, *job._joints_after)
                if not joint.stored
            )
        joint_ids = []
        for joint in joints:
            ends = (
                [parent._db_id for parent in joint.parents],
                [c._db_id for c in joint.children],
            )
            if all(ends[0]) and all(ends[1]):
                joint.stored = True
                joint_ids.append(ends)
        pairs = [pair for pair in pairs if all(pair)]
        self.env["queue.job.dependency"].sudo()._add_edges(pairs, joint_ids)
        # A parent that was stored before may end before this is committed.
        here = {job._db_id for job in jobs}
        self._after_storing_edges(
            [child for parent, child in pairs if parent not in here]
        )

    @api.model
    def _store_job(self, job):
        """Write the row of one job, or make it, outside of ``delay()``."""
        self._store_jobs([job])

    @api.model
    def _reserve_keys(self, jobs):
        """Reserve the keys of new jobs; return the twins that stand for all of them.

        The result is empty when at least one keyed job has no twin: then all of
        ``jobs`` are to be stored. Else it maps each job to the job of a twin.
        """
        keys = self.env["queue.job.key"].sudo()
        reserved = False
        for kind, blocking, requests in self._key_requests(jobs):
            requests = [request for request in requests if request[0]._is_new()]
            if not requests:
                continue
            self.env["queue.job"].flush_model(["state", "identity_key", "twin_key"])
            refused = keys._reserve(kind, requests, blocking)
            if len(refused) < len(requests):
                reserved = True
            else:
                if reserved:
                    keys._give_up(jobs)
                return self._twins_for(kind, jobs, refused)
        return {}

    @api.model
    def _give_up_keys(self, jobs):
        """Give up the keys of jobs that could not be stored."""
        # A transaction that is broken already will be rolled back.
        with contextlib.suppress(InFailedSqlTransaction):
            self.env["queue.job.key"].sudo()._give_up(jobs)

    @api.model
    def _key_requests(self, jobs):
        """Return ``(kind, blocking states, [(job, text to lock, key)])`` in order of look-up."""
        keyed = [
            (job, key, key) for job in jobs if (key := storable_text(job.identity_key))
        ]
        return [(IDENTITY, WAITING, keyed)]

    @api.model
    def _twins_for(self, kind, jobs, refused):
        """Return the job that stands for each of ``jobs``, none of which is stored.

        :param kind: of the keys that were refused
        :param refused: ``{job: uuid of its twin}``; the others get the first twin
        """
        from ..twin import Twin  # noqa: PLC0415 values are loaded before the models

        twins = {job_uuid: Twin(self.env, job_uuid) for job_uuid in refused.values()}
        first = next(iter(twins.values()))
        return {job: twins[refused[job]] if job in refused else first for job in jobs}

    @api.model
    def _search_twin(self, job):
        if not job.identity_key:
            return self.browse()
        key = storable_text(job.identity_key)
        domain = [("identity_key", "=", key), ("state", "in", WAITING)]
        return self.search(domain, limit=1)

    @api.model
    def _add_missing_default_values(self, values):
        """Ask for defaults only where there may be one, and never for our own columns.

        A column of a job that its call does not state is empty, whatever the user or
        his company prefers. Odoo asks for each field that a row leaves out, which are
        most fields of most jobs: a fifth of the time that a row takes.
        """
        if not self._may_have_defaults(values):
            return dict(values)
        own = self._own_columns()
        return {
            name: value
            for name, value in super()._add_missing_default_values(values).items()
            if name in values or name not in own
        }

    @tools.ormcache()
    def _own_columns(self):
        """Return the fields that this addon defines, which its code alone fills."""
        return frozenset(
            name
            for name, field in self._fields.items()
            if "queue_job" in field._modules
        )

    def _may_have_defaults(self, values):
        names = [
            *self._names_with_default(),
            *self.env["ir.default"]._get_model_defaults(self._name),
        ]
        return (
            not values.keys() >= set(names)
            or type(self).default_get is not models.BaseModel.default_get
        )

    @tools.ormcache()
    def _names_with_default(self):
        return tuple(
            name
            for name, field in self._fields.items()
            if field.default or field.inherited or field.type == "properties"
        )

    def _write_multi(self, vals_list):
        """Write equal values to all rows in one statement, however many they are.

        Odoo's statement takes a hundred rows, each with values of its own.
        """
        if vals_list and self._write_done(vals_list):
            return None
        self._send()
        first = vals_list[0] if vals_list else {}
        fields = [self._fields[name] for name in first]
        if (
            not first
            or any(values != first for values in vals_list)
            or any(field.translate or field.company_dependent for field in fields)
        ):
            return super()._write_multi(vals_list)
        assignments = [
            SQL(
                "%s = %s::%s",
                SQL.identifier(field.name),
                first[field.name],
                SQL(field.column_type[1]),
            )
            for field in sorted(fields, key=lambda field: field.name)
        ]
        self.env.execute_query(
            SQL(
                "UPDATE queue_job SET %s WHERE id = ANY(%s)",
                SQL(", ").join(assignments),
                list(self._ids),
            )
        )
        return None
