"""``setup/test``: run the tests of the addons and of setup itself, and say how it went."""

import os
import shutil
import subprocess
import sys
import time

from . import progress
from .bootstrap import REPO
from .databases import fresh_name
from .launch_odoo import NO_BROWSER_VARIABLE
from .postgres import HOST, free_port
from .process import Guarded, tail
from .proxy import find_nginx
from .results import RESULTS_VARIABLE, Tally
from .suite import SERVER_WIDE, Suite, choose_addons, find_addons

# The name that selects the tests of setup/ itself.
OWN = "setup"
OWN_TESTS = REPO / "setup" / "tests"
# Addons that the tests of another want installed beside it.
BESIDE = {"queue_job_prevent_duplicates": ("queue_job_cron_jobrunner",)}
BROWSERS = ("google-chrome", "chromium", "chromium-browser", "google-chrome-stable")
RULE = "=" * 70
# Seconds without news from the tests after which they are taken for stuck. The longest
# silence is one test class's set-up or one browser test.
STALL = 900


def test_tags(addons, classes=(), tests=()):
    """Return Odoo's --test-tags for addons, narrowed to classes and test methods."""
    return ",".join(
        "/%s%s%s" % (addon, name and ":" + name, test and "." + test)
        for addon in addons
        for name in classes or ("",)
        for test in tests or ("",)
    )


def main(options, cache):
    """Run the tests; return the exit code."""
    tally = Tally()
    started = time.monotonic()
    odoo_wanted = set(options.addons) != {OWN}
    own_wanted = OWN in options.addons or not (
        options.addons or options.classes or options.tests
    )
    own_ran = own_wanted and OWN_TESTS.is_dir()
    # Before the tests of setup/: a server that one of them starts would end with them.
    suite = Suite.provision(cache, options)
    if own_ran:
        _run_own(cache, tally, options)
    if odoo_wanted:
        folders = [REPO, *suite.odoo.addons_paths[1:]]
        wanted = [name for name in options.addons if name != OWN]
        available = find_addons(folders)
        addons = choose_addons(available, wanted)
        if addons:
            server_wide = [*SERVER_WIDE, *({"queue_job"} & set(available))]
            # One database an addon: queue_job_prevent_duplicates, once installed,
            # refuses jobs that the tests of the others store.
            for addon in addons:
                OdooRun(suite, [addon], server_wide, options).run(tally)
            _warn_without_browser()
    if own_ran:
        _warn_without_nginx()
    return report(tally, time.monotonic() - started)


def _run_own(cache, tally, options):
    """Run the tests below setup/tests: plain unittest, in a process of its own."""
    results = cache.log("own-%d.results" % os.getpid())
    results.unlink(missing_ok=True)
    environment = {**os.environ, RESULTS_VARIABLE: str(results)}
    progress.say("==> Tests of setup/")
    runner = REPO / "setup" / "_lib" / "run_unittests.py"
    out = None if options.verbose else subprocess.PIPE
    with Guarded(
        [
            *(sys.executable, runner, OWN_TESTS),
            *(",".join(options.classes), ",".join(options.tests)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out and subprocess.STDOUT,
        env=environment,
        text=True,
    ) as guarded:
        output = guarded.popen.communicate()[0]
        code = guarded.wait()
    _collect(tally, results, code, output or "", OWN)


def _collect(tally, results, code, output, name):
    """Count the results of one process, and its crash where they do not explain its exit."""
    before = len(tally.failed)
    if results.exists():
        tally.read(results.read_text().splitlines())
        results.unlink()
    for test in tally.unfinished:
        tally.fail(test, "The process ended while this test ran.")
    if code and len(tally.failed) == before:
        tally.fail(name, "The process ended with exit code %s.\n%s" % (code, output))


class OdooRun:
    """One Odoo process that installs the addons in a fresh database and runs their tests."""

    def __init__(self, suite, addons, server_wide, options):
        self.suite = suite
        self.addons = addons
        self.server_wide = server_wide
        self.options = options
        self.database = fresh_name("test")
        self.log = suite.cache.log(self.database)
        self.results = suite.cache.log(self.database + ".results")

    def run(self, tally):
        """Run, count into ``tally``, and leave no database unless asked to."""
        mark = self.suite.claim(self.database)
        try:
            self.suite.databases.clone(self.suite.template, self.database)
            code = self._odoo()
            self._judge(tally, code)
        finally:
            if self.options.keep_db:
                self.suite.keep(self.database)
                progress.say("The database %s is kept." % self.database)
            else:
                self.suite.discard(self.database)
            mark.release()
        if tally.failures:
            progress.say("Odoo's log: %s" % self.log)
        else:
            self.log.unlink(missing_ok=True)

    def _odoo(self):
        command = self.suite.odoo.command(
            "-d",
            self.database,
            "-i",
            ",".join([*self.addons, *self._beside()]),
            "--test-enable",
            "--test-tags="
            + test_tags(self.addons, self.options.classes, self.options.tests),
            "--load=" + ",".join(self.server_wide),
            "--stop-after-init",
            "--http-interface=" + HOST,
            "--http-port=%d" % free_port(),
            "--max-cron-threads=0",
        )
        progress.say("==> Tests of %s" % ", ".join(self.addons))
        with (
            open(self.log, "w") as log,
            Guarded(
                command,
                grace=15,
                stdin=subprocess.DEVNULL,
                stdout=None if self.options.verbose else log,
                stderr=None if self.options.verbose else subprocess.STDOUT,
                env=self._environment(),
            ) as odoo,
        ):
            return self._watch(odoo)

    def _beside(self):
        return [other for addon in self.addons for other in BESIDE.get(addon, ())]

    def _environment(self):
        extra = {
            RESULTS_VARIABLE: str(self.results),
            # The runner stays off: tests run their jobs themselves.
            "ODOO_QUEUE_JOB_CHANNELS": "root:0",
        }
        if self.options.no_browser:
            extra[NO_BROWSER_VARIABLE] = "1"
        return self.suite.odoo.environment(**extra)

    def _watch(self, odoo):
        """Wait for the end, showing how many tests are done; give up on stuck ones."""
        shown, said, news, size = 0, time.monotonic(), time.monotonic(), 0
        while True:
            try:
                return odoo.wait(0.5)
            except subprocess.TimeoutExpired:
                now = time.monotonic()
            known = self.results.stat().st_size if self.results.exists() else 0
            if known != size:
                size, news = known, now
            elif now - news > STALL:
                progress.say("    no news for %d s: ended" % STALL)
                odoo.stop()
                return 1
            if now - said >= progress.HEARTBEAT and size:
                tally = Tally().read(self.results.read_text().splitlines())
                if len(tally.started) != shown:
                    shown, said = len(tally.started), now
                    progress.say("    ... %d tests so far" % shown)

    def _judge(self, tally, code):
        _collect(tally, self.results, code, "", "odoo")
        missing = set(self.addons) - self.suite.databases.installed(
            self.database, self.addons
        )
        if missing or (code and "odoo" in tally.failed):
            tally.fail(
                "installation of %s" % ", ".join(sorted(missing or self.addons)),
                "End of Odoo's log:\n%s" % tail(self.log, 60),
            )


def _warn_without_browser():
    if not any(map(shutil.which, BROWSERS)):
        _warn(
            "NO BROWSER TEST RAN: no Chromium or Chrome is on the PATH."
            " Install one (Debian: chromium)."
        )


def _warn_without_nginx():
    if not find_nginx():
        _warn(
            "NO TEST OF SEVERAL NODES RAN: there is no nginx."
            " Install it (Debian: nginx-light)."
        )


def _warn(text):
    print("%s\n%s\n%s" % ("!" * 70, text, "!" * 70))


def report(tally, seconds):
    """Print failures and the closing line; return the exit code."""
    for test, text in tally.failures:
        print("%s\nFAILED: %s\n%s" % (RULE, test, text.rstrip()))
    if tally.failures:
        print(RULE)
    for reason, count in tally.reasons():
        print("skipped %d: %s" % (count, reason))
    passed, failed = len(tally.passed), len(tally.failed)
    if not passed and not failed:
        print("No test ran: nothing was tested.")
    print("Ended after %.0f s." % seconds)
    print("%d passed, %d failed" % (passed, failed), flush=True)
    return 1 if failed or not passed else 0
