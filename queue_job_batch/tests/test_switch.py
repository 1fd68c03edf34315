# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A database of the addon of this name for earlier series takes this one in place."""

from odoo.tests import TransactionCase, tagged

RECORDS = (
    *("group_queue_job_batch_user", "queue_job_batch_comp_rule"),
    *("queue_job_batch_user_rule", "queue_job_batch_manager_rule"),
    *("channel_queue_job_batch", "job_function_queue_job_check_state"),
    *("access_queue_job_batch_user", "access_queue_job_batch_manager"),
    *("access_queue_job_queue_job_batch_user", "view_queue_job_batch_tree"),
    *("view_queue_job_batch_form", "view_queue_job_batch_search"),
    *("view_queue_job_form", "view_queue_job_search", "action_queue_job_batch"),
    *("action_view_your_queue_job_batch", "menu_queue_job_batch"),
)


@tagged("post_install", "-at_install")
class TestNames(TransactionCase):
    def test_records_have_the_known_names(self):
        for name in RECORDS:
            self.assertTrue(self.env.ref(f"queue_job_batch.{name}"), name)

    def test_channel_and_function(self):
        channel = self.env.ref("queue_job_batch.channel_queue_job_batch")
        self.assertEqual(channel.complete_name, "root.queue.job.batch")
        function = self.env.ref("queue_job_batch.job_function_queue_job_check_state")
        self.assertEqual(function.name, "<queue.job.batch>.check_state")

    def test_filters(self):
        arch = self.env.ref("queue_job_batch.view_queue_job_batch_search").arch
        for name in (
            *("my_batches", "unread", "pending", "progress", "finished"),
            *("group_by_state", "group_by_user"),
        ):
            self.assertIn(f'name="{name}"', arch)
