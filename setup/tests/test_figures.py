import tempfile
import unittest
from pathlib import Path
from unittest import mock

from _lib import bench


class TestSavedFigures(unittest.TestCase):
    """``setup/bench --save`` writes into files that people wrote."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.paths = []
        for path in bench.SAVED:
            self.paths.append(Path(folder.name) / path.name)
            self.paths[-1].write_text(path.read_text())
        patch = mock.patch.object(bench, "SAVED", self.paths)
        patch.start()
        self.addCleanup(patch.stop)

    def save(self, table):
        bench.save({"commit": "abc", "cores": 2}, table)
        return [path.read_text() for path in self.paths]

    def test_only_what_stands_between_the_marks_is_replaced(self):
        before = [path.read_text() for path in self.paths]
        for old, new in zip(before, self.save("| rows |"), strict=True):
            head, rest = old.split(bench.BEGIN)
            tail = rest.split(bench.END)[1]
            self.assertTrue(new.startswith(head))
            self.assertTrue(new.endswith(tail))
            self.assertIn("commit: abc; cores: 2\n\n| rows |\n", new)

    def test_saved_twice_is_saved_once(self):
        first, again = self.save("| rows |"), self.save("| rows |")
        self.assertEqual(first, again)
