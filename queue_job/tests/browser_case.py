# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What tests in a browser share: pages of this transaction, or of a queue that runs."""

import logging
import threading
from contextlib import contextmanager
from unittest import mock

from odoo.tests import HttpCase
from odoo.tests.common import _super_send
from odoo.tools.misc import file_path

from ..jobrunner.runner import QueueJobRunner
from .committed_case import OwnCursors

# Debian's package of Odoo comes without this library of mail: each page would say so on
# its console, and a test in a browser ends at the first such line.
LEFT_OUT = "mail/static/lib/selfie_segmentation/selfie_segmentation.js"


def leave_out_missing_library(env):
    """Return the record that takes the library out of the page, empty if it is there."""
    assets = env["ir.asset"]
    try:
        file_path(LEFT_OUT)
    except FileNotFoundError:
        return assets.create(
            {
                "name": LEFT_OUT,
                "bundle": "web.assets_backend",
                "directive": "remove",
                "path": LEFT_OUT,
            }
        )
    return assets


@contextmanager
def logged_warnings():
    """Yield the list that collects warnings and errors of the server and of the console."""
    messages = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("odoo")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


class BrowserCase(HttpCase):
    """Tests in a browser, also with Debian's Odoo.

    A page that logs a warning or an error fails its test, on the console or on the server.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if cls.registry_test_mode:
            leave_out_missing_library(cls.env)

    def generate_debug_assets(self, *bundles):
        """Generate what ``?debug=assets`` loads; requests that do wait too long for it."""
        for name in bundles:
            bundle = self.env["ir.qweb"]._get_asset_bundle(name, debug_assets=True)
            bundle.css()
            bundle.js()

    def browser_js(self, *args, **kwargs):
        # Odoo fails on errors of the console alone, and only on those before the end.
        with logged_warnings() as messages:
            result = super().browser_js(*args, **kwargs)
        self.assertFalse(messages)
        return result


class LiveBrowserCase(OwnCursors, BrowserCase):
    """Pages whose requests commit, while a runner sends jobs to the server of the test.

    What is committed is removed afterwards.
    """

    registry_test_mode = False

    @classmethod
    def _request_handler(cls, s, r, /, **kw):
        # That of Odoo knows no timeout of two numbers, as the runner has.
        return _super_send(s, r, **kw)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.startClassPatcher(
            mock.patch.object(
                cls.registry, "check_signaling", return_value=cls.registry
            )
        )

    def setUp(self):
        super().setUp()
        with self.new_env() as env:
            self.asset_ids = leave_out_missing_library(env).ids
            env.cr.execute("SELECT id, state FROM queue_job")
            self.parked = env.cr.fetchall()
            # Not ours to run.
            env.cr.execute("UPDATE queue_job SET state = 'cancelled'")
            env.cr.execute("DELETE FROM queue_job_minute")
        self.addCleanup(self._remove_committed)
        self._start_runner()

    def _remove_committed(self):
        with self.new_env() as env:
            ids = [job_id for job_id, _state in self.parked]
            env.cr.execute("DELETE FROM queue_job WHERE id != ALL(%s)", [ids])
            env.cr.execute("DELETE FROM queue_job_minute")
            for job_id, state in self.parked:
                env.cr.execute(
                    "UPDATE queue_job SET state = %s WHERE id = %s", [state, job_id]
                )
            env["ir.asset"].browse(self.asset_ids).unlink()

    def _start_runner(self):
        runner = QueueJobRunner(
            host="127.0.0.1", port=self.http_port(), channel_config_string="root:4"
        )
        runner.get_db_names = lambda: [self.registry.db_name]
        ready = threading.Event()
        runner.on_round = lambda _runner: ready.set()
        thread = threading.Thread(target=runner.run)
        thread.start()
        self.addCleanup(thread.join, 20)
        self.addCleanup(runner.stop)
        self.assertTrue(ready.wait(20))
