# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The states of a job, their labels and their groups.

Nobody else writes these tables. What moves a job from one state to another is
the move of that name in ``job.py``, or SQL beside the lock that it needs.
"""

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
# Nothing happens any more unless somebody requeues.
ENDED = (DONE, CANCELLED)
# Something may still happen, or is to be seen to.
NOT_DONE = (WAIT_DEPENDENCIES, PENDING, ENQUEUED, STARTED, FAILED)

# What a person may do from the buttons, by the state the job is in.
CAN_SET_DONE = (WAIT_DEPENDENCIES, PENDING, ENQUEUED, FAILED)
CAN_CANCEL = (WAIT_DEPENDENCIES, PENDING, ENQUEUED, FAILED)
CAN_REQUEUE = (FAILED, DONE, CANCELLED)

DEFAULT_PRIORITY = 10
DEFAULT_MAX_RETRIES = 5  # runs in all, 0 means no limit
RETRY_INTERVAL = 10 * 60  # seconds before another try, without a retry pattern
