# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The delay API on every model."""

import functools

from odoo import api, models

from ..delay import Delayable, DelayableRecordset
from ..options import OPTION_NAMES, JobOptions, signature_with_options
from ..store import records
from ..utils import must_run_without_delay
from ..worker import current_job


def _takes_options(method):
    """Give a method of recordsets the options that its caller states, as one object.

    :raise TypeError: names the options of jobs
    """

    @functools.wraps(method)
    def with_options(self, *args, **stated):
        for name in stated:
            if name not in OPTION_NAMES:
                raise TypeError(
                    f"{method.__name__}() got an unexpected keyword argument {name!r}: "
                    f"a job has {', '.join(OPTION_NAMES)}"
                )
        return method(self, JobOptions(*args, **stated))

    with_options.__signature__ = signature_with_options("self")
    return with_options


class Base(models.AbstractModel):
    _inherit = "base"

    @_takes_options
    def with_delay(self, options):
        """Return a proxy of this recordset whose method calls become jobs.

        The call returns the :class:`~odoo.addons.queue_job.job.Job`, or the job
        of the twin when one with the same ``identity_key`` still waits. No
        access right on jobs is needed. The job is stored in the caller's
        transaction, and can start when that is committed.

        :param int priority: smaller runs first, default 10
        :param eta: not before: datetime (UTC), timedelta, or seconds from now
        :param int max_retries: runs in all, 0 for no limit, default 5
        :param str description: shown to people, default from the method
        :param str channel: complete name, default from the job function
        :param identity_key: str or function of the job that returns one
        """
        return DelayableRecordset(self, **options.keywords())

    @_takes_options
    def delayable(self, options):
        """Return a delayable: a job that is part of a graph, or set up in steps.

        Nothing is stored before ``delay()`` is called at the top of the
        graph. The parameters are those of :meth:`with_delay`.
        """
        return Delayable(self, **options.keywords())

    def _current_job(self):
        """Return the job that calls this method: its steps, checkpoint and progress.

        Without a job, an object of the same methods that do nothing, so that a method
        can be called both ways. See :class:`~..worker.current.CurrentJob`.
        """
        return current_job(self.env)

    def _patch_job_auto_delay(self, method_name, context_key=None):
        """Return a wrapper of a method that delays each call of it.

        To be set on the class in ``_register_hook``. The original is called at
        once within a job, without delay, and, when ``context_key`` is given,
        unless that key of the context is true. ``<method>_job_options`` may
        return the properties of the job.
        """
        origin = getattr(type(self), method_name)

        @functools.wraps(origin)
        def auto_delay(self, *args, **kwargs):
            context = self.env.context
            if (
                context.get("job_uuid")
                or (context_key and not context.get(context_key))
                or must_run_without_delay(self.env)
            ):
                return auto_delay.origin(self, *args, **kwargs)
            options = getattr(self, f"{method_name}_job_options", None)
            properties = options(*args, **kwargs) if options else {}
            return getattr(self.with_delay(**properties), method_name)(*args, **kwargs)

        auto_delay.origin = origin
        return auto_delay

    @api.model
    def _job_store_values(self, job):
        """Return extra values for the row of a job, at each time it is stored.

        A new job of a model that lists the jobs of its records knows them.
        """
        is_new = job is not None and job.row_id is None
        if not is_new or self._name not in self.env["queue.job"]._recorded_models():
            return {}
        return records.values_of(job)

    @api.model
    def _job_prepare_context_before_enqueue_keys(self):
        """Return the keys of the context that a job keeps."""
        return ("tz", "lang", "allowed_company_ids", "force_company", "active_test")

    def _job_prepare_context_before_enqueue(self):
        """Return the part of the context that a job keeps."""
        keys = self._job_prepare_context_before_enqueue_keys()
        return {key: value for key, value in self.env.context.items() if key in keys}
