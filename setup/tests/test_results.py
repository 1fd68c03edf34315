import io
import tempfile
import unittest
from contextlib import redirect_stdout
from pathlib import Path

from _lib import results, run_unittests, testing
from _lib.results import FAILED, PASSED, SKIPPED, STARTED


def tally(*events):
    """Return a Tally of (event, test, text) written and read as processes do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results"
        recorder = results.Recorder(path)
        for event in events:
            recorder.note(*event)
        return results.Tally().read(path.read_text().splitlines())


def report(counted):
    """Return the exit code and the printed lines for a Tally."""
    output = io.StringIO()
    with redirect_stdout(output):
        code = testing.report(counted, 1)
    return code, output.getvalue().splitlines()


def case(name):
    """Return a class of two tests."""
    methods = dict.fromkeys(("test_a", "test_b"), lambda self: None)
    return type(name, (unittest.TestCase,), methods)


class TestTally(unittest.TestCase):
    def test_each_test_counts_once_at_its_worst(self):
        counted = tally(
            (STARTED, "good"),
            (PASSED, "good"),
            (STARTED, "two bad subtests"),
            (FAILED, "two bad subtests", "a"),
            (FAILED, "two bad subtests", "b"),
            (PASSED, "two bad subtests"),
            (STARTED, "skipped"),
            (SKIPPED, "skipped", "no browser"),
            (PASSED, "skipped"),
        )
        self.assertEqual(counted.passed, {"good"})
        self.assertEqual(counted.failed, {"two bad subtests"})
        self.assertEqual(counted.skipped(), "skipped 1 (no browser: skipped)")

    def test_class_without_setup_is_a_failure(self):
        counted = tally((FAILED, "setUpClass (x)", "boom"))
        self.assertEqual(report(counted)[1][-1], "0 passed, 1 failed")

    def test_died_in_a_test(self):
        counted = tally((STARTED, "a"), (PASSED, "a"), (STARTED, "b"))
        self.assertEqual(counted.unfinished, ["b"])
        self.assertEqual(counted.passed, {"a"})

    def test_half_a_line_is_dropped(self):
        counted = results.Tally().read(['{"event": "started", "te'])
        self.assertEqual(counted.started, {})


class TestChoice(unittest.TestCase):
    """Which tests of setup/ are run."""

    def chosen(self, classes=(), names=()):
        loader = unittest.TestLoader()
        cases = case("One"), case("Two")
        suite = unittest.TestSuite(map(loader.loadTestsFromTestCase, cases))
        suite.addTests([loader.loadTestsFromName("nowhere.at_all")])
        chosen = run_unittests.choose(suite, classes, names)
        return [test.id().rpartition("test_results.")[2] for test in chosen]

    def test_all_unless_asked(self):
        self.assertEqual(len(self.chosen()), 5)

    def test_by_class_and_method(self):
        self.assertEqual(self.chosen(["Two"])[:-1], ["Two.test_a", "Two.test_b"])
        self.assertEqual(self.chosen((), ["test_a"])[:-1], ["One.test_a", "Two.test_a"])
        self.assertEqual(self.chosen(["One"], ["test_b"])[:-1], ["One.test_b"])

    def test_what_cannot_be_loaded_is_no_choice(self):
        self.assertIn("nowhere", self.chosen(["One"])[-1])


class TestReport(unittest.TestCase):
    def test_closing_line_and_exit_code(self):
        passed = tally((STARTED, "a"), (PASSED, "a"))
        code, lines = report(passed)
        self.assertEqual((code, lines[-1]), (0, "1 passed, 0 failed"))
        passed.fail("b", "why")
        code, lines = report(passed)
        self.assertEqual((code, lines[-1]), (1, "1 passed, 1 failed"))
        self.assertIn("FAILED: b", lines)

    def test_line_before_the_last_names_what_was_skipped_and_why(self):
        """Three skipped tests were hidden behind "1902 passed" (D7)."""
        code, lines = report(
            tally(
                (STARTED, "ran"),
                (PASSED, "ran"),
                (SKIPPED, "odoo.addons.queue_job.a", "no browser"),
                (SKIPPED, "odoo.addons.queue_job.b", "no\nbrowser"),
                (SKIPPED, "setUpClass (c)", "no nginx"),
            )
        )
        self.assertEqual(code, 0)
        self.assertEqual(
            lines[-2:],
            [
                "skipped 3 (no browser: queue_job.a, queue_job.b)"
                " (no nginx: setUpClass (c))",
                "1 passed, 0 failed",
            ],
        )

    def test_nothing_skipped_is_said_too(self):
        passed = tally((STARTED, "a"), (PASSED, "a"))
        self.assertEqual(report(passed)[1][-2], "skipped 0")

    def test_no_test_is_a_failure(self):
        code, lines = report(results.Tally())
        self.assertEqual((code, lines[-1]), (1, "0 passed, 0 failed"))

    def test_only_skipped_tests_are_a_failure(self):
        self.assertEqual(report(tally((STARTED, "a"), (SKIPPED, "a", "x")))[0], 1)


class TestTags(unittest.TestCase):
    def test_selection(self):
        for expected, arguments in (
            ("/a,/b", (["a", "b"],)),
            ("/a:C", (["a"], ["C"])),
            ("/a.t", (["a"], [], ["t"])),
            ("/a:C.t,/a:C.u", (["a"], ["C"], ["t", "u"])),
        ):
            with self.subTest(expected):
                self.assertEqual(testing.test_tags(*arguments), expected)
