import logging
import unittest
from unittest import mock

from _lib import log_rule
from _lib.bootstrap import REPO
from _lib.process import Guarded
from _lib.results import RESULTS_VARIABLE, Tally
from _lib.suite import Suite, find_addons


class TestLogRule(unittest.TestCase):
    """A WARNING in the log of a test run is a failure (A1): logs of tests went unread."""

    def setUp(self):
        super().setUp()
        self.faults = []
        handler = log_rule.LogRule(self.faults.append)
        root = logging.getLogger()
        root.addHandler(handler)
        self.addCleanup(root.removeHandler, handler)
        self.logger = logging.getLogger("odoo.addons.some")

    def test_warning_and_above_count(self):
        for level in ("debug", "info", "warning", "error", "critical"):
            getattr(self.logger, level)("job %s: lost", 7)
        self.assertEqual(
            self.faults,
            [
                "%s odoo.addons.some: job 7: lost" % level
                for level in ("WARNING", "ERROR", "CRITICAL")
            ],
        )

    def test_arguments_that_do_not_fit(self):
        with mock.patch.object(logging, "raiseExceptions", False):
            self.logger.warning("job %d", "seven")
        self.assertIn("job %d % ('seven',)", self.faults[0])

    def test_traceback_is_shown(self):
        try:
            raise ValueError("boom")
        except ValueError:
            self.logger.exception("failed")
        self.assertIn("ValueError: boom", self.faults[0])

    def test_provoked_on_purpose(self):
        with self.assertLogs(self.logger, "WARNING"):
            self.logger.warning("expected")
        self.assertEqual(self.faults, [])

    def test_exception_has_a_reason_and_fits_one_logger(self):
        for name, words, reason in log_rule.EXCEPTIONS:
            self.assertTrue(name and words and len(reason) > 20)
        text = "Could not get content for mail/static/lib/selfie_segmentation/x.js"
        name = "odoo.addons.base.models.assetsbundle"
        self.assertTrue(log_rule.is_excepted(name, text))
        self.assertFalse(log_rule.is_excepted("odoo.addons.queue_job", text))
        self.assertFalse(log_rule.is_excepted(name, "Could not get content for x"))


class TestUpdate(unittest.TestCase):
    def test_update_of_every_addon_logs_no_warning(self):
        """Installation is watched by each test run; an update reads other things."""
        suite = Suite.without_options()
        addons = list(find_addons([REPO]))
        with suite.database("update", addons) as database:
            results = suite.cache.log("update-%s" % database)
            self.addCleanup(results.unlink, missing_ok=True)
            log = suite.cache.log(database)
            command = suite.odoo.command(
                *("-d", database, "-u", ",".join(addons)),
                *("--stop-after-init", "--no-http", "--max-cron-threads=0"),
            )
            environment = suite.odoo.environment(**{RESULTS_VARIABLE: str(results)})
            with (
                open(log, "w") as output,
                Guarded(
                    command, stdout=output, stderr=output, env=environment
                ) as update,
            ):
                self.assertEqual(update.wait(), 0)
            faults = Tally().read(results.read_text().splitlines()).failures
        self.assertEqual(faults, [])
        log.unlink()
