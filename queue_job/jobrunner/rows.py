# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Rows that cannot be scheduled are set aside, each alone.

SQL, an import or an older version may have put anything into a column. A row that
no worker could load, or that the channels cannot place, is logged once with the
reason and left out; all others go on. Both schedulers place their rows through this.
"""

import logging
from typing import NamedTuple

from ..channels import fault_of_name
from ..channels.queue import rank_of
from ..protocol import LONGEST_UUID, is_uuid

_logger = logging.getLogger(__package__ + ".runner")

# Rows remembered as logged.
MOST_LOGGED = 10_000
# The dates as which the column is read when Python has no such date.
OUT_OF_RANGE = ("0001-01-01 00:00:00", "9999-12-31 23:59:59")


class Row(NamedTuple):
    """The columns of a job that the runner reads."""

    channel: str | None
    uuid: str
    id: int
    date_created: object
    priority: int | None
    eta: float | None
    state: str
    function: str | None

    @property
    def rank(self):
        return rank_of(self.priority, self.date_created, self.id)


def fault_of(row):
    """Return why a job can never run, or None."""
    if not is_uuid(row.uuid):
        return (
            f"its uuid is empty, not printable or longer than {LONGEST_UUID} characters"
        )
    if str(row.date_created) in OUT_OF_RANGE:
        return "its date of creation is out of range"
    return fault_of_name(row.channel)


class RowGuard:
    """Places rows, and sets aside those that cannot be placed.

    :param fail: called with the id and the reason of a pending job that can never run
    :param logged: set of what was logged already
    """

    def __init__(self, db_name, fail, logged=None):
        self._db_name = db_name
        self._fail = fail
        self._logged = set() if logged is None else logged

    def place(self, place, row):
        """Return what ``place`` returns for the row, None when it is set aside."""
        reason, error = fault_of(row), None
        if reason is None:
            try:
                return place(row)
            except Exception as raised:  # noqa: BLE001 any value of a row
                reason, error = f"{type(raised).__name__}: {raised}", raised
        if (row.id, reason) not in self._logged:
            if len(self._logged) >= MOST_LOGGED:
                self._logged.clear()
            self._logged.add((row.id, reason))
            _logger.error(
                "job %.300r (id %s) of db %s: set aside, because %s",
                *(row.uuid, row.id, self._db_name, reason),
                exc_info=error,
            )
        if error is None and row.state == "pending":
            self._fail(row.id, reason)
        return None
