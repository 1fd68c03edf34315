"""Board and alert rules ask for series that the runner serves, and no others."""

import json
import re
import unittest
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
GRAFANA = REPO / "setup" / "grafana"
PAGE = REPO / "queue_job" / "jobrunner" / "metrics_page.py"
SERIES = re.compile(r"\bqueue_job_\w+")


def served():
    """Return the names of the series on the page of metrics, as its code spells them."""
    names = set(re.findall(r'"(queue_job_\w+)"', PAGE.read_text()))
    histograms = {"queue_job_wait_seconds", "queue_job_duration_seconds"}
    parts = {
        f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")
    }
    return (names - histograms) | parts


def queries_of_board(board):
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in board["templating"]["list"]:
        yield variable["query"]


class TestGrafana(unittest.TestCase):
    def test_each_query_of_the_board_names_a_series(self):
        board = json.loads((GRAFANA / "queue_job.json").read_text())
        queries = [query for query in queries_of_board(board) if query != "prometheus"]
        self.assertGreater(len(queries), 10)
        for query in queries:
            with self.subTest(query):
                names = set(SERIES.findall(query))
                self.assertTrue(names)
                self.assertLessEqual(names, served())

    def test_each_alert_names_a_series(self):
        text = (GRAFANA / "alerts.yml").read_text()
        rules = re.split(r"- alert: ", text)[1:]
        self.assertGreater(len(rules), 5)
        for rule in rules:
            query = rule.partition("expr:")[2].partition("labels:")[0]
            with self.subTest(query):
                names = set(SERIES.findall(query))
                self.assertTrue(names)
                self.assertLessEqual(names, served())

    def test_panels_do_not_overlap(self):
        board = json.loads((GRAFANA / "queue_job.json").read_text())
        taken = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells


if __name__ == "__main__":
    unittest.main()
