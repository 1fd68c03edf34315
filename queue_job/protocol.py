# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A run: what the runner sends to a worker in one request, and the answer.

A run is an ordered list of jobs of one channel that one worker performs one
after another. The runner and the worker share nothing but this module.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

RUNJOB_PATH = "/queue_job/runjob"
REPORT_DEAD_PATH = "/queue_job/report_dead"
# A job worker asks itself before it takes the first request.
WARM_UP_PATH = "/queue_job/warm_up"
# All that a job worker answers.
PATHS = "/queue_job/"
# Key of the WSGI environment of a request to a job worker; no header can set it.
JOB_WORKER = "queue_job.job_worker"
# A worker checks the signature of such a request, and does nothing else.
PING_PATH = "/queue_job/ping"
# Runners listen there for the names of databases in which jobs wait; each PostgreSQL has it.
WAKING_DATABASE = "postgres"
DATABASE_HEADER = "X-Odoo-Database"
SIGNATURE_HEADER = "X-Queue-Job-Signature"
REPORT_TYPE = "application/json"

# Jobs of a run at most: the request is spread thin enough, and the address of
# the request stays below four kilobytes.
MAX_LENGTH = 100
# Characters of a uuid. Most have 36, but a caller may give any text.
LONGEST_UUID = 255

# Seconds after which a worker starts no further job of its run: long enough
# that the cost of a request is spread over many short jobs, short enough that
# a channel's other jobs do not wait behind a run that turned out slow.
TIME_BUDGET = 0.5

DONE = "done"
FAILED = "failed"
POSTPONED = "postponed"
HELD = "held"
REFUSED = "refused"


def is_uuid(text):
    """Return whether a text can name a job in a request and in a line of the log."""
    return bool(text) and len(text) <= LONGEST_UUID and text.isprintable()


def join_uuids(uuids):
    """Return uuids as one text, whatever characters they have."""
    return ",".join(quote(uuid, safe="") for uuid in uuids)


def split_uuids(text):
    """Return the uuids of such a text."""
    return [unquote(uuid) for uuid in text.split(",") if uuid]


def signature(secret, database, uuids):
    """Return the hex proof that the sender of this run knows the secret."""
    message = "\n".join((database, *uuids)).encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


@dataclass
class Report:
    """The outcomes of the jobs of a run.

    ``outcomes`` holds ``(uuid, outcome, seconds)`` for each job looked at;
    ``left`` the uuids not looked at, which are still enqueued.
    """

    outcomes: list = field(default_factory=list)
    left: list = field(default_factory=list)

    def add(self, uuid, outcome, seconds=0.0):
        self.outcomes.append((uuid, outcome, round(seconds, 6)))

    def dumps(self):
        return json.dumps({"outcomes": self.outcomes, "left": self.left})

    @classmethod
    def loads(cls, text):
        """Parse an answer; ``ValueError`` or ``TypeError`` when it is not a report."""
        data = json.loads(text)
        if not isinstance(data, dict) or "outcomes" not in data:
            raise ValueError("not a report of a run")
        outcomes = [
            (str(uuid), str(outcome), float(seconds))
            for uuid, outcome, seconds in data["outcomes"]
        ]
        return cls(outcomes, [str(uuid) for uuid in data.get("left", ())])
