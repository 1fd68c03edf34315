# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""All screens open in every mode of the web client, without a warning."""

from datetime import datetime, timedelta

from odoo.tests import tagged

from ..delay import group
from ..store import attempts
from .browser_case import BrowserCase
from .screens_case import ScreensCase


@tagged("post_install", "-at_install")
class TestEveryScreen(ScreensCase):
    """Developer mode validates registries and the props of components, other modes do not.

    A field widget that declared a type unknown to Odoo emptied every page of Odoo in
    developer mode, while each test of the screens passed without it.
    """

    addon = "queue_job"
    client_selectors = {"queue_job.overview": ".o_queue_job_overview canvas"}

    def setUp(self):
        super().setUp()
        self.env.cr.execute("DELETE FROM queue_job")
        partner = self.env["res.partner"]
        members = [
            partner.delayable(description=f"Job {number}").create_company()
            for number in range(4)
        ]
        group(*members[:2]).on_done(group(*members[2:])).delay()
        self.jobs = self.env["queue.job"].search([]).with_context(tracking_disable=True)
        failed, started, _waiting, later = self.jobs
        now = datetime.now()
        failed.write(
            {
                "state": "failed",
                "date_started": now,
                "exc_name": "builtins.ValueError",
                "exc_message": "It broke",
                "exc_info": "Traceback (most recent call last):\nValueError: It broke",
            }
        )
        attempts.keep(failed, "failed", 1, {"exc_message": "It broke"})
        started.write({"state": "started", "date_started": now})
        later.write({"state": "pending", "eta": now + timedelta(hours=1)})
        self.jobs |= partner.with_delay().create_company().db_record()
        self.jobs[-1].write({"state": "done", "date_done": now, "result": "Done"})

    def records_of(self, model):
        if model == "queue.job":
            return self.jobs
        if model == "queue.job.channel":
            return self.env[model].search([], limit=2)
        return super().records_of(model)

    def context_of(self, model):
        return {"active_model": "queue.job", "active_ids": self.jobs.ids}

    def test_without_debug(self):
        self.open_screens("")

    def test_debug(self):
        self.open_screens("1")

    def test_debug_assets(self):
        self.open_screens("assets")


@tagged("post_install", "-at_install")
class TestWarningsFail(BrowserCase):
    """A page that complains fails its test, also after the test has succeeded."""

    def test_warning_on_the_console(self):
        with self.assertRaisesRegex(AssertionError, "a warning of the page"):
            self.browser_js(
                "/web/login",
                "console.warn('a warning of the page'); console.log('test successful')",
            )
