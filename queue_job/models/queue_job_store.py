# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The rows of jobs, seen from the code that moves them.

Each statement that moves a state stands beside the lock it needs. Cursors are
REPEATABLE READ: a row that changed after the snapshot raises 40001 instead of
being overwritten, which is what keeps a cancel that arrived meanwhile.
"""

import contextlib
import functools
import logging
from datetime import datetime

from psycopg2 import OperationalError
from psycopg2.errors import InFailedSqlTransaction

from odoo import api, models
from odoo.service.model import PG_CONCURRENCY_ERRORS_TO_RETRY
from odoo.tools import SQL, OrderedSet

from ..states import (
    CANCELLED,
    DONE,
    ENDED,
    FAILED,
    PENDING,
    STARTED,
    WAIT_DEPENDENCIES,
    WAITING,
)
from .queue_job_key import IDENTITY

_logger = logging.getLogger(__name__)

RELEASE_TRIES = 5

# Claim a job: lock its row, if it is enqueued and free, and its keys; make its
# liveness row. Skips, never waits. The version of the row tells whether what
# was read before is still true. An exception block instead of a savepoint: the
# claim of the next job of a run shares the transaction of the one before,
# which must survive a row that changed after its snapshot.
CLAIM_FUNCTION_DDL = """
CREATE OR REPLACE FUNCTION queue_job_claim(
    job_uuid varchar, OUT verdict varchar, OUT version varchar
) AS $$
DECLARE
    job record;
BEGIN
    SELECT id, xmin, identity_key, twin_key INTO job FROM queue_job
    WHERE uuid = job_uuid AND state = 'enqueued'
    LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        verdict := 'refused';
    ELSIF (job.identity_key IS NOT NULL OR job.twin_key IS NOT NULL) AND NOT (
        queue_job_key_is_free(job.identity_key) AND queue_job_key_is_free(job.twin_key)
    ) THEN
        verdict := 'held';
    ELSE
        INSERT INTO queue_job_lock (id, queue_job_id) VALUES (job.id, job.id)
        ON CONFLICT (id) DO NOTHING;
        verdict := 'claimed';
        version := job.xmin::text;
    END IF;
EXCEPTION WHEN serialization_failure THEN
    verdict := 'changed';
END;
$$ LANGUAGE plpgsql;

-- Lock the liveness row of a job, if its last run is this one. A function, because
-- planning takes longer than execution.
CREATE OR REPLACE FUNCTION queue_job_lock_run(job_id integer, own_run integer)
RETURNS boolean AS $$
BEGIN
    PERFORM FROM queue_job_lock
    WHERE queue_job_id = job_id AND EXISTS (
        SELECT FROM queue_job
        WHERE id = job_id AND state = 'started' AND COALESCE(run_number, 0) = own_run
    )
    FOR NO KEY UPDATE SKIP LOCKED;
    RETURN FOUND;
END;
$$ LANGUAGE plpgsql;
"""

# A parent that is cancelled holds nobody back: its dependents were cancelled with
# it, and who requeues one of them alone wants it to run.
_BLOCKS = "p.state NOT IN ('done', 'cancelled')"

# What waits for nothing now, behind some jobs or among some. Functions, because
# planning such a query takes longer than its execution, and because the first
# step, which mostly finds nobody, must not be mixed with the second.
#
# A joint is looked at from its last parent backwards, because that one ends last:
# one look, not one per parent. The jobs found are locked in the order of their ids.
RELEASE_FUNCTIONS_DDL = f"""
CREATE OR REPLACE FUNCTION queue_job_joint_is_open(which integer) RETURNS boolean AS $$
DECLARE
    blocking integer;
BEGIN
    -- Not a join: the planner would rather walk over all jobs from the newest on.
    SELECT d.parent_id INTO blocking FROM queue_job_dependency d
    WHERE d.joint = which AND d.parent_id IS NOT NULL
      AND (SELECT {_BLOCKS} FROM queue_job p WHERE p.id = d.parent_id)
    ORDER BY d.parent_id DESC LIMIT 1;
    RETURN FOUND;
END;
$$ LANGUAGE plpgsql STABLE;

CREATE OR REPLACE FUNCTION queue_job_free_among(jobs integer[]) RETURNS SETOF integer AS $$
BEGIN
    RETURN QUERY
    SELECT child.id FROM queue_job child
    WHERE child.id = ANY(jobs) AND child.state = 'wait_dependencies'
      AND NOT EXISTS (
        SELECT FROM queue_job_dependency d JOIN queue_job p ON p.id = d.parent_id
        WHERE d.child_id = child.id AND d.joint IS NULL AND {_BLOCKS}
      )
      AND NOT EXISTS (
        SELECT FROM queue_job_dependency d
        WHERE d.child_id = child.id AND d.joint IS NOT NULL AND queue_job_joint_is_open(d.joint)
      )
    ORDER BY child.id
    FOR NO KEY UPDATE OF child;
END;
$$ LANGUAGE plpgsql;

CREATE OR REPLACE FUNCTION queue_job_free_behind(jobs integer[]) RETURNS SETOF integer AS $$
DECLARE
    children integer[];
BEGIN
    SELECT array_agg(child_id) INTO children FROM (
        SELECT child_id FROM queue_job_dependency
        WHERE parent_id = ANY(jobs) AND joint IS NULL
        UNION
        SELECT d.child_id FROM queue_job_dependency d
        WHERE d.child_id IS NOT NULL AND d.joint IN (
            SELECT own.joint FROM queue_job_dependency own
            WHERE own.parent_id = ANY(jobs) AND own.joint IS NOT NULL
            GROUP BY own.joint HAVING NOT queue_job_joint_is_open(own.joint)
        )
    ) AS behind;
    IF children IS NOT NULL THEN
        RETURN QUERY SELECT queue_job_free_among(children);
    END IF;
END;
$$ LANGUAGE plpgsql;
"""
FREE_BEHIND = "SELECT queue_job_free_behind(%(jobs)s)"
FREE_AMONG = "SELECT queue_job_free_among(%(jobs)s)"

# Those of %(jobs)s that a parent holds back, which may be another one of them: all
# become pending together.
HELD_BACK = f"""
SELECT job.id FROM unnest(%(jobs)s) AS job(id)
WHERE EXISTS (
    SELECT FROM queue_job_dependency d JOIN queue_job p ON p.id = d.parent_id
    WHERE d.child_id = job.id AND d.joint IS NULL AND ({_BLOCKS} OR p.id = ANY(%(jobs)s))
) OR EXISTS (
    SELECT FROM queue_job_dependency own
    JOIN queue_job_dependency d ON d.joint = own.joint
    JOIN queue_job p ON p.id = d.parent_id
    WHERE own.child_id = job.id AND own.joint IS NOT NULL
      AND ({_BLOCKS} OR p.id = ANY(%(jobs)s))
)
"""

# What waits for %(parents)s, directly or not.
WAITING_BEHIND = """
WITH RECURSIVE behind(id) AS (
    SELECT unnest(%(parents)s)
    UNION
    SELECT child.id FROM behind
    JOIN queue_job_dependency near ON near.parent_id = behind.id
    LEFT JOIN queue_job_dependency far ON far.joint = near.joint AND far.child_id IS NOT NULL
    JOIN queue_job child ON child.id = COALESCE(near.child_id, far.child_id)
    WHERE child.state = 'wait_dependencies'
)
SELECT child.id FROM queue_job child
WHERE child.id IN (SELECT id FROM behind) AND child.state = 'wait_dependencies'
"""


class QueueJob(models.Model):
    _inherit = "queue.job"

    def _create_store_functions(self):
        self.env.cr.execute(CLAIM_FUNCTION_DDL)
        self.env.cr.execute(RELEASE_FUNCTIONS_DDL)

    def _editor(self):
        """Return these rows as the code that may change everything, quietly."""
        return self.sudo().with_context(
            _job_edit_sentinel=self.EDIT_SENTINEL, tracking_disable=True
        )

    # Storing ----------------------------------------------------------------

    @api.model
    def _store_jobs(self, jobs):
        """Write the rows of ``jobs``: one ``create`` for the new ones.

        The creation happens with the context of the caller of each job, so
        that overrides of ``create`` see it.
        """
        new = {}
        for job in jobs:
            if job._is_new():
                new.setdefault(job.env, []).append(job)
            else:
                self._update_job(job)
        for env, env_jobs in new.items():
            model = (
                env["queue.job"]
                .sudo()
                .with_context(_job_edit_sentinel=self.EDIT_SENTINEL, _edges_follow=True)
            )
            values = [job._creation_values() for job in env_jobs]
            records = model.create(values)
            for job, record_id in zip(env_jobs, records._ids, strict=True):
                job._made_as(record_id)
        self._store_edges(jobs)

    def _update_job(self, job):
        record = job._record()._editor().with_context(_edges_follow=True)
        if job.state == FAILED:
            record = record.with_context(tracking_disable=False)
        record.with_env(
            record.env(context={**job.env.context, **record.env.context})
        ).write(job._changed_values())

    @api.model
    def _store_edges(self, jobs):
        """Store the edges between these jobs and whatever is stored of the others."""
        pairs, joints = OrderedSet(), OrderedSet()
        for job in jobs:
            if not job._linked:
                continue
            pairs.update((parent._db_id, job._db_id) for parent in job._depends_on)
            pairs.update(
                (job._db_id, child._db_id) for child in job._reverse_depends_on
            )
            joints.update(joint for joint in job._joints_after if not joint.stored)
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
        self._after_commit(
            FREE_AMONG, [child for parent, child in pairs if parent not in here]
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
            (job, job.identity_key, job.identity_key)
            for job in jobs
            if job.identity_key
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
        domain = [("identity_key", "=", job.identity_key), ("state", "in", WAITING)]
        return self.search(domain, limit=1)

    def _write_multi(self, vals_list):
        """Write equal values to all rows in one statement, however many they are.

        Odoo's statement takes a hundred rows, each with values of its own.
        """
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

    # Claim and liveness -----------------------------------------------------

    @api.model
    def _claim(self, uuid):
        """Lock the row of an enqueued job and its keys until the end of the transaction.

        Return ``(verdict, version)``. The verdict is ``claimed``, or why not:
        ``refused`` when it is not enqueued or locked elsewhere, ``held`` while
        a refused caller of its key is in a transaction, ``changed`` when the
        row is newer than this snapshot: try again in another transaction. The
        version is that of the row, as in :meth:`_versions`.
        """
        self.env.cr.execute(
            SQL("SELECT verdict, version FROM queue_job_claim(%s)", uuid)
        )
        return self.env.cr.fetchone()

    @api.model
    def _versions(self, uuids):
        """Return the version of each row: equal ones mean that nobody wrote it."""
        self.env.cr.execute(
            SQL(
                "SELECT uuid, xmin::text FROM queue_job WHERE uuid = ANY(%s)",
                list(uuids),
            )
        )
        return dict(self.env.cr.fetchall())

    def _put_back(self):
        """Make enqueued jobs pending again; they were not tried."""
        self._editor().write({"state": PENDING, "date_enqueued": False})

    def _add_lock_row(self):
        self.env.cr.execute(
            SQL(
                "INSERT INTO queue_job_lock (id, queue_job_id) SELECT id, id FROM queue_job "
                "WHERE id = %s ON CONFLICT (id) DO NOTHING",
                self.id or None,
            )
        )

    def _lock_row(self, run_number):
        """Lock the liveness row of the job, if this run of it is the last one."""
        self.flush_recordset(["state", "run_number"])
        self.env.cr.execute(
            SQL("SELECT queue_job_lock_run(%s, %s)", self.id or None, run_number or 0)
        )
        return self.env.cr.fetchone()[0]

    def _is_own_run(self, state, run_number):
        """Lock the row and tell whether nobody moved it since ``state`` was written."""
        self.flush_recordset(["state", "run_number"])
        self.env.cr.execute(
            SQL(
                "SELECT FROM queue_job WHERE id = %s AND state = %s "
                "AND COALESCE(run_number, 0) = %s FOR NO KEY UPDATE",
                *(self.id or None, state, run_number or 0),
            )
        )
        return bool(self.env.cr.rowcount)

    def _fail_plainly(self, values, run_number):
        """Record a failure by SQL alone, for when the ORM cannot; see the executor."""
        self.env.cr.execute(
            SQL(
                "UPDATE queue_job SET state = %s, retry = %s, exc_name = %s, exc_message = %s, "
                "exc_info = %s WHERE id = %s AND state = %s AND COALESCE(run_number, 0) = %s",
                *(FAILED, values["retry"], values["exc_name"], values["exc_message"]),
                *(values["exc_info"], self.id or None, STARTED, run_number or 0),
            )
        )

    # Moves of many ----------------------------------------------------------

    def _move_to_done(self, result=None):
        # Name and message of an earlier failure are kept, the traceback is not.
        values = {"state": DONE, "date_done": datetime.now(), "exc_info": False}
        self._editor().write({**values, "result": result} if result else values)
        self.env.flush_all()
        self._release_dependents()
        self._after_commit(FREE_BEHIND, self.ids)

    def _move_to_pending(self, result=None):
        values = {
            "date_enqueued": False,
            "date_started": False,
            "date_done": False,
            "date_cancelled": False,
            "worker_pid": 0,
            "retry": 0,
        }
        if result is not None:
            values["result"] = result
        self.env.flush_all()
        self.env.cr.execute(SQL(HELD_BACK, jobs=self.ids))
        held_back = self.browse(job_id for (job_id,) in self.env.cr.fetchall())
        for jobs, state in (
            (self - held_back, PENDING),
            (held_back, WAIT_DEPENDENCIES),
        ):
            if jobs:
                jobs._editor().write({**values, "state": state})
        self._after_commit(FREE_AMONG, held_back.ids)

    def _move_to_cancelled(self, result=None):
        now = datetime.now()
        values = {"state": CANCELLED, "date_cancelled": now}
        self._editor().write({**values, "result": result} if result else values)
        self.env.flush_all()
        self._cancel_dependents(now)
        self._after_commit(FREE_BEHIND, self.ids)

    # Release ----------------------------------------------------------------

    def _release_dependents(self):
        """Make pending what waited for these jobs and waits for nothing now.

        Locks the released jobs in the order of their ids; the caller commits.
        What this transaction's snapshot does not show is missed: call it when the
        ends of these jobs are committed, or :meth:`_after_commit` as well.
        """
        self.flush_model(["state"])
        self._release(FREE_BEHIND, self.ids)

    @api.model
    def _release(self, statement, ids):
        self.env.cr.execute(SQL(statement, jobs=list(ids)))
        released = self.browse(job_id for (job_id,) in self.env.cr.fetchall())
        if released:
            released._editor().write({"state": PENDING})

    @api.model
    def _after_commit(self, statement, ids):
        """Release what ``statement`` finds, once this transaction is committed.

        Two transactions that end two parents of a job, or end its parent and
        requeue the job, do not see each other. The one that commits last sees
        both here.
        """
        if ids:
            self.env.cr.postcommit.add(
                functools.partial(_release_now, self.env.registry, statement, ids)
            )

    def _waiting_behind(self):
        """Return the jobs in wait_dependencies behind these, to any depth."""
        self.flush_model(["state"])
        self.env.cr.execute(SQL(WAITING_BEHIND, parents=self.ids))
        return self.browse(job_id for (job_id,) in self.env.cr.fetchall()) - self

    def _without_dependents(self):
        """Return these jobs less those that wait behind another one of them."""
        self.flush_model(["state"])
        behind = {child for _parent, child in self._select_pairs("parent_id", self.ids)}
        return self.filtered(
            lambda job: job.id not in behind or job.state != WAIT_DEPENDENCIES
        )

    def _cancel_dependents(self, date_cancelled=None):
        """Cancel what waits for these jobs, to any depth."""
        dependents = self._waiting_behind()
        if dependents:
            dependents._editor().write(
                {
                    "state": CANCELLED,
                    "date_cancelled": date_cancelled
                    or self[:1].date_cancelled
                    or datetime.now(),
                    "result": self.env._(
                        "Cancelled because a job it depends on was cancelled"
                    ),
                }
            )

    def unlink(self):
        """Delete jobs. One that was not done will never release anybody: cancel those."""
        dependents = {
            child for _parent, child in self._select_pairs("parent_id", self.ids)
        }
        unfinished = self.filtered(lambda job: job.state not in ENDED)
        if dependents and unfinished:
            unfinished._cancel_dependents()
        self._after_commit(FREE_AMONG, list(dependents.difference(self.ids)))
        return super().unlink()


def _release_now(registry, statement, ids):
    """Release in transactions of their own; the sweep of the runner does what fails here."""
    for _try in range(RELEASE_TRIES):
        try:
            with registry.cursor() as cr:
                env = api.Environment(cr, api.SUPERUSER_ID, {})
                env["queue.job"]._release(statement, ids)
                return
        except OperationalError as error:
            if error.pgcode not in PG_CONCURRENCY_ERRORS_TO_RETRY:
                break
    _logger.warning("dependents of jobs %s could not be released now", ids)
