import io
import threading
import unittest
from contextlib import redirect_stderr
from unittest import mock

from _lib import progress


class Lines(io.StringIO):
    """What is printed; ``found`` is set by a line with the word."""

    def __init__(self, word):
        super().__init__()
        self.word, self.found = word, threading.Event()

    def write(self, text):
        if self.word in text:
            self.found.set()
        return super().write(text)


class TestProgress(unittest.TestCase):
    """No command is silent for 15 seconds (D7): the commands took 14 minutes without a word."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        patch = mock.patch.multiple(progress, SILENCE=0.02, _steps=[])
        patch.start()
        cls.addClassCleanup(patch.stop)
        progress.watch()

    def test_silent_step_gives_signs_of_life_with_a_detail(self):
        lines = Lines("... Downloading, 0 s: 12 MB")
        with redirect_stderr(lines):
            with progress.step("Downloading", lambda: "12 MB"):
                self.assertTrue(lines.found.wait(10), lines.getvalue())

    def test_innermost_step_is_named_and_the_outer_one_afterwards(self):
        lines = Lines("... setup/test")
        with redirect_stderr(lines), progress.during("setup/test"):
            with progress.step("Inner"):
                pass
            self.assertTrue(lines.found.wait(10), lines.getvalue())

    def test_detail_that_cannot_be_read_is_left_out(self):
        lines = Lines("... Reading")
        with redirect_stderr(lines):
            with progress.step("Reading", mock.Mock(side_effect=FileNotFoundError)):
                self.assertTrue(lines.found.wait(10), lines.getvalue())

    def test_serving_is_quiet(self):
        lines = Lines("...")
        with redirect_stderr(lines), progress.during("setup/run"), progress.rest():
            self.assertFalse(lines.found.wait(0.2))
