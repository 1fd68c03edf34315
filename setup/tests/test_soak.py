import csv
import json
import tempfile
import unittest
from pathlib import Path

from _lib.soak import Notes, Sample, slope


def sample(seconds, rss):
    """Return a sample of a runner with so much memory."""
    names = list(Sample.__annotations__)
    return Sample(**{**dict.fromkeys(names, 0), "seconds": seconds, "runner_rss": rss})


class TestSlope(unittest.TestCase):
    def test_line_through_points(self):
        for points, expected in (
            ([(0, 60), (1, 60), (2, 60)], 0),
            ([(0, 60), (1, 62), (2, 64)], 2),
            ([(0, 60), (1, 66), (2, 60)], 0),
            ([(1, 60)], 0),
        ):
            with self.subTest(points):
                self.assertAlmostEqual(slope(points), expected)


class TestNotes(unittest.TestCase):
    def test_file_is_complete_after_each_sample(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, read in (("x.json", self.read_json), ("x.csv", self.read_csv)):
                with self.subTest(name):
                    path = Path(folder) / name
                    notes = Notes(path, {"commit": "abc"})
                    for minute in range(3):
                        notes.add(sample(60 * minute, 65.5))
                        self.assertEqual(read(path), [65.5] * (minute + 1))

    def read_json(self, path):
        document = json.loads(path.read_text())
        self.assertEqual(document["commit"], "abc")
        return [row["runner_rss"] for row in document["samples"]]

    def read_csv(self, path):
        with open(path, newline="") as file:
            return [float(row["runner_rss"]) for row in csv.DictReader(file)]
