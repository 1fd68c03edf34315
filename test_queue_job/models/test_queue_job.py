# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from odoo.addons.queue_job.exception import RetryableJobError


class TestQueueJob(models.Model):
    _name = "test.queue.job"
    _description = "Jobs of all kinds"

    name = fields.Char()
    # Computed at flush: what a job leaves pending is part of the job.
    double_name = fields.Char(compute="_compute_double_name", store=True)

    @api.depends("name")
    def _compute_double_name(self):
        for record in self:
            record.double_name = (record.name or "") * 2

    def _register_hook(self):
        for method_name, context_key in (
            ("delay_me", None),
            ("delay_me_with_options", None),
            ("delay_me_when_asked", "auto_delay_when_asked"),
        ):
            wrapper = self._patch_job_auto_delay(method_name, context_key=context_key)
            setattr(type(self), method_name, wrapper)
        return super()._register_hook()

    @api.model
    def _job_prepare_context_before_enqueue_keys(self):
        return (*super()._job_prepare_context_before_enqueue_keys(), "kept_key")

    @api.model
    def _job_store_values(self, job):
        values = super()._job_store_values(job)
        return {**values, "additional_info": f"{job.method_name} of test.queue.job"}

    def mapped(self, func):
        """Take one value of each record."""
        return super().mapped(func)

    def testing_method(self, *args, **kwargs):
        """Return what was given.

        The first line only is the description.
        """
        return args, kwargs

    def without_docstring(self, *args, **kwargs):
        return args, kwargs

    def return_value(self, value):
        return value

    # A method that is known by another name than its own.
    return_value_alias = return_value

    def return_context(self):
        return dict(self.env.context)

    def return_cursors(self, *args, **kwargs):
        """Return the cursor of each recordset of the call."""
        recordsets = [self]
        waiting = [args, kwargs]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                waiting.extend(value.values())
            elif isinstance(value, list | tuple):
                waiting.extend(value)
            elif isinstance(value, models.BaseModel):
                recordsets.append(value)
        return [records.env.cr for records in recordsets]

    def work_in_steps(self, *args):
        """Commit in steps."""

    def work_freely(self, *args):
        """Commit on a connection of its own."""

    def write_name(self, name):
        """Write the name."""
        self.write({"name": name})

    def write_name_then_raise(self, name, error):
        self.write({"name": name})
        self.flush_recordset()
        raise error_of(error)

    def raise_error(self, error, *args):
        """Raise the error of this name."""
        raise error_of(error, *args)

    def raise_retryable(self, message="later", seconds=None, ignore_retry=False):
        """Raise a retryable error."""
        raise RetryableJobError(message, seconds=seconds, ignore_retry=ignore_retry)

    def commit_inside(self, name):
        """Write the name and commit."""
        self.write({"name": name})
        self.env.cr.commit()  # pylint: disable=invalid-commit # is refused

    def commit_inside_allowed(self, name):
        """Write the name and commit, which its function allows."""
        self.write({"name": name})
        self.env.cr.commit()  # pylint: disable=invalid-commit # is allowed

    def commit_inside_then_raise(self, name):
        """Write the name, commit, which its function allows, and fail."""
        self.write({"name": name})
        self.env.cr.commit()  # pylint: disable=invalid-commit # is allowed
        self.write({"name": "rolled back"})
        raise ValueError("after the commit")

    def rollback_inside(self, name):
        """Roll back, then write the name."""
        self.env.cr.rollback()
        self.write({"name": name})

    def delay_two(self):
        """Delay two jobs."""
        self.with_delay().testing_method(1)
        self.with_delay().testing_method(2)

    def with_retry_pattern(self):
        raise RetryableJobError("again")

    def with_late_retry_pattern(self):
        raise RetryableJobError("again")

    def with_random_retry_pattern(self):
        raise RetryableJobError("again")

    def with_fail_hook(self, name):
        """Write the name and fail; the hook writes the same record."""
        self.write({"name": name})
        self.flush_recordset()
        raise ValueError("the hook should know")

    def fail_hook(self, **kwargs):
        self.write({"name": f"{kwargs['exc_name']}: {kwargs['exc_message']}"})

    def with_broken_fail_hook(self):
        raise ValueError("the first error")

    def broken_fail_hook(self, **kwargs):
        raise KeyError("the second error")

    def delay_me(self, value, key=None):
        """Delay me."""
        return value, key

    def delay_me_with_options(self, value):
        """Delay me with options."""
        return value

    def delay_me_with_options_job_options(self, value):
        return {"priority": 1, "description": f"options for {value}"}

    def delay_me_when_asked(self, value):
        """Delay me when the context asks for it."""
        return value


def error_of(name, *args):
    """Return an error by the name a job can carry as argument."""
    errors = {"value": ValueError, "key": KeyError, "surrogate": ValueError}
    if name == "surrogate":
        args = ("bad \ud800 character",)
    return errors[name](*(args or ("the job raised",)))
