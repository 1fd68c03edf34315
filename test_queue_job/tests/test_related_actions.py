# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from .common import JobCase


@tagged("post_install", "-at_install")
class TestRelatedActions(JobCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.actions = cls.env["test.related.action"]
        cls.records = cls.actions.create([{}, {}])

    def action_of(self, method, *args):
        return self.make_job(method, *args).related_action()

    def test_default_opens_one_record(self):
        self.assertEqual(
            self.action_of(self.records[0].without_settings),
            {
                "name": "Related Record",
                "type": "ir.actions.act_window",
                "view_mode": "form",
                "res_id": self.records[0].id,
                "res_model": "test.related.action",
            },
        )

    def test_default_opens_several_records(self):
        self.assertEqual(
            self.action_of(self.records.without_settings),
            {
                "name": "Related Records",
                "type": "ir.actions.act_window",
                "view_mode": "list,form",
                "domain": [("id", "in", self.records.ids)],
                "res_model": "test.related.action",
            },
        )

    def test_default_of_records_that_are_gone(self):
        record = self.actions.create({})
        job = self.make_job(record.without_settings)
        self.env.flush_all()
        record.unlink()
        self.assertIsNone(self.load(job).related_action())

    def test_disabled(self):
        self.assertIsNone(self.action_of(self.records.with_disabled_action))

    def test_method_that_returns_none(self):
        self.assertIsNone(self.action_of(self.records.with_action_of_nothing))

    def test_method_is_called_on_the_row_of_the_job(self):
        job = self.make_job(self.records.with_action)
        self.assertEqual(
            job.related_action(),
            {
                "type": "ir.actions.act_window_close",
                "infos": {"id": job.db_record().id},
            },
        )

    def test_method_gets_the_configured_keywords(self):
        action = self.action_of(self.records.with_action_kwargs)
        self.assertEqual(action["infos"]["b"], 4)

    def test_method_reads_the_arguments_of_the_job(self):
        self.assertEqual(
            self.action_of(self.records.with_action_url, "discworld"),
            {
                "type": "ir.actions.act_url",
                "target": "new",
                "url": "https://example.com/?q=discworld",
            },
        )

    def test_default_of_the_model_can_be_changed(self):
        self.patch(
            type(self.job_model), "_default_related_action", "testing_related_none"
        )
        self.assertIsNone(self.action_of(self.records.without_settings))

    def test_default_that_is_no_string_is_refused(self):
        self.patch(type(self.job_model), "_default_related_action", 5)
        with self.assertRaises(ValueError):
            self.action_of(self.records.without_settings)
