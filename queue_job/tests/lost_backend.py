# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""End the PostgreSQL backend of a worker after any of its statements."""

import contextlib
import select
from unittest import mock

import psycopg2

from odoo.sql_db import Cursor, PsycoConnection


def end_backend(cr, registry):
    """End the backend of a cursor, as an administrator does; wait until it is gone."""
    pid = cr._cnx.get_backend_pid()
    with registry.cursor() as other:
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        select.select([cr._cnx.fileno()], [], [], 10)
        # Its last message is sent before its locks are free.
        while other.rowcount:
            other.execute(
                "SELECT pg_stat_clear_snapshot() FROM pg_stat_activity WHERE pid = %s",
                (pid,),
            )


def perform_with_lost_backend(registry, statements, is_answered, perform):
    """Perform on a cursor whose backend ends; return whether it came to that.

    The process lives on and does what it does after the errors that follow.

    :param statements: how many statements and commits come before the last one
    :param is_answered: whether the answer to the last one arrives; without, the error
        of the lost connection is raised by it
    :param perform: called with the cursor
    """
    cr = registry.cursor()
    cnx = cr._cnx
    left = iter(range(statements))
    is_over = False

    def counted(function):
        def call(own, *args, **options):
            nonlocal is_over
            result = function(own, *args, **options)
            if own in (cr, cnx) and not is_over and next(left, None) is None:
                is_over = True
                end_backend(cr, registry)
                if not is_answered:
                    cnx.cursor().execute("SELECT")
            return result

        return call

    with (
        mock.patch.object(Cursor, "execute", counted(Cursor.execute)),
        mock.patch.object(PsycoConnection, "commit", counted(PsycoConnection.commit)),
        contextlib.suppress(psycopg2.OperationalError, psycopg2.InterfaceError),
    ):
        perform(cr)
    cr.close()
    return is_over
