# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import functools
import logging

from psycopg2.errors import SerializationFailure

from odoo import SUPERUSER_ID, api
from odoo.tools import mute_logger

_logger = logging.getLogger(__name__)

TRIES = 5


def post_init_hook(env):
    """Let the jobs that wait already block their duplicates."""
    try:
        with env.cr.savepoint(), mute_logger("odoo.sql_db"):
            env["queue.job"]._watch_stored_jobs()
    except SerializationFailure:
        # A worker has moved a job since this transaction began to look.
        env.cr.postcommit.add(functools.partial(_watch_now, env.registry))


def _watch_now(registry):
    for _try in range(TRIES):
        try:
            with registry.cursor() as cr:
                env = api.Environment(cr, SUPERUSER_ID, {})
                env["queue.job"]._watch_stored_jobs()
                return
        except SerializationFailure:
            continue
    _logger.warning("jobs stored before the installation may get a duplicate")


def uninstall_hook(env):
    """Take back what only this addon reads."""
    env["queue.job"]._forget_stored_jobs()
