# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Between two jobs of a run all is as between two requests."""

import contextlib
import threading
from unittest import mock

from odoo import SUPERUSER_ID, http
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job import protocol
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.worker import Bundle

from .common import CONTROLLER_LOGGER, CommittedHttpCase
from .test_runs import RunCase

PARAMETER = "test_queue_job.left_by_a_job"


class LeakCase(RunCase):
    committed_models = (
        *RunCase.committed_models,
        "ir.config_parameter",
        "res.users",
        "res.company",
        "res.partner",
    )

    def setUp(self):
        super().setUp()
        self.addCleanup(self.registry.clear_all_caches)

    def make_user_of_two_companies(self):
        """Return the ids of a user, of the company of that user and of the other one."""
        with self.new_env() as env:
            other = env["res.company"].create({"name": "the other one"})
            companies = env.company | other
            user = env["res.users"].create(
                {
                    "name": "of two companies",
                    "login": "of_two_companies",
                    "company_id": env.company.id,
                    "company_ids": [(6, 0, companies.ids)],
                }
            )
            return user.id, *companies.ids

    def move_to_company(self, records, company_id):
        """Let the user of a job be in another company, as far as the job can see."""
        records.env.user.sudo().company_id = company_id
        records.env.flush_all()
        records.env.transaction.reset()
        return records.env.company.id

    def set_parameter(self, records):
        """Leave a value in the caches of the process, and in the rows if all goes well."""
        parameters = records.env["ir.config_parameter"].sudo()
        parameters.set_param(PARAMETER, "left")
        self.assertEqual(self.get_parameter(records), "left")

    def get_parameter(self, records):
        return records.env["ir.config_parameter"].sudo().get_param(PARAMETER)

    @contextlib.contextmanager
    def signals(self):
        """Give a list of what is told to other processes meanwhile."""
        told = []
        signal_changes = self.registry.signal_changes

        def noting():
            told.extend(self.registry.cache_invalidated)
            signal_changes()

        with mock.patch.object(self.registry, "signal_changes", noting):
            yield told


@tagged("post_install", "-at_install")
class TestNothingLeaks(LeakCase):
    """Between two jobs of a run all is as between two requests."""

    def perform_two(self, first, second, **properties):
        self.uuids = uuids = [
            self.delay("return_value", 1, **properties),
            self.delay("without_docstring", **properties),
        ]
        with (
            mock.patch.object(self.model_class, "return_value", first),
            mock.patch.object(self.model_class, "without_docstring", second),
            mute_logger(CONTROLLER_LOGGER),
        ):
            self.perform(uuids)
        return self.states(uuids)

    def test_attributes_of_the_thread(self):
        def first(records, value):
            thread.left_by_a_job = True
            thread.of_the_worker = "changed"

        def second(records):
            seen.append((hasattr(thread, "left_by_a_job"), thread.of_the_worker))

        seen = []
        thread = threading.current_thread()
        thread.of_the_worker = "as it was"
        self.addCleanup(delattr, thread, "of_the_worker")
        self.perform_two(first, second)
        self.assertEqual(seen, [(False, "as it was")])

    def test_default_environment(self):
        """With the rights of which user what is left is computed."""

        def first(records, value):
            records.env.transaction.default_env = records.with_user(user_id).env

        def second(records):
            seen.append(records.env.transaction.default_env.uid)

        seen = []
        user_id = self.env.ref("base.user_admin").id
        self.perform_two(first, second)
        self.assertEqual(seen, [SUPERUSER_ID])

    def test_company(self):
        """What an environment keeps of its user: the jobs may share one."""

        def first(records, value):
            second(records)
            with self.new_env() as env:
                env["res.users"].browse(user).company_id = other

        def second(records):
            seen.append(records.env(context={}).company.id)

        user, company, other = self.make_user_of_two_companies()
        seen = []
        self.assertEqual(self.perform_two(first, second, user=user), ["done"] * 2)
        self.assertEqual(seen, [company, other])

    def test_company_of_a_failed_job(self):
        def first(records, value):
            seen.append(self.move_to_company(records, other))
            raise ValueError

        def second(records):
            seen.append(records.env.company.id)

        user, company, other = self.make_user_of_two_companies()
        seen = []
        self.perform_two(first, second, user=user)
        self.assertEqual(seen, [other, company])

    def test_language(self):
        uuids = []
        for context in ({"lang": "en_US", "kept_key": "first"}, {}):
            with self.new_env(**context) as env:
                job = self.record_in(env).with_delay().return_value(1)
                uuids.append(job.uuid)
            self.move(uuids[-1], "enqueued")
        seen = []
        with mock.patch.object(
            self.model_class,
            "return_value",
            lambda records, value: seen.append(
                (records.env.lang, records.env.context.get("kept_key"))
            ),
        ):
            self.perform(uuids)
        self.assertEqual(seen, [("en_US", "first"), (None, None)])

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

    def test_data_of_hooks(self):
        """There may be some where there is no hook."""
        names = ("precommit", "postcommit", "prerollback", "postrollback")

        def first(records, value):
            for name in names:
                getattr(records.env.cr, name).data["left"] = True

        def second(records):
            seen.extend(name for name in names if getattr(records.env.cr, name).data)

        seen = []
        self.perform_two(first, second)
        self.assertEqual(seen, [])

    def test_hooks_before_the_commit_run_with_their_own_job(self):
        def first(records, value):
            records.env.cr.precommit.add(lambda: seen.append("hook"))

        seen = []
        self.perform_two(first, lambda records: seen.append("second"))
        self.assertEqual(seen, ["hook", "second"])

    def test_hooks_for_a_rollback_are_dropped_with_the_commit(self):
        def first(records, value):
            cr = records.env.cr
            cr.prerollback.add(lambda: seen.append("before"))
            cr.postrollback.add(lambda: seen.append("after"))

        def second(records):
            raise ValueError

        seen = []
        self.assertEqual(self.perform_two(first, second), ["done", "failed"])
        self.assertEqual(seen, [])

    def test_hook_that_rolls_back_to_a_savepoint_of_its_own(self):
        """The row of the job may be written together with what comes after the hook."""

        def first(records, value):
            def hook():
                with contextlib.suppress(KeyError), cr.savepoint():
                    raise KeyError

            cr = records.env.cr
            cr.precommit.add(hook)

        self.assertEqual(self.perform_two(first, lambda records: None), ["done"] * 2)
        uuid = self.delay("return_value", 1)
        with mock.patch.object(self.model_class, "return_value", first):
            self.perform([uuid])
        self.assertEqual(self.states([uuid]), ["done"])

    @mute_logger("odoo.sql_db")
    def test_caches_of_the_process(self):
        """What is undone in the rows is not to be found in a cache."""

        def cancelled(records):
            self.move(self.uuids[0], "cancelled")

        def failed(records):
            raise ValueError("never")

        def postponed(records):
            raise RetryableJobError("later")

        for end in (failed, postponed, cancelled):
            with self.subTest(end.__name__):
                seen = []

                def first(records, value, end=end):
                    self.set_parameter(records)
                    end(records)

                def second(records, seen=seen):
                    seen.append(self.get_parameter(records))

                self.perform_two(first, second)
                self.assertEqual(seen, [False])

    def test_changes_of_the_process_are_told_before_the_next_job(self):
        def first(records, value):
            self.set_parameter(records)
            told.clear()

        def second(records):
            seen.append((list(told), set(self.registry.cache_invalidated)))

        seen = []
        with self.signals() as told:
            self.perform_two(first, second)
        [(told_before, untold)] = seen
        self.assertTrue(told_before)
        self.assertFalse(untold)

    def test_registry_that_was_loaded_again(self):
        """What was read with the one before is read anew."""
        follow = Bundle._follow_registry
        calls = iter(range(9))

        def loaded_again(bundle):
            return follow(bundle) or next(calls) == 1

        with (
            mock.patch.object(Bundle, "_follow_registry", loaded_again),
            mock.patch.object(Job, "load", wraps=Job.load) as load,
        ):
            states = self.perform_two(lambda records, value: 1, lambda records: 2)
        self.assertEqual(states, ["done", "done"])
        self.assertIn(self.uuids[1], [call.args[1] for call in load.call_args_list])


@tagged("post_install", "-at_install")
class TestRequestOfARun(CommittedHttpCase, LeakCase):
    def test_request_is_as_new_for_each_job(self):
        def first(records, value):
            http.request.update_context(left_by_a_job=True)
            http.request.left_by_a_job = True

        def second(records):
            context = http.request.env.context
            seen.append("left_by_a_job" in context)
            seen.append(hasattr(http.request, "left_by_a_job"))

        seen = []
        uuids = self.delay_many(("return_value", 1), ("without_docstring",))
        with (
            mock.patch.object(self.model_class, "return_value", first),
            mock.patch.object(self.model_class, "without_docstring", second),
        ):
            self.url_open(
                protocol.RUNJOB_PATH,
                params={"job_uuid": uuids[0], "run": uuids[1]},
                headers={
                    protocol.DATABASE_HEADER: self.registry.db_name,
                    "Accept": protocol.REPORT_TYPE,
                },
            )
        self.assertEqual(self.states(uuids), ["done", "done"])
        self.assertEqual(seen, [False, False])
