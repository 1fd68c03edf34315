# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The states of a job, their labels, their groups and the legal moves.

Nobody else writes these tables: Python moves a state through
:func:`check_move`, SQL names the groups below.
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
# A worker has, or may soon have, the job.
RUNNING = (ENQUEUED, STARTED)
# Nothing happens any more unless somebody requeues.
ENDED = (DONE, CANCELLED)
# What a runner loads at its start.
NOT_DONE = (WAIT_DEPENDENCIES, PENDING, ENQUEUED, STARTED, FAILED)

# What a person may do from the buttons, by the state the job is in.
CAN_SET_DONE = (WAIT_DEPENDENCIES, PENDING, ENQUEUED, FAILED)
CAN_CANCEL = (WAIT_DEPENDENCIES, PENDING, ENQUEUED, FAILED)
CAN_REQUEUE = (FAILED, DONE, CANCELLED)

DEFAULT_PRIORITY = 10
DEFAULT_MAX_RETRIES = 5  # runs in all, 0 means no limit
RETRY_INTERVAL = 10 * 60  # seconds before another try, without a retry pattern
