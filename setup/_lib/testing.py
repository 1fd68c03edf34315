"""``setup/test``: run the tests of the addons and of setup itself, and say how it went."""

import os
import subprocess
import sys
import time

from . import progress
from .bootstrap import REPO
from .databases import fresh_name
from .launch_odoo import NO_BROWSER_VARIABLE, WITHOUT_VARIABLE
from .postgres import HOST, free_port
from .process import Guarded, last_words, tail
from .results import RESULTS_VARIABLE, Tally
from .suite import SERVER_WIDE, Suite, choose_addons, find_addons

# The name that selects the tests of setup/ itself.
OWN = "setup"
OWN_TESTS = REPO / "setup" / "tests"
# Addons that the tests of another want installed beside it.
BESIDE = {
    "queue_job_batch": ("queue_job_cron_jobrunner", "queue_job_prevent_duplicates"),
    "queue_job_cron": ("queue_job_cron_jobrunner", "queue_job_prevent_duplicates"),
    "queue_job_prevent_duplicates": ("queue_job_cron_jobrunner",),
}
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
        options.addons or options.classes or options.tests or options.together
    )
    # Before the tests of setup/: a server that one of them starts would end with them.
    suite = Suite.provision(cache, options)
    if own_wanted and OWN_TESTS.is_dir():
        _run_own(cache, tally, options)
    if odoo_wanted:
        folders = [REPO, *suite.odoo.addons_paths[1:]]
        wanted = [name for name in options.addons if name != OWN]
        available = find_addons(folders)
        addons = choose_addons(available, wanted)
        if addons:
            server_wide = [*SERVER_WIDE, *({"queue_job"} & set(available))]
            for some in [addons] if options.together else [[name] for name in addons]:
                OdooRun(suite, some, server_wide, options).run(tally)
    return report(tally, time.monotonic() - started)


def _run_own(cache, tally, options):
    """Run the tests below setup/tests: plain unittest, in a process of its own."""
    results = cache.log("own-%d.results" % os.getpid())
    results.unlink(missing_ok=True)
    environment = {**os.environ, RESULTS_VARIABLE: str(results)}
    runner = REPO / "setup" / "_lib" / "run_unittests.py"
    log = cache.log("own-%d" % os.getpid())
    with (
        open(log, "w") as output,
        Guarded(
            [
                *(sys.executable, runner, OWN_TESTS),
                *(",".join(options.classes), ",".join(options.tests)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=None if options.verbose else output,
            stderr=None if options.verbose else subprocess.STDOUT,
            env=environment,
        ) as guarded,
    ):
        code = watch(guarded, results, "Tests of setup/")
    _collect(tally, results, code, log.read_text(errors="replace"), OWN)
    log.unlink()


def watch(guarded, results, title, log=None):
    """Wait for the end of tests and return the exit code; give up on stuck ones.

    :param log: shown before the first test
    """
    news, size = time.monotonic(), 0
    with progress.step(
        title, lambda: _place(results) or (last_words(log) if log else "")
    ):
        while True:
            try:
                return guarded.wait(0.5)
            except subprocess.TimeoutExpired:
                now = time.monotonic()
            known = results.stat().st_size if results.exists() else 0
            if known != size:
                size, news = known, now
            elif now - news > STALL:
                progress.say("    no news for %d s: ended" % STALL)
                guarded.stop()
                return 1


def _place(results):
    """Name the test at work, and how many came before it; empty before the first."""
    if not results.exists():
        return ""
    started = Tally().read(results.read_text().splitlines()).started
    names = [name.removeprefix("odoo.addons.") for name in started]
    return names and "test %d, %s" % (len(names), names[-1]) or ""


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
            title = "Tests of %s" % ", ".join(self.addons)
            return watch(odoo, self.results, title, self.log)

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
        if self.options.without:
            extra[WITHOUT_VARIABLE] = ",".join(self.options.without)
        return self.suite.odoo.environment(**extra)

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


def report(tally, seconds):
    """Print failures and the closing line; return the exit code."""
    for test, text in tally.failures:
        print("%s\nFAILED: %s\n%s" % (RULE, test, text.rstrip()))
    if tally.failures:
        print(RULE)
    passed, failed = len(tally.passed), len(tally.failed)
    if not passed and not failed:
        print("No test ran: nothing was tested.")
    print("Ended after %.0f s." % seconds)
    print(tally.skipped())
    print("%d passed, %d failed" % (passed, failed), flush=True)
    return 1 if failed or not passed else 0
