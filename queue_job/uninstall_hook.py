# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tools import SQL

FUNCTIONS = r"""
SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc
WHERE proname LIKE 'queue\_job\_%' AND pronamespace = current_schema()::regnamespace
"""


def uninstall_hook(env):
    """Drop the functions in the database, of which Odoo does not know, and their triggers.

    The prefix is that of this addon and of those that need it, which go with it.
    """
    env.cr.execute(FUNCTIONS)
    (functions,) = env.cr.fetchone()
    if functions:
        env.cr.execute(SQL("DROP FUNCTION %s CASCADE", SQL(functions)))
