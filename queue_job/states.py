# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The states of a job, their labels, their groups, and the table of moves.

The only definition of states and their groups. ``store/transitions.py`` and the
statements in ``sql/`` make the moves; a test compares them with the table.
"""

from typing import NamedTuple

WAIT_DEPENDENCIES = "wait_dependencies"
PENDING = "pending"
ENQUEUED = "enqueued"
STARTED = "started"
DONE = "done"
CANCELLED = "cancelled"
FAILED = "failed"

STATES = [
    (WAIT_DEPENDENCIES, "Wait Dependencies"),
    (PENDING, "Pending"),
    (ENQUEUED, "Enqueued"),
    (STARTED, "Started"),
    (DONE, "Done"),
    (CANCELLED, "Cancelled"),
    (FAILED, "Failed"),
]

# The job has not begun: its identity key blocks a twin.
WAITING = (WAIT_DEPENDENCIES, PENDING, ENQUEUED)
# Final unless a person requeues the job.
ENDED = (DONE, CANCELLED)
# Still to run, running, or failed.
NOT_DONE = (WAIT_DEPENDENCIES, PENDING, ENQUEUED, STARTED, FAILED)

# The buttons of a job, by its state.
CAN_SET_DONE = (WAIT_DEPENDENCIES, PENDING, ENQUEUED, FAILED)
CAN_CANCEL = (WAIT_DEPENDENCIES, PENDING, ENQUEUED, FAILED)
CAN_STOP = (STARTED,)
CAN_REQUEUE = (FAILED, DONE, CANCELLED)


class Move(NamedTuple):
    """One move of the table.

    :param sources: states in which a job may be
    :param sets: columns that the move writes
    :param clears: columns that it empties
    """

    sources: tuple
    target: str
    sets: tuple = ()
    clears: tuple = ()

    def values(self, **values):
        """Return all that the move writes, given what it sets; None is left out."""
        unknown = values.keys() - set(self.sets)
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: not set by this move")
        written = {name: value for name, value in values.items() if value is not None}
        return {**dict.fromkeys(self.clears, False), **written, "state": self.target}


_DATES = ("date_enqueued", "date_started", "date_done", "date_cancelled")
_ERROR = ("exc_name", "exc_message", "exc_info")
_CLAIM = ("date_started", "worker_pid", "run_number")
# A requeue clears the run before; its error is kept as an attempt.
_RUN_BEFORE = (*_DATES, "worker_pid", "result", *_ERROR, "exc_cause")

MOVES = {
    # The runner.
    "enqueue": Move((PENDING,), ENQUEUED, ("date_enqueued",)),
    "put back": Move((ENQUEUED,), PENDING, clears=("date_enqueued",)),
    "refuse": Move((PENDING,), FAILED, _ERROR),
    # A worker; one of a cron claims what is pending.
    "claim": Move((ENQUEUED,), STARTED, _CLAIM),
    "claim pending": Move((PENDING,), STARTED, ("date_enqueued", *_CLAIM)),
    "finish": Move((STARTED,), DONE, ("date_done", "exec_time", "retry", "result")),
    "postpone": Move(
        (STARTED,),
        PENDING,
        ("eta", "retry", "result"),
        (*_DATES, "worker_pid", "exc_name", "exc_info"),
    ),
    "suspend": Move((STARTED,), PENDING, ("retry",), (*_DATES, "worker_pid")),
    "fail": Move((STARTED,), FAILED, (*_ERROR, "exc_cause", "retry")),
    "release": Move((WAIT_DEPENDENCIES,), PENDING),
    # The sweep of dead jobs.
    "requeue dead": Move((ENQUEUED, STARTED), PENDING, ("eta", "retry")),
    "fail dead": Move((ENQUEUED, STARTED), FAILED, (*_ERROR, "retry", "to_report")),
    # People, and the cascade behind them.
    "requeue": Move(CAN_REQUEUE, PENDING, ("retry", "result"), _RUN_BEFORE),
    "requeue behind": Move(
        CAN_REQUEUE, WAIT_DEPENDENCIES, ("retry", "result"), _RUN_BEFORE
    ),
    "set done": Move(CAN_SET_DONE, DONE, ("date_done", "result"), ("exc_info",)),
    "cancel": Move(CAN_CANCEL, CANCELLED, ("date_cancelled", "result")),
    "stop": Move(CAN_STOP, CANCELLED, ("date_cancelled", "date_stopped", "result")),
}

DEFAULT_PRIORITY = 10
DEFAULT_MAX_RETRIES = 5  # runs in all, 0 means no limit
RETRY_INTERVAL = 10 * 60  # seconds before another try, without a retry pattern
