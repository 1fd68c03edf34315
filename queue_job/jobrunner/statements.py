# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Moved: statements to ``sql/``, ``Row`` to ``rows.py``. For what still imports them here."""

from ..sql import statements as sql
from .rows import Row

__all__ = ["Row"]

CANDIDATES = sql.candidates
CHANNEL_RECORDS = sql.channel_records
DEAD_JOBS = sql.parts["dead_jobs"]
FAILED = sql.failed_jobs
FAILED_CHANNELS = sql.failed_channels
FAIL_UNUSABLE = sql.fail_unusable
FORGOTTEN = sql.old_waiting.replace("%(age)s", "'1 minute'")
MODULES_CHANGING = sql.modules_changing
PLAIN_CHANNELS = sql.plain_channels
RANK = sql.parts["rank"].replace("{created}", sql.parts["created"])
READABLE_DATE = sql.parts["readable_date"]
RELEASE = sql.release_unblocked.replace("%(ids)s", "%s")
TIMED = sql.timed_candidates
TIMED_CHANNELS = sql.timed_channels
WAITING_CHANNELS = sql.waiting_channels
