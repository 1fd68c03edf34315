"""Run plain unittest files and record their results.

A script: ``run_unittests.py FOLDER CLASSES TESTS``, with names separated by commas; no name
means all.
"""

import os
import sys
import unittest
from pathlib import Path


def choose(tests, classes, names):
    """Yield the test cases of a suite, narrowed to classes and test methods.

    Modules that cannot be loaded are always among them.
    """
    for test in tests:
        if isinstance(test, unittest.TestSuite):
            yield from choose(test, classes, names)
        elif type(test).__name__ == "_FailedTest" or (
            (not classes or type(test).__name__ in classes)
            and (not names or test.id().rpartition(".")[2] in names)
        ):
            yield test


def main(argv):
    """Run the tests of a folder below setup/; return the exit code."""
    folder = Path(argv[1])
    classes, names = (list(filter(None, text.split(","))) for text in argv[2:])
    # As package modules of setup/, and none of the sibling modules by bare name.
    sys.path[0] = str(folder.parent)
    from _lib import results

    # Servers that tests start have a log of their own.
    recorder = results.Recorder(os.environ.pop(results.RESULTS_VARIABLE))

    class Result(unittest.TextTestResult):
        def startTest(self, test):
            super().startTest(test)
            recorder.note(results.STARTED, test)

        def stopTest(self, test):
            super().stopTest(test)
            recorder.note(results.PASSED, test)

        def addSkip(self, test, reason):
            super().addSkip(test, reason)
            recorder.note(results.SKIPPED, test, reason)

        def addFailure(self, test, err):
            super().addFailure(test, err)
            recorder.note_error(test, err)

        def addError(self, test, err):
            super().addError(test, err)
            recorder.note_error(test, err)

        def addSubTest(self, test, subtest, err):
            super().addSubTest(test, subtest, err)
            if err is not None:
                recorder.note_error(subtest, err)

        def addUnexpectedSuccess(self, test):
            super().addUnexpectedSuccess(test)
            recorder.note(results.FAILED, test, "Passed, but was expected to fail.")

    found = unittest.defaultTestLoader.discover(str(folder), top_level_dir=sys.path[0])
    suite = unittest.TestSuite(choose(found, classes, names))
    outcome = unittest.TextTestRunner(resultclass=Result).run(suite)
    return 0 if outcome.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
