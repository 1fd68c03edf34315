# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A cron worker that replaces one which died."""

import os
import select
from unittest.mock import patch

from odoo.service.server import WorkerCron
from odoo.tests import BaseCase

from .. import server


class TestCronWorker(BaseCase):
    def test_a5_new_worker_does_not_sleep_first(self):
        """One death stopped all jobs of the cron runner for up to 65 seconds."""
        worker = WorkerCron.__new__(WorkerCron)
        reader, worker.wakeup_fd_w = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, worker.wakeup_fd_w)
        with patch.object(server, "_start") as start:
            worker.start()
        start.assert_called_once_with(worker)
        self.assertEqual(select.select([reader], [], [], 0)[0], [reader])
