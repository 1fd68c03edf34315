# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The writer of states: each move of the table in ``states.py``, as an UPDATE.

Moves by people and outcomes go through ``queue.job.write``, because modules override it.
A claim and the end of a job that is done are written by functions in the database
where no override would see them: the ORM is half of the time of a short job.
"""

from odoo.tools import SQL

from ..sql import statements as sql
from ..states import DONE, MOVES

# Key of the cursor's cache.
_HELD = "queue_job.held_writes"
# The columns that the end of a job that is done writes; the result only where there is one.
FINISH_COLUMNS = {"state", *MOVES["finish"].sets}


def move(jobs, name, **values):
    """Move jobs by the table, with the columns that the move sets; the caller commits.

    :param jobs: records of queue.job
    :param name: of a move in ``states.MOVES``
    """
    if jobs:
        jobs._editor().write(MOVES[name].values(**values))


# Writes that are held -------------------------------------------------------


def hold_writes(cr, first):
    """Hold the writes of jobs that are done from now on; :func:`send` sends them.

    :return: the list of what is held, which begins with ``first``
    """
    held = cr.cache[_HELD] = [first]
    return held


def drop_held(cr):
    """Hold no writes any more, and forget those that were not sent."""
    cr.cache.pop(_HELD, None)


def send_held(cr, held, last):
    """Hold no writes any more; send what is still held, and a last statement with it.

    :param held: what :func:`hold_writes` gave; the cache may have been emptied by
        a hook that rolled back to a savepoint of its own
    """
    cr.cache.pop(_HELD, None)
    if held:
        cr.execute(SQL("; ").join([*held, last]))


def send(cr, statement=None):
    """Execute a statement, and before it the writes that are held, in one message."""
    held = cr.cache.get(_HELD, [])
    statements = held + [statement] if statement else held
    if statements:
        cr.execute(SQL("; ").join(statements))
        held.clear()


def finish(record, values):
    """Write a row that is done past the ORM, if nothing of it waits to be flushed.

    Return whether it was written, or is held.
    """
    dirty = record.env._field_dirty
    for name in FINISH_COLUMNS:
        if record.id in dirty.get(record._fields[name], ()):
            return False
    if not write_finished(record, [values]):
        return False
    forget_cached(record)
    return True


def write_finished(record, vals_list):
    """Write a row that is done by a function, if there is no more to write.

    Return whether it was written, or is held.
    """
    vals = vals_list[0]
    if len(vals_list) > 1 or vals.get("state") != DONE or None in vals.values():
        return False
    if vals.keys() | {"result"} != FINISH_COLUMNS:
        return False
    cr = record.env.cr
    statement = SQL(sql.write_done, job=record.id, **{"result": None, **vals})
    held = cr.cache.get(_HELD)
    if held is None:
        cr.execute(statement)
    else:
        held.append(statement)
    return True


def forget_cached(record):
    """Let the row be read anew, if it is in the cache."""
    if record.id in record._fields["state"]._get_cache(record.env):
        record.invalidate_recordset()
