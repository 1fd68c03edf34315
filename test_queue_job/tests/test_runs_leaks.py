# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Between two jobs of a run all is as between two requests."""

import threading
from unittest import mock

from odoo import SUPERUSER_ID
from odoo.tests import tagged
from odoo.tools import mute_logger

from .common import CONTROLLER_LOGGER
from .test_runs import RunCase


@tagged("post_install", "-at_install")
class TestNothingLeaks(RunCase):
    """Between two jobs of a run all is as between two requests."""

    def perform_two(self, first, second):
        uuids = self.delay_many(("return_value", 1), ("without_docstring",))
        with (
            mock.patch.object(self.model_class, "return_value", first),
            mock.patch.object(self.model_class, "without_docstring", second),
            mute_logger(CONTROLLER_LOGGER),
        ):
            self.perform(uuids)
        return self.states(uuids)

    def test_attributes_of_the_thread(self):
        def first(records, value):
            threading.current_thread().left_by_a_job = True

        def second(records):
            seen.append(hasattr(threading.current_thread(), "left_by_a_job"))

        seen = []
        self.perform_two(first, second)
        self.assertEqual(seen, [False])

    def test_hooks_after_the_commit_run_with_their_own_job(self):
        def first(records, value):
            records.env.cr.postcommit.add(lambda: seen.append("hook"))

        def second(records):
            seen.append("second")

        seen = []
        self.perform_two(first, second)
        self.assertEqual(seen, ["hook", "second"])

    def test_hooks_of_a_failed_job_are_dropped(self):
        def first(records, value):
            records.env.cr.postcommit.add(lambda: seen.append("hook"))
            raise ValueError

        def second(records):
            seen.append("second")

        seen = []
        self.assertEqual(self.perform_two(first, second), ["failed", "done"])
        self.assertEqual(seen, ["second"])

    def test_values_of_a_failed_job_are_not_cached(self):
        def first(records, value):
            records.name = "never written"
            raise ValueError

        def second(records):
            seen.append(records.name)

        seen = []
        self.perform_two(first, second)
        self.assertEqual(seen, ["one"])

    def test_user_and_context(self):
        def first(records, value):
            env = (
                records.with_user(user_id)
                .with_context(lang="en_US", kept_key="first")
                .env
            )
            env["test.queue.job"].browse(self.record_id).with_delay(
                eta=60
            ).testing_method()

        def second(records):
            seen.append((records.env.uid, records.env.context.get("kept_key")))
            seen.append(records.env.transaction.default_env.uid)

        seen = []
        user_id = self.env.ref("base.user_admin").id
        self.assertEqual(self.perform_two(first, second), ["done", "done"])
        self.assertEqual(seen, [(SUPERUSER_ID, None), SUPERUSER_ID])
