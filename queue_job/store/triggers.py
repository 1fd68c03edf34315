# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The triggers: those that notify the runner, and those that keep the reservations of keys."""

from ..sql import statements as sql


def install(cr, *tables):
    """Replace the functions of tables' triggers; make triggers that are not as they should be.

    The caller commits. ``Database.check_triggers`` of the runner restores single ones.
    """
    cr.execute(sql.triggers_of, {"tables": list(tables)})
    functions = dict(cr.fetchall())
    for name in dict.fromkeys(functions.values()):
        cr.execute(getattr(sql, name))
    cr.execute(sql.make_triggers, {"names": list(functions)})
