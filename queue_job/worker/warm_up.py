# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The work of a first request, done before there is one."""


def warm_up(_doors, env):
    """Load what the first bundle of a process would load; writes nothing.

    :param _doors: class of the worker
    :param env: superuser environment; its cursor is read only and not committed
    """
    env["queue.job"].sudo().search([], limit=1)
