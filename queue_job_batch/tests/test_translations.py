# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from odoo.addons.queue_job.tests.translations import TranslationsCase


@tagged("post_install", "-at_install")
class TestTranslations(TranslationsCase):
    addon = "queue_job_batch"

    def test_template_has_the_terms_of_the_addon(self):
        self.check_template()

    def test_every_term_is_translated(self):
        self.check_completeness()

    def test_translations_keep_placeholders_and_tags(self):
        self.check_placeholders()
