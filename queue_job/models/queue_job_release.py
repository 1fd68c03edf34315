# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Moves of many jobs, and the release of what waits behind them."""

import functools
import logging
from datetime import datetime

from psycopg2 import OperationalError

from odoo import api, models
from odoo.service.model import PG_CONCURRENCY_ERRORS_TO_RETRY
from odoo.tools import SQL

from ..states import CANCELLED, DONE, ENDED, PENDING, WAIT_DEPENDENCIES

_logger = logging.getLogger(__name__)

RELEASE_TRIES = 5

# A parent that is cancelled holds nobody back: its dependents were cancelled with
# it, and who requeues one of them alone wants it to run.
_BLOCKS = "p.state NOT IN ('done', 'cancelled')"

# What waits for nothing now, behind some jobs or among some. Functions, because
# planning such a query takes longer than its execution, and because the first
# step, which mostly finds nobody, must not be mixed with the second.
#
# The parents of a job or a joint are looked at from the last one backwards, because
# that one ends last: one look, not one per parent. By a subquery, not a join or EXISTS:
# for those the planner would rather walk over all jobs, from the newest on. A joint is
# looked at once, whoever goes through it: what is not MATERIALIZED the planner asks for
# each row. The jobs found are locked in the order of their ids.
RELEASE_FUNCTIONS_DDL = f"""
CREATE OR REPLACE FUNCTION queue_job_joint_is_open(which integer) RETURNS boolean AS $$
DECLARE
    blocking integer;
BEGIN
    SELECT d.parent_id INTO blocking FROM queue_job_dependency d
    WHERE d.joint = which AND d.parent_id IS NOT NULL
      AND (SELECT {_BLOCKS} FROM queue_job p WHERE p.id = d.parent_id)
    ORDER BY d.parent_id DESC LIMIT 1;
    RETURN FOUND;
END;
$$ LANGUAGE plpgsql STABLE;

CREATE OR REPLACE FUNCTION queue_job_free_among(jobs integer[]) RETURNS SETOF integer AS $$
DECLARE
    open_joints integer[];
BEGIN
    WITH before AS MATERIALIZED (
        SELECT DISTINCT d.joint FROM queue_job_dependency d
        WHERE d.child_id = ANY(jobs) AND d.parent_id IS NULL
    )
    SELECT array_agg(joint) INTO open_joints FROM before WHERE queue_job_joint_is_open(joint);
    RETURN QUERY
    SELECT child.id FROM queue_job child
    -- Not "=": while statistics say that hardly any job waits, the planner would rather
    -- read all that wait.
    WHERE child.id = ANY(jobs) AND child.state IS NOT DISTINCT FROM 'wait_dependencies'
      AND (
        SELECT d.parent_id FROM queue_job_dependency d
        WHERE d.child_id = child.id AND d.joint IS NULL
          AND (SELECT {_BLOCKS} FROM queue_job p WHERE p.id = d.parent_id)
        ORDER BY d.parent_id DESC LIMIT 1
      ) IS NULL
      AND (open_joints IS NULL OR NOT EXISTS (
        SELECT FROM queue_job_dependency d
        WHERE d.child_id = child.id AND d.parent_id IS NULL AND d.joint = ANY(open_joints)
      ))
    ORDER BY child.id
    FOR NO KEY UPDATE OF child;
END;
$$ LANGUAGE plpgsql;

CREATE OR REPLACE FUNCTION queue_job_free_behind(jobs integer[]) RETURNS SETOF integer AS $$
DECLARE
    children integer[];
BEGIN
    WITH own AS MATERIALIZED (
        SELECT DISTINCT d.joint FROM queue_job_dependency d
        WHERE d.parent_id = ANY(jobs) AND d.joint IS NOT NULL
    )
    SELECT array_agg(child_id) INTO children FROM (
        SELECT child_id FROM queue_job_dependency
        WHERE parent_id = ANY(jobs) AND joint IS NULL
        UNION
        SELECT d.child_id FROM queue_job_dependency d
        WHERE d.child_id IS NOT NULL AND d.joint IN (
            SELECT joint FROM own WHERE NOT queue_job_joint_is_open(joint)
        )
    ) AS behind;
    IF children IS NOT NULL THEN
        RETURN QUERY SELECT queue_job_free_among(children);
    END IF;
END;
$$ LANGUAGE plpgsql;

-- Whether nobody is to be released behind a job. What cannot be told, because somebody
-- moves those jobs just now, is no.
CREATE OR REPLACE FUNCTION queue_job_frees_nobody(job_id integer) RETURNS boolean AS $$
BEGIN
    -- Most often it has no dependent, or is not the last parent of its joint.
    PERFORM FROM queue_job_dependency d
    WHERE d.parent_id = job_id AND (d.joint IS NULL OR NOT queue_job_joint_is_open(d.joint));
    IF NOT FOUND THEN
        RETURN true;
    END IF;
    BEGIN
        PERFORM queue_job_free_behind(ARRAY[job_id]);
        RETURN NOT FOUND;
    EXCEPTION WHEN serialization_failure OR deadlock_detected OR lock_not_available THEN
        RETURN false;
    END;
END;
$$ LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan;
"""
FREE_BEHIND = "SELECT queue_job_free_behind(%(jobs)s)"
FREE_AMONG = "SELECT queue_job_free_among(%(jobs)s)"
# Where the ORM has nothing to do.
MAKE_PENDING = "UPDATE queue_job SET state = 'pending' WHERE id = ANY(%(jobs)s)"

# Those of %(jobs)s that a parent holds back, which may be another one of them: all
# become pending together.
HELD_BACK = f"""
WITH before AS MATERIALIZED (
    SELECT DISTINCT d.joint FROM queue_job_dependency d
    WHERE d.child_id = ANY(%(jobs)s) AND d.parent_id IS NULL
), open AS MATERIALIZED (
    SELECT joint FROM before WHERE queue_job_joint_is_open(joint) OR EXISTS (
        SELECT FROM queue_job_dependency d
        WHERE d.joint = before.joint AND d.parent_id = ANY(%(jobs)s)
    )
)
SELECT job.id FROM unnest(%(jobs)s) AS job(id)
WHERE (
    SELECT d.parent_id FROM queue_job_dependency d
    WHERE d.child_id = job.id AND d.joint IS NULL AND (
        d.parent_id = ANY(%(jobs)s)
        OR (SELECT {_BLOCKS} FROM queue_job p WHERE p.id = d.parent_id)
    )
    ORDER BY d.parent_id DESC LIMIT 1
) IS NOT NULL OR EXISTS (
    SELECT FROM queue_job_dependency d JOIN open ON open.joint = d.joint
    WHERE d.child_id = job.id AND d.parent_id IS NULL
)
"""

# What waits for %(parents)s, directly or not. Goes through each joint once, however
# many parents it has.
WAITING_BEHIND = """
WITH RECURSIVE behind(id, joint) AS (
    SELECT id, NULL::integer FROM unnest(%(parents)s) AS parent(id)
    UNION
    SELECT next.id, next.joint FROM behind CROSS JOIN LATERAL (
        SELECT d.child_id AS id, d.joint FROM queue_job_dependency d
        WHERE d.parent_id = behind.id
        UNION ALL
        SELECT d.child_id, NULL FROM queue_job_dependency d
        WHERE d.joint = behind.joint AND d.child_id IS NOT NULL
    ) AS next
    WHERE next.id IS NULL OR (
        SELECT state = 'wait_dependencies' FROM queue_job child WHERE child.id = next.id
    )
)
SELECT child.id FROM queue_job child
WHERE child.id IN (SELECT id FROM behind) AND child.state = 'wait_dependencies'
"""
# Those of %(jobs)s that wait for a parent that was cancelled.
BEHIND_CANCELLED = """
SELECT child.id FROM queue_job child
WHERE child.id = ANY(%(jobs)s) AND child.state = 'wait_dependencies' AND EXISTS (
    SELECT FROM queue_job_dependency d
    LEFT JOIN queue_job_dependency j
        ON d.parent_id IS NULL AND j.joint = d.joint AND j.parent_id IS NOT NULL
    JOIN queue_job p ON p.id = COALESCE(d.parent_id, j.parent_id)
    WHERE d.child_id = child.id AND p.state = 'cancelled'
)
"""


class QueueJob(models.Model):
    _inherit = "queue.job"

    def _create_release_functions(self):
        self.env.cr.execute(RELEASE_FUNCTIONS_DDL)

    # Moves of many ----------------------------------------------------------

    def _move_to_done(self, result=None):
        # Name and message of an earlier failure are kept, the traceback is not.
        values = {"state": DONE, "date_done": datetime.now(), "exc_info": False}
        self._editor().write({**values, "result": result} if result else values)
        self._record_move(DONE)
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
            # Of the run before; its error is kept as an attempt.
            "result": result or False,
            "exc_name": False,
            "exc_message": False,
            "exc_info": False,
            "exc_cause": False,
        }
        held_back = self._held_back()
        for jobs, state in (
            (self - held_back, PENDING),
            (held_back, WAIT_DEPENDENCIES),
        ):
            if jobs:
                jobs._editor().write({**values, "state": state})
        self._record_move(PENDING)
        self._after_commit(FREE_AMONG, held_back.ids)

    def _move_to_cancelled(self, result=None):
        now = datetime.now()
        values = {"state": CANCELLED, "date_cancelled": now}
        self._editor().write({**values, "result": result} if result else values)
        self._record_move(CANCELLED)
        self._cancel_dependents(now)

    def _held_back(self):
        """Return those of these jobs that would wait for a parent, if all became pending."""
        self.env.flush_all()
        self.env.cr.execute(SQL(HELD_BACK, jobs=self.ids))
        return self.browse(job_id for (job_id,) in self.env.cr.fetchall())

    # Release ----------------------------------------------------------------

    def _release_dependents(self):
        """Make pending what waited for these jobs and waits for nothing now.

        Locks the released jobs in the order of their ids; the caller commits.
        What this transaction's snapshot does not show is missed: call it when the
        ends of these jobs are committed, or :meth:`_after_commit` as well.
        """
        self.flush_model(["state"])
        self._release(FREE_BEHIND, self.ids)

    def _release_dependents_apart(self):
        """Do the same in a transaction apart, tried again after a conflict."""
        _release_now(self.env.registry, FREE_BEHIND, self.ids)

    @api.model
    def _release(self, statement, ids):
        self.env.cr.execute(SQL(statement, jobs=list(ids)))
        released = self.browse(job_id for (job_id,) in self.env.cr.fetchall())
        if not released:
            return
        if self._is_release_heard():
            released._editor().write({"state": PENDING})
            return
        self.env.cr.execute(SQL(MAKE_PENDING, jobs=released.ids))
        released.invalidate_recordset()

    def _is_release_heard(self):
        """Return whether others want to know that a job does not wait for others any more."""
        return self._are_moves_heard()

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

    def _after_storing_edges(self, children):
        """Release or cancel new children, once this transaction is committed.

        Whoever ended or cancelled a parent that was stored before did not see them.
        """
        if children:
            self.env.cr.postcommit.add(
                functools.partial(_end_wait_of_new, self.env.registry, children)
            )

    def _waiting_behind(self):
        """Return the jobs in wait_dependencies behind these, to any depth."""
        self.flush_model(["state"])
        self.env.cr.execute(SQL(WAITING_BEHIND, parents=self.ids))
        return self.browse(job_id for (job_id,) in self.env.cr.fetchall()) - self

    def _without_dependents(self):
        """Return these jobs less those that wait behind another one of them."""
        behind = set(self._dependents().ids)
        return self.filtered(
            lambda job: job.id not in behind or job.state != WAIT_DEPENDENCIES
        )

    def _cancel_dependents(self, date_cancelled=None):
        """Cancel what waits for these jobs, to any depth.

        What another transaction stores behind them and commits first is cancelled after
        the commit, the rest by :meth:`_after_storing_edges`.
        """
        dependents = self._cancel_waiting(date_cancelled)
        cancelled = (self | dependents).ids
        if cancelled:
            self.env.cr.postcommit.add(
                functools.partial(_cancel_missed, self.env.registry, cancelled)
            )

    def _cancel_waiting(self, date_cancelled=None):
        """Cancel the dependents that this transaction sees, and return them."""
        dependents = self._waiting_behind()
        if dependents:
            dependents._editor().write(
                {
                    "state": CANCELLED,
                    "date_cancelled": date_cancelled
                    or self[:1].date_cancelled
                    or datetime.now(),
                    "result": self._text_of_cancelled_parent(),
                }
            )
            dependents._record_move(CANCELLED)
        return dependents

    def _text_of_cancelled_parent(self):
        return self.env._("Cancelled because a job it depends on was cancelled")

    def unlink(self):
        """Delete jobs. One that was not done will never release anybody: cancel those."""
        dependents = self._dependents()
        unfinished = self.filtered(lambda job: job.state not in ENDED)
        if dependents and unfinished:
            unfinished._cancel_dependents()
        self._after_commit(FREE_AMONG, (dependents - self).ids)
        return super().unlink()


def _release_now(registry, statement, ids):
    """Release in transactions of their own; the sweep of the runner does what fails here."""
    _apart(registry, ids, lambda jobs: jobs._release(statement, ids))


def _cancel_missed(registry, ids):
    """Cancel what was stored behind jobs while they were cancelled."""
    _apart(registry, ids, lambda jobs: jobs.browse(ids)._cancel_waiting())


def _end_wait_of_new(registry, ids):
    """Cancel new jobs whose parent was cancelled, release those whose parents ended."""

    def end_wait(jobs):
        jobs.env.cr.execute(SQL(BEHIND_CANCELLED, jobs=ids))
        cancelled = jobs.browse(job_id for (job_id,) in jobs.env.cr.fetchall())
        if cancelled:
            cancelled._move_to_cancelled(jobs._text_of_cancelled_parent())
        jobs._release(FREE_AMONG, ids)

    _apart(registry, ids, end_wait)


def _apart(registry, ids, move):
    """Move jobs in a transaction apart, tried again after a conflict."""
    for _try in range(RELEASE_TRIES):
        try:
            with registry.cursor() as cr:
                move(api.Environment(cr, api.SUPERUSER_ID, {})["queue.job"])
                return
        except OperationalError as error:
            if error.pgcode not in PG_CONCURRENCY_ERRORS_TO_RETRY:
                break
    _logger.warning("dependents of jobs %s could not be released now", ids)
