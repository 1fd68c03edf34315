# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The policy: one waiting job per call, by the keys of queue_job.

The key of a job is its ``func_string``; ``twin_key``, a digest of it, is what
the lock and the index are made of. A job without ``twin_key`` is not watched.
"""

import hashlib
import logging

from odoo import api, models
from odoo.modules import module
from odoo.tools import SQL

from odoo.addons.queue_job.states import CANCELLED, DONE, STARTED, STATES
from odoo.addons.queue_job.store import keys
from odoo.addons.queue_job.store.keys import POLICY, POLICY_LOCK_LENGTH
from odoo.addons.queue_job.utils import storable_text

_logger = logging.getLogger(__name__)


def digest(func_string):
    """Return the ``twin_key`` of a call."""
    return hashlib.sha256(func_string.encode()).hexdigest()[:POLICY_LOCK_LENGTH]


class QueueJob(models.Model):
    _inherit = "queue.job"

    # The rule ---------------------------------------------------------------

    @api.model
    def _acts_on_calls(self):
        """Return whether equal calls are prevented: in tests, only where they ask for it.

        Suites of other addons store equal jobs on purpose. A test switches the policy on
        with the attribute ``prevents_duplicates = True`` of its class.
        """
        test = module.current_test
        return not test or getattr(test, "prevents_duplicates", False)

    @api.model
    def _states_without_duplicates(self):
        """Return the states in which a job does not block a duplicate, as a list.

        A failed job blocks: it stands for the call until it is dealt with.
        """
        return [STARTED, DONE, CANCELLED]

    @api.model
    def _blocking_states(self):
        harmless = self._states_without_duplicates()
        return [state for state, _label in STATES if state not in harmless]

    @api.model
    def _watched_values(self, func_string):
        """Return the columns that make a job of this call block a duplicate."""
        return {
            "twin_key": digest(func_string),
            "twin_states": ",".join(self._blocking_states()),
        }

    # New jobs ---------------------------------------------------------------

    @api.private
    @api.model_create_multi
    def create(self, vals_list):
        if not self._acts_on_calls():
            return super().create(vals_list)
        functions = self.env["queue.job.function"].sudo()
        watched = []
        for vals in vals_list:
            func_string = vals.get("func_string")
            if func_string and functions._prevents_duplicates(
                vals.get("channel_method_name")
            ):
                vals = {**self._watched_values(func_string), **vals}
            watched.append(vals)
        return super().create(watched)

    @api.model
    def _key_requests(self, jobs):
        requests = self._duplicate_requests(jobs)
        return [
            *super()._key_requests(jobs),
            (POLICY, self._blocking_states(), requests),
        ]

    @api.model
    def _duplicate_requests(self, jobs):
        if not self._acts_on_calls():
            return []
        functions = self.env["queue.job.function"].sudo()
        requests = []
        for job in jobs:
            if functions._prevents_duplicates(job.job_function_name):
                func_string = storable_text(job.func_string)
                requests.append((job, digest(func_string), func_string))
        return requests

    @api.model
    def _store_job(self, job):
        """Let a new job that is stored by itself become its twin, if there is one."""
        if not job.is_new() or job.graph_uuid or job.is_linked:
            return super()._store_job(job)
        twins = self._reserve_call(job)
        if twins:
            return job.become(twins[job].read())
        try:
            return super()._store_job(job)
        except Exception:
            self._give_up_keys([job])
            raise

    @api.model
    def _reserve_call(self, job):
        requests = self._duplicate_requests([job])
        if not requests:
            return {}
        self.flush_model(["state", "twin_key"])
        refused = keys.reserve(self.env, POLICY, requests, self._blocking_states())
        return self._twins_for(POLICY, [job], refused) if refused else {}

    @api.model
    def _twins_for(self, kind, jobs, refused):
        if kind == POLICY:
            for job in jobs:
                if job in refused:
                    self._log_prevented(storable_text(job.func_string))
        return super()._twins_for(kind, jobs, refused)

    @api.model
    def _log_prevented(self, func_string):
        domain = [
            ("state", "not in", self._states_without_duplicates()),
            ("func_string", "=", func_string),
        ]
        _logger.info("A job already exists for domain %s", domain)

    # Stored jobs ------------------------------------------------------------

    def _move_to_pending(self, result=None):
        moved = super()._move_to_pending(result)
        # It ended before this addon was installed, or while duplicates were allowed.
        if self._acts_on_calls():
            self._watch_stored_jobs(SQL("id = ANY(%s)", self.ids))
        return moved

    @api.model
    def _watch_jobs_of(self, function_names):
        if self._acts_on_calls():
            self._watch_stored_jobs(
                SQL(
                    "state <> 'done' AND channel_method_name = ANY(%s)",
                    list(function_names),
                )
            )

    @api.model
    def _watch_stored_jobs(self, condition=None):
        """Let stored jobs block duplicates, those that a condition selects or all.

        They get no reservation: the look-up finds them by their index. Jobs
        that are done are left out unless the condition asks for them. Raises
        ``SerializationFailure`` when one was moved since the transaction began;
        the caller commits.
        """
        self.flush_model(["state", "twin_key"])
        self.env.cr.execute(
            SQL(
                """
                UPDATE queue_job SET twin_states = %s, twin_key = left(
                    encode(sha256(convert_to(func_string, 'UTF8')), 'hex'), %s
                )
                WHERE %s AND twin_key IS NULL AND func_string <> ''
                  AND COALESCE(channel_method_name, '') <> ALL(%s)
                """,
                *(",".join(self._blocking_states()), POLICY_LOCK_LENGTH),
                SQL("state <> 'done'") if condition is None else condition,
                self.env["queue.job.function"].sudo()._allowing_names(),
            )
        )
        self.invalidate_model(["twin_key", "twin_states"])

    @api.model
    def _forget_stored_jobs(self):
        """Let no job block a duplicate any more; the caller commits."""
        self.env.cr.execute(
            SQL(
                "UPDATE queue_job SET twin_key = NULL, twin_states = NULL "
                "WHERE twin_key IS NOT NULL AND state <> 'done'"
            )
        )
        self.env.cr.execute(SQL("DELETE FROM queue_job_key WHERE kind = %s", POLICY))
        self.invalidate_model(["twin_key", "twin_states"])
