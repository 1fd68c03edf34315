# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from odoo.addons.queue_job.job import Job

from .common import JobCase

KEPT = ("tz", "lang", "allowed_company_ids", "force_company", "active_test")


@tagged("post_install", "-at_install")
class TestContext(JobCase):
    def test_kept_keys_of_every_model(self):
        keys = self.env["res.partner"]._job_prepare_context_before_enqueue_keys()
        self.assertIsInstance(keys, tuple)
        self.assertEqual(keys, KEPT)

    def test_kept_values(self):
        records = self.env["res.partner"].with_context(tz="UTC", lang="en_US", secret=1)
        context = records._job_prepare_context_before_enqueue()
        self.assertEqual(
            {key: context[key] for key in ("tz", "lang")},
            {"tz": "UTC", "lang": "en_US"},
        )
        self.assertNotIn("secret", context)

    def test_override_keeps_its_own_key(self):
        record = self.record.with_context(kept_key="kept", lost_key="lost")
        job = record.with_delay().return_context()
        context = self.load(job).perform()
        self.assertEqual(context["kept_key"], "kept")
        self.assertEqual(context["job_uuid"], job.uuid)
        self.assertNotIn("lost_key", context)

    def test_override_may_return_any_sequence(self):
        self.patch(
            type(self.model),
            "_job_prepare_context_before_enqueue_keys",
            lambda records: ["lang", "mine"],
        )
        record = self.record.with_context(lang="en_US", tz="UTC", mine=1)
        context = record._job_prepare_context_before_enqueue()
        self.assertEqual(context, {"lang": "en_US", "mine": 1})

    def test_context_of_a_loaded_job_as_a_whole(self):
        record = self.record.with_context(lost_key="lost", tz="UTC", kept_key="kept")
        job = record.with_delay().return_context()
        self.env.invalidate_all()
        loaded = Job.load(self.env(context={}), job.uuid)
        self.assertEqual(
            loaded.recordset.env.context, {"tz": "UTC", "kept_key": "kept"}
        )
        self.assertEqual(
            loaded.perform(), {"tz": "UTC", "kept_key": "kept", "job_uuid": job.uuid}
        )

    def test_context_of_arguments_is_kept(self):
        argument = self.record.with_context(kept_key="argument", lost_key="lost")
        job = self.record.with_delay().testing_method(argument, [argument], k=argument)
        self.env.invalidate_all()
        loaded = self.load(job)
        for records in (loaded.args[0], loaded.args[1][0], loaded.kwargs["k"]):
            self.assertEqual(records.env.context.get("kept_key"), "argument")
            self.assertNotIn("lost_key", records.env.context)

    def test_stored_keys_go_over_the_context_of_the_reader(self):
        job = self.record.with_context(kept_key="stored").with_delay().return_context()
        self.env.invalidate_all()
        env = self.env(context={"kept_key": "reader", "of_the_reader": 1})
        record = env["queue.job"].search([("uuid", "=", job.uuid)]).records
        self.assertEqual(record.env.context["kept_key"], "stored")
        self.assertEqual(record.env.context["of_the_reader"], 1)

    def test_archived_records_stay_visible_with_active_test(self):
        job = self.record.with_context(active_test=False).with_delay().return_context()
        self.assertIs(self.load(job).perform()["active_test"], False)

    def test_allowed_companies_are_kept(self):
        company = self.env["res.company"].create({"name": "of the job"})
        job = self.record.with_company(company).with_delay().return_context()
        self.assertIn(company.id, self.load(job).perform()["allowed_company_ids"])
        self.assertEqual(self.row(job).company_id, company)
