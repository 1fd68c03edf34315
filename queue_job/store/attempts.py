# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The attempts of a job that did not end as done."""

from ..sql import statements as sql
from ..utils import SHORT_TEXT, storable_text

# Characters that are kept of each text.
LIMITS = {
    "exc_name": SHORT_TEXT,
    "exc_message": SHORT_TEXT,
    "exc_info": 4 * SHORT_TEXT,
}
# Of a job that is tried for ever, the last ones are enough to see why.
KEPT = 50


def keep(record, outcome, number, error):
    """Keep the error of the attempt that just ended; the state is written after.

    By SQL, so that it works when the ORM is the cause; the caller commits.

    :param record: the row of the job
    :param number: of the attempt
    :param error: dict of exc_name, exc_message and exc_info
    """
    values = {name: storable_text(error.get(name), LIMITS[name]) for name in LIMITS}
    values.update(job=record.id or None, outcome=outcome, number=number, kept=KEPT)
    record.env.cr.execute(sql.keep_attempt, values)
    record.env.cr.execute(sql.drop_old_attempts, values)
    record.invalidate_recordset(["attempt_ids"])
