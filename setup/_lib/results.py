"""What tests did, as lines of JSON that one process writes and another counts.

Stdlib only and free of imports from this package: it is loaded inside Odoo too.
"""

import json
import traceback

RESULTS_VARIABLE = "QUEUE_JOB_SUITE_RESULTS"
STARTED, PASSED, FAILED, SKIPPED = "started", "passed", "failed", "skipped"


class Recorder:
    """Append what happens to tests to a file, line by line, so that a crash loses nothing."""

    def __init__(self, path):
        self._file = open(path, "a", buffering=1)

    def note(self, event, test, text=""):
        """Write one event of a test; a subtest counts as its test."""
        test = getattr(test, "test_case", test)
        line = {"event": event, "test": _name(test), "text": text}
        self._file.write(json.dumps(line) + "\n")

    def note_error(self, test, error):
        """Write a failure with its traceback."""
        parameters = getattr(test, "_subDescription", str)()
        text = "".join(traceback.format_exception(*error))
        self.note(FAILED, test, "%s\n%s" % (parameters, text) if parameters else text)


def _name(test):
    return test.id() if hasattr(test, "id") else str(test)


class Tally:
    """The outcome of many tests: each counted once, at its worst.

    A class whose ``setUpClass`` fails counts as one failure, as its tests never started.
    """

    def __init__(self):
        self.started = {}
        self.failures = []
        self.skips = {}

    def read(self, lines):
        """Take in the lines that a Recorder wrote; an incomplete last line is dropped."""
        for line in lines:
            try:
                item = json.loads(line)
            except ValueError:
                continue
            event, test, text = item["event"], item["test"], item["text"]
            if event == STARTED:
                self.started.setdefault(test, False)
            elif event == PASSED and test in self.started:
                self.started[test] = True
            elif event == SKIPPED:
                self.skips[test] = text
            elif event == FAILED:
                self.failures.append((test, text))
        return self

    @property
    def failed(self):
        """Names of what failed: tests, and classes that could not be set up."""
        return {test for test, _text in self.failures}

    @property
    def unfinished(self):
        """Tests that began and never said how they ended: the process died."""
        known = self.failed | set(self.skips)
        return [t for t, ended in self.started.items() if not ended and t not in known]

    @property
    def passed(self):
        """Names of the tests that ran to their end and failed nowhere."""
        bad = self.failed | set(self.skips)
        return {
            test for test, ended in self.started.items() if ended and test not in bad
        }

    def fail(self, name, text):
        """Count something that is no test, such as a crash, as a failure."""
        self.failures.append((name, text))

    def skipped(self):
        """Name the skipped tests by reason, in one line."""
        reasons = {}
        for test, reason in self.skips.items():
            reason = " ".join(reason.split())
            reasons.setdefault(reason, []).append(test.removeprefix("odoo.addons."))
        parts = [
            "%s: %s" % (reason, ", ".join(tests)) for reason, tests in reasons.items()
        ]
        return "skipped %d%s" % (
            len(self.skips),
            "".join(" (%s)" % part for part in parts),
        )
