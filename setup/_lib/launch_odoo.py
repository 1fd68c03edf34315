"""Start Odoo's command line; with tests, record their results and what the log must not hold.

A script: ``launch_odoo.py ARGUMENTS``, with Odoo on PYTHONPATH. Odoo's own result object knows
exactly which tests ran; its log would have to be guessed from.
"""

import importlib.util
import inspect
import logging
import os
import re
import sys
import unittest
from pathlib import Path

NO_BROWSER_VARIABLE = "QUEUE_JOB_SUITE_NO_BROWSER"
WITHOUT_VARIABLE = "QUEUE_JOB_SUITE_WITHOUT"
# The bundles that a browser test of the web client loads. Odoo prepares thirty bundles
# before any HTTP test, half a minute of work; the others are made when they are asked for.
BUNDLES = {
    "web.assets_web",
    "web.assets_tests",
    "web.assets_frontend",
    "web.assets_frontend_lazy",
    "web.assets_frontend_minimal",
}
USES_BROWSER = re.compile(r"\b(browser_js|start_tour)\b")
NO_BROWSER = "browser tests are off (--no-browser)"


def load(name):
    """Load a file beside this one without putting the folder on the import path."""
    spec = importlib.util.spec_from_file_location(
        "queue_job_suite_" + name, Path(__file__).with_name(name + ".py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record_results(path):
    """Make Odoo's test result write its events to a file, besides what it does."""
    from odoo.tests.result import OdooTestResult

    results = load("results")
    recorder = results.Recorder(path)
    # The tests that run, to name one for what is logged.
    running = []
    outside = "log of the installation"

    def fault(text):
        recorder.note(results.FAILED, running[-1] if running else outside, text)

    logging.getLogger().addHandler(load("log_rule").LogRule(fault))

    def extend(name, before):
        original = getattr(OdooTestResult, name)

        def method(self, test, *args):
            before(self, test, *args)
            return original(self, test, *args)

        setattr(OdooTestResult, name, method)

    def failed(result, test, error):
        # Odoo repeats a test that is allowed to fail softly: that is no result yet.
        if not result._soft_fail:
            recorder.note_error(test, error)

    def started(_result, test):
        running.append(test)
        recorder.note(results.STARTED, test)

    def stopped(_result, test):
        nonlocal outside
        running.pop()
        outside = "log outside of tests, after %s" % test.id()
        recorder.note(results.PASSED, test)

    extend("startTest", started)
    extend("stopTest", stopped)
    extend("addSkip", lambda _result, *args: recorder.note(results.SKIPPED, *args))
    extend("addFailure", failed)
    extend("addError", failed)


def refuse_browsers():
    """Skip each test that wants a browser."""
    from odoo.tests.common import ChromeBrowser

    def executable(_browser):
        raise unittest.SkipTest(NO_BROWSER)

    ChromeBrowser.executable = property(executable)


def prepare_less():
    """Prepare bundles before the tests only for tests that start a browser, and only theirs."""
    from odoo.tests.suite import OdooSuite

    original = OdooSuite.has_http_case

    def has_http_case(suite):
        # Not importable before Odoo has set up the addons path.
        from odoo.addons.base.models.ir_qweb import IrQweb

        every = IrQweb._get_bundles_to_pregenarate
        if every.__name__ != "some":

            def some(records):
                return tuple(bundles & BUNDLES for bundles in every(records))

            IrQweb._get_bundles_to_pregenarate = some
        files = {inspect.getsourcefile(type(test)) for test in suite}
        return original(suite) and any(
            USES_BROWSER.search(Path(name).read_text()) for name in files
        )

    OdooSuite.has_http_case = has_http_case


def main():
    """Prepare what the environment asks for and hand over to Odoo."""
    # The folder of this script holds modules with common names.
    sys.path.pop(0)
    import odoo.cli

    for name in filter(None, os.environ.get(WITHOUT_VARIABLE, "").split(",")):
        # An import of it fails as if it were not installed.
        sys.modules[name] = None
    results = os.environ.pop("QUEUE_JOB_SUITE_RESULTS", None)
    if results:
        import odoo.tests.common

        record_results(results)
        prepare_less()
        if os.environ.get(NO_BROWSER_VARIABLE):
            refuse_browsers()
    odoo.cli.main()


if __name__ == "__main__":
    main()
