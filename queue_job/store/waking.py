# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Wake the runner of a dormant database, after the commit of its first job.

A runner lets go of a database that was silent for ``dormant_after`` seconds, and listens
in the database ``postgres`` instead (see ``jobrunner/dormant.py``). So a process that
delays a job asks after its commit, there and in one message, whether a runner is elected,
and notifies if not.

Not after each commit. A job that was created is noise: a runner stays awake for
``dormant_after`` seconds behind it, and one that is started later opens a database in
which a job was created lately. So a process that asked after the commit of a new job need
not ask again for half of that time; the other half is for clocks that differ and commits
that take long. Jobs that are moved by hand leave no such trace: they rely on the last
new one, or ask. A job that delays others does not ask: its database is awake.
"""

import contextlib
import logging
import threading
import time
from functools import partial

import psycopg2

from odoo.sql_db import PoolError, db_connect

from ..configuration import dormant_after
from ..protocol import WAKING_DATABASE
from ..sql import statements as sql

_logger = logging.getLogger(__name__)

# Key of the data of the hook of a transaction.
_HOOKED = "queue_job.waking"
# Seconds until a database that could not be reached is tried again.
RETRY = 30

_inside = threading.local()
# By database, the time of a new job after whose commit this process asked.
_asked = {}
_failed_at = {}


@contextlib.contextmanager
def inside_job(db_name):
    """Ask nothing of this database in this thread: it performs a job there, so it is awake."""
    before = getattr(_inside, "db_name", None)
    _inside.db_name = db_name
    try:
        yield
    finally:
        _inside.db_name = before


def after_commit(cr, is_new=False):
    """Wake a dormant database once this transaction is committed, if that may be needed.

    :param is_new: a job was created just now; else one was moved
    """
    if getattr(_inside, "db_name", None) == cr.dbname or not dormant_after():
        return
    data = cr.postcommit.data
    if _HOOKED not in data:
        data[_HOOKED] = None
        cr.postcommit.add(partial(_wake, cr.dbname, data))
    if is_new and data[_HOOKED] is None:
        data[_HOOKED] = time.time()


def _wake(db_name, data):
    """Ask and notify, in one message; never raises."""
    created, now = data.get(_HOOKED), time.time()
    if 0 <= now - _asked.get(db_name, 0) < dormant_after() / 2:
        return
    if 0 <= now - _failed_at.get(db_name, 0) < RETRY:
        return
    try:
        with db_connect(WAKING_DATABASE).cursor() as cr:
            cr.connection.autocommit = True
            try:
                cr.execute(sql.wake, {"name": db_name}, log_exceptions=False)
            finally:
                if not cr.connection.closed:
                    cr.connection.autocommit = False
    except (psycopg2.Error, PoolError) as error:
        if not _failed_at:
            _logger.warning(
                "db %s: cannot wake a runner there, a dormant database waits for a visit: %s",
                *(WAKING_DATABASE, str(error).strip() or repr(error)),
            )
        _failed_at[db_name] = now
        return
    _failed_at.pop(db_name, None)
    if created is not None:
        _asked[db_name] = created
