# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A new cron worker looks at once for what it may do.

Odoo's cron workers sleep for a minute before they look, also the one that replaces
a worker which died: until then the jobs that are left wait. It holds where
the main process has loaded this addon: for a database of ``db_name``, or as a
server-wide module.
"""

import os

from odoo.service import server

_start = server.WorkerCron.start


def _start_and_look(self):
    _start(self)
    os.write(self.wakeup_fd_w, b".")


server.WorkerCron.start = _start_and_look
