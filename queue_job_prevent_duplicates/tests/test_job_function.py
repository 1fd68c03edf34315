# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import Form, tagged
from odoo.tools import mute_logger

from .common import LOGGER, DuplicatesCase


@tagged("post_install", "-at_install")
class TestJobFunction(DuplicatesCase):
    def is_refused(self):
        """Ask once more and tell whether no row was made."""
        before = self.stored()
        with mute_logger(LOGGER):
            self.ask()
        return self.stored() == before

    def test_prevents_by_default(self):
        self.ask()
        self.assertTrue(self.is_refused(), "a method without job function")
        self.assertTrue(self.make_function().prevent_duplicates)
        self.assertTrue(self.is_refused())

    def test_opt_out(self):
        self.make_function(prevent_duplicates=False)
        self.ask()
        self.assertFalse(self.is_refused())
        self.assertFalse(self.stored()[0].twin_key)

    def test_opt_in_again_counts_jobs_stored_meanwhile(self):
        function = self.make_function(prevent_duplicates=False)
        self.ask()
        function.prevent_duplicates = True
        self.assertTrue(self.is_refused())

    def test_removed_function_prevents_again(self):
        function = self.make_function(prevent_duplicates=False)
        self.ask()
        function.unlink()
        self.assertTrue(self.is_refused())

    def test_function_that_calls_another_method_now(self):
        function = self.make_function(prevent_duplicates=False)
        self.ask()
        function.method = "copy"
        self.assertTrue(self.is_refused())

    @mute_logger(LOGGER)
    def test_graph_of_duplicates_and_of_what_may_have_some(self):
        """As for keys: what the policy watches decides for the whole graph."""
        self.make_function(method="copy", prevent_duplicates=False)
        twin = self.ask()
        parent = self.partner.delayable().copy()
        child = self.partner.delayable().write({"ref": "x"})
        parent.on_done(child).delay()
        self.assertEqual(self.stored().uuid, twin.uuid)
        self.assertEqual(parent._generated_job, twin)

    def test_form_shows_it(self):
        with Form(self.env["queue.job.function"]) as form:
            self.assertTrue(form.prevent_duplicates)
            form.model_id = self.env["ir.model"]._get("res.partner")
            form.method = "write"
            form.prevent_duplicates = False
        self.ask()
        self.assertFalse(self.is_refused())

    def test_setting_costs_no_query(self):
        self.make_function()
        functions = self.env["queue.job.function"]
        functions._prevents_duplicates("<res.partner>.write")
        with self.assertQueryCount(0):
            functions._prevents_duplicates("<res.partner>.write")
