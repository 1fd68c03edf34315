# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import BaseCase

from ..exposition import Histogram, Page, label_text, number_text

try:
    from prometheus_client.openmetrics import parser as openmetrics
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:  # without the test dependency the lines are compared as text
    openmetrics = None

ODD = {"channel": 'a"b\\c\nd'}


def parsed(text, is_openmetrics=False):
    """Return ``{(sample, labels): value}`` as the parser of prometheus-client reads it."""
    parse = text_string_to_metric_families
    if is_openmetrics:
        parse = openmetrics.text_string_to_metric_families
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def full_page(is_openmetrics):
    page = Page(is_openmetrics)
    histogram = Histogram((0.1, 1))
    for value in (0.05, 0.1, 0.5, 20):
        histogram.observe(value)
    page.gauge("queue_job_g", 'A "gauge".', [(ODD, float("inf")), ({"a": "b"}, 2.5)])
    page.counter("queue_job_c_total", "A counter.", [({"a": "b"}, 3)])
    page.histogram("queue_job_h", "A histogram.", [({"a": "b"}, histogram)])
    page.gauge("queue_job_none", "No sample.", [])
    return page.text()


class TestExposition(BaseCase):
    def test_lines(self):
        text = full_page(False)
        self.assertIn('queue_job_g{channel="a\\"b\\\\c\\nd"} +Inf\n', text)
        self.assertIn("# TYPE queue_job_c_total counter\n", text)
        self.assertIn('queue_job_h_bucket{a="b",le="0.1"} 2\n', text)
        self.assertIn('queue_job_h_bucket{a="b",le="+Inf"} 4\n', text)
        self.assertNotIn("none", text)
        self.assertNotIn("EOF", text)

    def test_openmetrics_differs_in_counters_and_end(self):
        text = full_page(True)
        self.assertIn("# TYPE queue_job_c counter\nqueue_job_c_total{", text)
        self.assertTrue(text.endswith("# EOF\n"))

    def test_both_pass_the_parser_of_prometheus(self):
        if openmetrics is None:
            self.skipTest("prometheus-client is not installed")
        for is_openmetrics in (False, True):
            with self.subTest(openmetrics=is_openmetrics):
                found = parsed(full_page(is_openmetrics), is_openmetrics)
                self.assertEqual(
                    found["queue_job_g", ("channel", ODD["channel"])], float("inf")
                )
                self.assertEqual(found["queue_job_c_total", ("a", "b")], 3)
                self.assertEqual(
                    found["queue_job_h_bucket", ("a", "b"), ("le", "1.0")], 3
                )
                self.assertAlmostEqual(found["queue_job_h_sum", ("a", "b")], 20.65)

    def test_values(self):
        self.assertEqual(number_text(True), "1")
        self.assertEqual(number_text(2.0), "2.0")
        self.assertEqual(label_text({}), "")
