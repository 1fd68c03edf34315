# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What can go wrong with a job, as exceptions."""


class BaseQueueJobError(Exception):
    """Root of the errors of this addon."""


class JobError(BaseQueueJobError):
    """A job had an error."""


class NoSuchJobError(JobError):
    """The job does not exist, or not any more."""


class FailedJobError(JobError):
    """The job failed for good: its tries are used up."""


class RetryableJobError(JobError):
    """The job could not be performed now and may be tried again.

    :param seconds: wait before the next try, a number or a pair (shortest,
        longest); without it the retry pattern of the job function decides
    :param ignore_retry: do not count this try
    """

    def __init__(self, msg, seconds=None, ignore_retry=False):
        super().__init__(msg)
        self.seconds = seconds
        self.ignore_retry = ignore_retry


class KeyBusyError(RetryableJobError):
    """Another transaction is delaying a job of the same key, and does not end.

    The transaction of the caller is intact. A job that asked is tried again.
    """


class LostRunError(BaseQueueJobError):
    """The job is not this worker's any more: somebody moved or claimed it."""


class ChannelNotFound(BaseQueueJobError):
    """No channel has this name."""
