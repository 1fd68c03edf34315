# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Batches: jobs that belong together.

The state is derived from the states of the jobs, behind the commit of each end: no job
writes the row of its batch, so jobs of one batch never wait for each other. The
transaction that moves the state locks the row first, and delays the callbacks: one
winner, whatever dies in between. Jobs that join share the key of the row, so a batch does
not finish while a transaction adds to it. A sweep finishes the batches that a dead worker left.
"""

import logging

from psycopg2 import OperationalError
from psycopg2.errors import LockNotAvailable

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.service.model import PG_CONCURRENCY_ERRORS_TO_RETRY
from odoo.tools.misc import clean_context

from odoo.addons.queue_job.delay import Delayable
from odoo.addons.queue_job.fields import JobSerialized
from odoo.addons.queue_job.job import identity_exact
from odoo.addons.queue_job.states import (
    CANCELLED,
    DONE,
    ENQUEUED,
    FAILED,
    STARTED,
    STATES,
)

from ..sql import statements as sql

_logger = logging.getLogger(__name__)

DERIVE_TRIES = 5
BATCH_STATES = [
    ("pending", "Pending"),
    ("enqueued", "Enqueued"),
    ("progress", "In Progress"),
    ("finished", "Finished"),
]
_MOVED_BY_CODE = {
    *("state", "user_id", "company_id", "date_finished", "execution_time"),
}
OVER = {DONE, CANCELLED, FAILED}
# Options of a callback that are kept with it.
OPTIONS = Delayable._properties


class QueueJobBatch(models.Model):
    """Jobs with one state. Jobs join through the key ``job_batch`` of the context."""

    _name = "queue.job.batch"
    _description = "Batch of Jobs"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _log_access = False
    _order = "id DESC"

    name = fields.Char(required=True, readonly=True, tracking=True)
    user_id = fields.Many2one("res.users", required=True, readonly=True, tracking=True)
    state = fields.Selection(
        BATCH_STATES, default="pending", required=True, readonly=True, tracking=True
    )
    company_id = fields.Many2one(
        "res.company", readonly=True, default=lambda self: self.env.company
    )
    is_read = fields.Boolean(readonly=True, help="The user has seen the result.")
    job_ids = fields.One2many("queue.job", "job_batch_id", string="Jobs", readonly=True)
    job_count = fields.Integer(compute="_compute_counts", string="Jobs in Total")
    finished_job_count = fields.Float(compute="_compute_counts", string="Jobs Done")
    failed_job_count = fields.Float(compute="_compute_counts", string="Jobs Failed")
    completeness = fields.Float(compute="_compute_counts", aggregator=None)
    failed_percentage = fields.Float(compute="_compute_counts", aggregator=None)
    date_finished = fields.Datetime(readonly=True)
    execution_time = fields.Float(
        readonly=True,
        string="Execution Time (s)",
        help="Seconds between the first start and the last end of its jobs.",
    )
    # The calls at the end. They run with the rights of any user: no client reads or writes them.
    callbacks = JobSerialized(base_type=dict, groups=fields.NO_ACCESS)

    _open_index = models.Index("(id) WHERE state <> 'finished'")

    def init(self):
        self.env.cr.execute(sql.adopt_drafts)

    @api.depends("state", "job_ids.state")
    def _compute_counts(self):
        groups = (
            self.env["queue.job"]
            .sudo()
            ._read_group(
                [("job_batch_id", "in", self.ids)],
                ["job_batch_id", "state"],
                ["__count"],
            )
        )
        counts = {}
        for batch, state, count in groups:
            counts.setdefault(batch.id, {})[state] = count
        for batch in self:
            of_batch = counts.get(batch._origin.id, {})
            total = sum(of_batch.values())
            batch.job_count = total
            batch.finished_job_count = of_batch.get(DONE, 0)
            batch.failed_job_count = of_batch.get(FAILED, 0)
            batch.completeness = batch.finished_job_count / max(1, total)
            batch.failed_percentage = batch.failed_job_count / max(1, total)

    def write(self, vals):
        if not self.env.su and _MOVED_BY_CODE & vals.keys():
            raise AccessError(
                self.env._("The state and the owner of a batch follow its jobs.")
            )
        return super().write(vals)

    @api.model_create_multi
    def create(self, vals_list):
        """Create batches; defaults of the context, which clients send, fill no field."""
        context = clean_context(self.env.context)
        return super(QueueJobBatch, self.with_context(context)).create(vals_list)  # pylint: disable=context-overridden # no defaults

    # For callers ------------------------------------------------------------

    @api.private
    @api.model
    def get_new_batch(self, name, **values):
        """Return a new batch of the calling user and company.

        Code only: it is made as superuser.

        :param values: more fields of the batch
        :raise ValueError: for ``callbacks``, which perform calls of any user
        """
        if "callbacks" in values:
            raise ValueError("callbacks: use on_success(), on_failure(), on_finish()")
        quiet = {"mail_create_nolog": True, "mail_create_nosubscribe": True}
        batch = (
            self.sudo()
            .with_context(**quiet)
            .create({"name": name, "user_id": self.env.uid, **values})
            .with_env(self.env)
        )
        batch._notify_user(batch_created=True)
        return batch

    @api.private
    def check_state(self):
        """Write the state that follows from the jobs; delays callbacks. Caller commits."""
        for batch in self.sudo():
            batch._follow(batch._states_of_jobs()[batch.id])
        return True

    def set_read(self):
        """Mark finished batches as seen by their users."""
        for batch in self:
            if batch.state == "finished" and not batch.is_read:
                batch.is_read = True
                batch._notify_user(batch_read=True)

    def on_success(self, *delayables):
        """Delay these once, when all jobs are done; return the batch.

        :param delayables: single calls, made with ``delayable()``
        :raise UserError: when the batch is finished
        """
        return self._add_callbacks("success", delayables)

    def on_failure(self, *delayables):
        """Delay these once, when the first job has failed; see :meth:`on_success`."""
        return self._add_callbacks("failure", delayables)

    def on_finish(self, *delayables):
        """Delay these once, when no job is left; see :meth:`on_success`."""
        return self._add_callbacks("finish", delayables)

    def action_view_jobs(self):
        """Return the action that lists the jobs of this batch."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.name,
            "res_model": "queue.job",
            "views": [(False, "list"), (False, "form")],
            "domain": [("job_batch_id", "=", self.id)],
        }

    # Rules ------------------------------------------------------------------

    @api.model
    def _get_state(self, job_states):
        """Return the state of a batch whose jobs are in these states, a set."""
        if job_states <= OVER:
            return "finished"
        if job_states & {DONE, STARTED}:
            return "progress"
        if ENQUEUED in job_states:
            return "enqueued"
        return "pending"

    def _check_open(self):
        if self.sudo().state == "finished":
            raise UserError(
                self.env._("The batch %s is finished: no job can join it.", self.name)
            )

    def _states_of_jobs(self):
        """Return ``{id: set of the states of its jobs}``."""
        self.env["queue.job"].flush_model(["state", "job_batch_id"])
        values = {"batches": self.ids, "states": [state for state, _label in STATES]}
        self.env.cr.execute(sql.states_of_jobs, values)
        return {batch_id: set(states) for batch_id, states in self.env.cr.fetchall()}

    def _delay_check_state(self):
        """Delay one check of the state; that job belongs to no batch."""
        for batch in self.sudo().with_context(job_batch=None):
            batch.with_delay(identity_key=identity_exact).check_state()

    # Moves ------------------------------------------------------------------

    def _follow(self, job_states):
        """Move to the state that follows, as superuser; locks the row if anything changes.

        :raise OperationalError: when another transaction was faster
        """
        if not self._is_behind(job_states):
            return
        self.env.cr.execute(sql.lock_batch, {"batch": self.id})
        self.invalidate_recordset()
        if not self._is_behind(job_states):
            return
        state = self._get_state(job_states)
        if state != self.state:
            self._move(state)
        self._call_back(state, job_states)

    def _is_behind(self, job_states):
        """Return whether the state or a callback does not follow the jobs yet."""
        calls = self.callbacks or {}
        return self.state != self._get_state(job_states) or (
            FAILED in job_states and bool(calls.get("failure"))
        )

    def _move(self, state):
        if self.state == "finished":
            self.message_post(
                body=self.env._("Opened again: a job of this batch is to run again.")
            )
        values = {"state": state, "is_read": False, "date_finished": False}
        if state == "finished":
            self.env.cr.execute(sql.execution_time, {"batch": self.id})
            (seconds,) = self.env.cr.fetchone()
            values.update(
                date_finished=fields.Datetime.now(), execution_time=seconds or 0
            )
        self.write(values)

    # Callbacks --------------------------------------------------------------

    def _add_callbacks(self, event, delayables):
        self._check_open()
        calls = dict(self.sudo().callbacks or {})
        calls[event] = [*calls.get(event, ()), *map(_call_of, delayables)]
        self.sudo().callbacks = calls
        return self

    def _call_back(self, state, job_states):
        """Delay the callbacks whose time has come, and forget them."""
        calls = dict(self.callbacks or {})
        due = ["failure"] if FAILED in job_states else []
        if state == "finished":
            due += ["finish"]
            due += ["success"] if job_states <= {DONE} else []
        now = [call for event in due for call in calls.pop(event, ())]
        if not now:
            return
        self.callbacks = calls
        for call in now:
            self._delay_call(call)

    def _delay_call(self, call):
        records = call["records"]
        if not isinstance(records, models.BaseModel):
            _logger.error(
                "batch %s: callback %s not delayed: its model is gone",
                *(self.id, call["method"]),
            )
            return
        delayed = records.with_context(job_batch=None).with_delay(**call["options"])
        getattr(delayed, call["method"])(*call["args"], **call["kwargs"])

    # Derived state ----------------------------------------------------------

    @api.model
    def _sweep(self):
        """Derive the states that a worker that died left behind."""
        self.env.cr.execute(sql.open_batches)
        batches = self.sudo().browse(batch_id for (batch_id,) in self.env.cr.fetchall())
        states = batches._states_of_jobs()
        behind = batches.filtered(lambda batch: batch._is_behind(states[batch.id]))
        derive(self.env.registry, behind.ids)

    def _notify_user(self, **message):
        for batch in self:
            batch.user_id.sudo()._bus_send("queue.job.batch/updated", message)

    @api.model
    def _to_store_fnames(self):
        """Return the fields that the web client shows of a batch."""
        return [
            *("name", "state", "is_read", "job_count", "finished_job_count"),
            *("failed_job_count", "completeness", "failed_percentage"),
        ]


def _call_of(delayable):
    """Return a delayable in the form that a batch stores.

    :raise TypeError: for a chain or a group
    """
    if not isinstance(delayable, Delayable):
        raise TypeError(f"{delayable!r} is no single call: make it with delayable()")
    job = delayable._build_job()
    options = {name: getattr(job, name) for name in OPTIONS}
    return {
        "records": job.recordset,
        "method": job.method_name,
        "args": list(job.args),
        "kwargs": dict(job.kwargs),
        "options": {name: value for name, value in options.items() if value},
    }


def derive_behind(registry, job_ids):
    """Derive the states of the batches of some jobs, in a transaction apart."""
    with registry.cursor() as cr:
        cr.execute(sql.batches_of_jobs, {"jobs": list(job_ids)})
        batch_ids = [batch_id for (batch_id,) in cr.fetchall()]
    if batch_ids:
        derive(registry, batch_ids)


def derive(registry, batch_ids):
    """Derive the states of batches, in transactions apart; the sweep repeats what fails."""
    for batch_id in batch_ids:
        for _try in range(DERIVE_TRIES):
            try:
                with registry.cursor() as cr:
                    cr.execute(sql.lock_timeout)
                    batch = api.Environment(cr, SUPERUSER_ID, {})["queue.job.batch"]
                    batch.browse(batch_id).exists().check_state()
                break
            except LockNotAvailable:
                break
            except OperationalError as error:
                if error.pgcode not in PG_CONCURRENCY_ERRORS_TO_RETRY:
                    _logger.exception("batch %s: state not derived", batch_id)
                    break
            except Exception:
                # One batch must not keep the others from their end.
                _logger.exception("batch %s: state not derived", batch_id)
                break
        else:
            _logger.warning("batch %s: state not derived now; the sweep will", batch_id)
