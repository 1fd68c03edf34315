# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The screens in the bright and in the dark scheme.

Odoo Community has the bundle of the dark scheme, and neither a switch nor a
palette for it: other addons bring them. The tests bring a palette of their own.
"""

from unittest import mock

from odoo.tests import tagged

from ..delay import chain
from .browser_case import BrowserCase

BUNDLE = "web.assets_web_dark"
PALETTE = "queue_job/static/tests/dark/palette.scss"
# A class of each stylesheet of the addon.
CLASSES = (
    "o_job_graph_picture",
    "o_job_state_failed",
    "o_field_job_explanation",
    "o_job_timeline_dot",
    "o_job_traceback_text",
    "o_queue_job_chart",
    "o_queue_job_channel_list_view",
    "o_queue_job_reason",
)


@tagged("post_install", "-at_install")
class TestSchemes(BrowserCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["ir.asset"].create(
            {
                "name": "dark palette of the tests",
                "bundle": BUNDLE,
                "directive": "before",
                "target": "web/static/src/scss/primary_variables.scss",
                "path": PALETTE,
            }
        )

    def setUp(self):
        super().setUp()
        self.env.cr.execute("DELETE FROM queue_job")
        partner = self.env["res.partner"]
        failed = partner.delayable(description="dark failed").create_company()
        waits = partner.delayable(description="dark waits").create_company()
        chain(failed, waits).delay()
        job = failed._generated_job.db_record().with_context(tracking_disable=True)
        job.write(
            {
                "state": "failed",
                "exc_name": "ValueError",
                "exc_message": "It broke",
                "exc_info": "Traceback (most recent call last):\nValueError: It broke",
            }
        )
        self.env.flush_all()

    def css(self, bundle):
        files = self.env["ir.qweb"]._get_asset_bundle(bundle, css=True, js=False)
        css = files.preprocess_css()
        self.assertFalse(files.css_errors)
        return css

    def test_our_stylesheets_are_in_both_bundles(self):
        bright, dark = self.css("web.assets_web"), self.css(BUNDLE)
        for name in CLASSES:
            self.assertIn(f".{name}", bright)
            self.assertIn(f".{name}", dark)
        self.assertIn("#20232d", dark)
        self.assertNotIn("#20232d", bright)

    def test_bright(self):
        self.start_tour("/odoo/job-queue", "queue_job_contrast", login="admin")

    def test_dark(self):
        http = self.registry["ir.http"]
        with mock.patch.object(http, "color_scheme", lambda _http: "dark"):
            self.start_tour(
                "/odoo/job-queue",
                "queue_job_contrast",
                login="admin",
                cookies={"color_scheme": "dark"},
            )
