# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The work of a first request, done before there is one."""

from uuid import uuid4

from ..store import rows
from .lease import lock_first


def warm_up(env):
    """Read and claim a job that does not exist, as the first bundle of a process does.

    The registry, its routes and the connection are there already: the request that
    asks for this needed them. The rest are the caches of this process, and the
    functions that PostgreSQL compiles for each connection. Writes nothing and rolls back.

    :param env: superuser environment
    """
    jobs = env["queue.job"].sudo()
    uuids = [str(uuid4()), str(uuid4())]
    rows.read(jobs, "uuid", uuids)
    lock_first(env, uuids)
    jobs._has_write_overrides()
    env.cr.rollback()
