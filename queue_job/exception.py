# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The exceptions of jobs."""

import threading
from contextlib import contextmanager


class BaseQueueJobError(Exception):
    """Root of the errors of this addon."""


class JobError(BaseQueueJobError):
    """A job had an error."""


class NoSuchJobError(JobError):
    """The job does not exist, or not any more."""


class FailedJobError(JobError):
    """The job failed for good: its tries are used up."""


class JobGiveUp(FailedJobError):
    """The job fails now, with this reason, however many attempts are left."""


class JobStop(JobError):
    """The job cancels itself: its work is undone, and no attempt is counted.

    Its dependents are cancelled too.
    """


class RetryableJobError(JobError):
    """The job could not be performed now and may be tried again.

    :param seconds: wait before the next try, a number or a pair (shortest,
        longest); without it the retry pattern of the job function decides
    :param ignore_retry: do not count this try
    """

    # Subclasses with a constructor of their own may not call this one.
    seconds = None
    ignore_retry = False

    def __init__(self, msg, seconds=None, ignore_retry=False):
        super().__init__(msg)
        self.seconds = seconds
        self.ignore_retry = ignore_retry


class KeyBusyError(RetryableJobError):
    """Another transaction is delaying a job of the same key, and does not end.

    The transaction of the caller is intact. A job that asked is tried again.
    """


class LostRunError(BaseQueueJobError):
    """The job is not this worker's any more: another session moved or claimed it."""


class BrokenTransactionError(JobError):
    """The job ended the transaction of its worker, by SQL or on the connection."""


class JobSuspended(BaseException):
    """A job in steps ends here, after a commit, and goes on in another attempt.

    No ``Exception``, so that ``except Exception`` in a job does not go on.
    """


class WorkerExitError(JobError):
    """The cause is no ``Exception``, and would have ended the worker."""


def contained(error):
    """Return what was raised as an ``Exception``: ``WorkerExitError`` with a cause, or itself.

    ``SystemExit`` of a library, ``GeneratorExit`` and their like fail a job; they do not
    end the thread or process of its worker. Signals reach the main thread only: a
    ``KeyboardInterrupt`` there is Ctrl-C, and is raised.
    """
    if isinstance(error, Exception):
        return error
    in_main_thread = threading.current_thread() is threading.main_thread()
    if isinstance(error, KeyboardInterrupt) and in_main_thread:
        raise error
    exit_error = WorkerExitError(f"The job raised {type(error).__name__}")
    exit_error.__cause__ = error
    return exit_error


@contextmanager
def exceptions_only():
    """Raise in this block ``Exception`` only, see :func:`contained`."""
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        raise contained(error) from error


class ChannelNotFound(BaseQueueJobError):
    """No channel has this name."""
