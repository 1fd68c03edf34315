# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The menu at the top of the screen, and the form."""

from odoo.tests import HttpCase, new_test_user, tagged

from odoo.addons.queue_job.tests.browser_case import BrowserCase

GROUP = "queue_job_batch.group_queue_job_batch_user,base.group_user"


@tagged("post_install", "-at_install")
class TestStore(HttpCase):
    def setUp(self):
        super().setUp()
        self.user = new_test_user(self.env, "importer", GROUP, password="importer")
        self.batches = self.env["queue.job.batch"].with_user(self.user)

    def data(self, *names):
        self.authenticate("importer", "importer")
        return self.make_jsonrpc_request("/mail/data", {"fetch_params": list(names)})

    def test_page_counts_nothing(self):
        self.batches.get_new_batch("Import")
        values = self.data("init_messaging")["Store"]
        self.assertNotIn("queueJobBatchCounter", values)

    def test_unread_batches(self):
        batch = self.batches.get_new_batch("Import")
        read = self.batches.get_new_batch("Read")
        read.check_state()
        read.set_read()
        values = self.data("systray_get_queue_job_batches")["Store"]
        self.assertEqual(values["queueJobBatchCounter"], 1)
        self.assertIn("queueJobBatchCounterBusId", values)
        (found,) = values["queueJobBatches"]
        self.assertEqual(found["id"], batch.id)
        self.assertEqual(set(found), {"id", *batch._to_store_fnames()})

    def test_setting_hides_the_menu(self):
        def shown():
            self.authenticate("importer", "importer")
            store = _Values()
            self.user.with_user(self.user)._init_store_data(store)
            return store.values["hasQueueJobBatchUserGroup"]

        self.assertTrue(shown())
        self.env["res.config.settings"].create(
            {"queue_job_batch_hide_systray": True}
        ).execute()
        self.assertFalse(shown())

    def test_bus_messages(self):
        batch = self.batches.get_new_batch("Import")
        batch.check_state()
        batch.set_read()
        self.env.cr.precommit.run()
        messages = str(self.env["bus.bus"].sudo().search([]).mapped("message"))
        self.assertIn("queue.job.batch/updated", messages)
        for key in ("batch_created", "batch_read"):
            self.assertIn(key, messages)


@tagged("post_install", "-at_install")
class TestMenu(BrowserCase):
    def test_menu_form_and_jobs(self):
        user = new_test_user(self.env, "importer", GROUP, password="importer")
        batches = self.env["queue.job.batch"].with_user(user)
        done, open_ = (batches.get_new_batch(name) for name in ("Import", "Later"))
        partner = self.env["res.partner"].create({"name": "One"})
        partner.with_context(job_batch=open_).with_delay().write({"ref": "x"})
        done.check_state()
        self.start_tour("/odoo", "queue_job_batch_menu", login="importer")
        self.assertTrue(done.is_read)


class _Values:
    def __init__(self):
        self.values = {}

    def __getattr__(self, name):
        return lambda *args, **values: self.values.update(values)
