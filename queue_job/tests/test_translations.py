# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from .translations import LANGUAGES, TranslationsCase


@tagged("post_install", "-at_install")
class TestTranslations(TranslationsCase):
    addon = "queue_job"

    def test_template_has_the_terms_of_the_addon(self):
        self.check_template()

    def test_every_term_is_translated(self):
        self.check_completeness()

    def test_translations_keep_placeholders_and_tags(self):
        self.check_placeholders()

    def test_message_of_a_failure_names_the_section_of_the_form(self):
        message = self.env["queue.job"].new()._message_failed_job()
        for language in LANGUAGES:
            texts = self._translations(language)
            with self.subTest(language=language):
                self.assertIn(texts["Exception"], texts[message])

    def test_web_client_gets_its_terms(self):
        self.check_web_client()
