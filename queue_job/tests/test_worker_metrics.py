# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The page of metrics that a worker serves to who has the token."""

import uuid
from datetime import datetime

from odoo.tests import HttpCase, tagged
from odoo.tools import mute_logger

from ..insight.metrics import metrics_page
from .test_exposition import openmetrics, parsed


@tagged("post_install", "-at_install")
class TestWorkerMetrics(HttpCase):
    def open(self, **headers):
        return self.url_open("/queue_job/metrics", headers=headers)

    @mute_logger("odoo.http")
    def test_token_opens_the_page(self):
        parameters = self.env["ir.config_parameter"].sudo()
        self.assertEqual(self.open(Authorization="Bearer x").status_code, 404)
        parameters.set_param("queue_job.metrics_token", "secret")
        for given in ("", "Bearer other", "secret"):
            self.assertEqual(self.open(Authorization=given).status_code, 401)
        answer = self.open(Authorization="Bearer secret")
        self.assertEqual(answer.status_code, 200)
        self.assertIn("text/plain; version=0.0.4", answer.headers["Content-Type"])
        self.assertIn("# TYPE queue_job_waiting gauge", answer.text)

    def test_figures(self):
        if openmetrics is None:
            self.skipTest("prometheus-client is not installed")
        self.env["queue.job"]._editor().create(
            {
                "uuid": str(uuid.uuid4()),
                "channel": "root.served",
                "state": "pending",
                "date_created": datetime.now(),
            }
        )
        self.env.flush_all()
        for is_openmetrics in (False, True):
            page = parsed(metrics_page(self.env, is_openmetrics), is_openmetrics)
            labels = (("channel", "root.served"), ("database", self.env.cr.dbname))
            self.assertEqual(page[("queue_job_waiting", *labels)], 1)
            self.assertEqual(page[("queue_job_capacity", *labels)], float("inf"))
