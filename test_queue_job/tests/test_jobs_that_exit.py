# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Jobs that raise what is no ``Exception`` fail; their worker goes on."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

from odoo.tests import tagged
from odoo.tools import mute_logger

from .common import CONTROLLER_LOGGER
from .test_runs import RunCase


class Stop(BaseException):
    """As ``gevent.Timeout`` and ``GreenletExit``."""


@tagged("post_install", "-at_install")
class TestJobsThatExit(RunCase):
    def setUp(self):
        super().setUp()
        self.enterContext(mute_logger(CONTROLLER_LOGGER))

    def perform_raising(self, error, **properties):
        """Perform a job that raises, and one behind it; return the row of the first."""

        def first(records, value):
            records.name = "never written"
            raise error

        uuids = [
            self.delay("return_value", 1, **properties),
            self.delay("write_name", "after it"),
        ]
        with mock.patch.object(self.model_class, "return_value", first):
            # Signals reach the main thread, requests are served by others.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(self.perform, uuids).result()
        self.assertEqual(self.states(uuids)[1], "done")
        self.assertEqual(self.name_of_record(), "after it")
        return self.columns(
            uuids[0], "state", "retry", "exc_name", "exc_message", "exc_info"
        )

    def test_a08_job_that_exits_fails_and_its_worker_goes_on(self):
        """A command-line library ended the worker process, once per try."""
        for error, name, message in (
            (SystemExit(3), "SystemExit", "3"),
            (KeyboardInterrupt("of a library"), "KeyboardInterrupt", "of a library"),
            (GeneratorExit(), "GeneratorExit", False),
            (Stop("now"), f"{__name__}.Stop", "now"),
        ):
            with self.subTest(name):
                row = self.perform_raising(error)
                info = row.pop("exc_info")
                self.assertEqual(
                    row,
                    {
                        "state": "failed",
                        "retry": 1,
                        "exc_name": name,
                        "exc_message": message,
                    },
                )
                self.assertIn("raise error", info)
                self.assertNotIn("WorkerExitError", info)

    def test_a08_exit_in_a_hook_before_the_commit(self):
        """What a job leaves for its commit is its own too."""

        def first(records, value):
            records.env.cr.precommit.add(sys.exit)

        uuids = [self.delay("return_value", 1), self.delay("without_docstring")]
        with mock.patch.object(self.model_class, "return_value", first):
            self.perform(uuids)
        self.assertEqual(self.states(uuids), ["failed", "done"])

    def test_a08_exit_in_a_hook_after_the_commit(self):
        def first(records, value):
            records.env.cr.postcommit.add(sys.exit)

        uuids = [self.delay("return_value", 1), self.delay("without_docstring")]
        with mock.patch.object(self.model_class, "return_value", first):
            self.perform(uuids)
        self.assertEqual(self.states(uuids), ["done", "done"])

    def test_a08_exit_in_the_hook_of_a_failed_job(self):
        uuids = [self.delay("with_fail_hook", "name"), self.delay("without_docstring")]
        with mock.patch.object(
            self.model_class, "fail_hook", lambda records, **kw: sys.exit(2)
        ):
            self.perform(uuids)
        self.assertEqual(self.states(uuids), ["failed", "done"])
        info = self.columns(uuids[0], "exc_info")["exc_info"]
        self.assertIn("the hook should know", info)
        self.assertIn("SystemExit: 2", info)

    def test_a08_exit_of_an_override_that_hears_of_the_start(self):
        write = type(self.env["queue.job"]).write

        def exiting(records, vals):
            if vals.get("state") == "started" and records.uuid == uuids[0]:
                sys.exit(2)
            return write(records, vals)

        uuids = self.delay_many(("testing_method",), ("without_docstring",))
        with mock.patch.object(type(self.env["queue.job"]), "write", exiting):
            self.perform(uuids)
        self.assertEqual(self.states(uuids)[1], "done")
        self.assertNotEqual(self.states(uuids)[0], "done")

    def test_a08_ctrl_c_keeps_its_meaning(self):
        """In the main thread, where signals are handled."""
        self.assertIs(threading.current_thread(), threading.main_thread())
        uuid = self.delay("return_value", 1)
        with (
            mock.patch.object(
                self.model_class,
                "return_value",
                mock.Mock(side_effect=KeyboardInterrupt),
            ),
            self.assertRaises(KeyboardInterrupt),
        ):
            self.perform([uuid])
        self.assertEqual(self.states([uuid]), ["started"])

    def test_a08_job_alone_in_its_request_raises_an_exception(self):
        """The answer is 500, as for each failure, and not the end of the worker."""
        uuid = self.delay("return_value", 1)
        with mock.patch.object(
            self.model_class, "return_value", lambda records, value: sys.exit(4)
        ):
            error = self.acquire_and_run(uuid)
        self.assertIsInstance(error, Exception)
        self.assertEqual(
            self.columns(uuid, "state", "exc_name"),
            {"state": "failed", "exc_name": "SystemExit"},
        )
