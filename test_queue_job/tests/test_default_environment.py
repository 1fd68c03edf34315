# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Behind the transaction of a job stands the environment of the job."""

import contextlib
from unittest import mock

from odoo import SUPERUSER_ID, http
from odoo.exceptions import AccessError
from odoo.fields import Command
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job import protocol

from .common import CONTROLLER_LOGGER, CommittedHttpCase, SerializationFailure
from .test_runs_leaks import LeakCase


class DefaultEnvironmentCase(LeakCase):
    def setUp(self):
        super().setUp()
        self.user_id = self.make_user_of_two_companies()[0]

    def seen_by(self, what, *, tries=1, **properties):
        """Perform a job of the user; return who computes what it leaves, or whom it asks.

        :param what: done by the job before
        """
        seen = []
        counter = iter(range(tries - 1))

        def compute(records):
            env = records.env
            seen.append((env.uid, env.context.get("lang")))
            for record in records:
                record.double_name = record.name

        def first(records, value):
            records.name = f"changed {len(seen)}"
            what(records)
            for _number in counter:
                raise SerializationFailure("again")

        with self.new_env(user=self.user_id, lang="en_US") as env:
            delayed = self.record_in(env).with_delay(**properties)
            uuid = delayed.return_value(1).uuid
        self.move(uuid, "enqueued")
        with (
            mock.patch.object(self.model_class, "_compute_double_name", compute),
            mock.patch.object(self.model_class, "return_value", first),
            mock.patch("time.sleep"),
            mute_logger(CONTROLLER_LOGGER),
        ):
            self.perform_one(uuid)
        self.assertEqual(self.states([uuid]), ["done"])
        return seen

    def perform_one(self, uuid):
        self.perform([uuid, self.delay("testing_method")])


@tagged("post_install", "-at_install")
class TestEnvironmentOfJob(DefaultEnvironmentCase):
    def assert_seen(self, seen):
        self.assertTrue(seen)
        self.assertEqual(set(seen), {(self.user_id, "en_US")})

    def test_b02_what_is_left_to_compute_is_computed_as_the_job(self):
        """It was computed as user 1, in English of the main company."""
        self.assert_seen(self.seen_by(lambda records: None))

    def test_b02_savepoint_inside_a_job(self):
        def with_savepoint(records):
            with records.env.cr.savepoint():
                pass

        self.assert_seen(self.seen_by(with_savepoint))

    def test_b02_second_try_after_a_conflict(self):
        self.assert_seen(self.seen_by(lambda records: None, tries=2))

    def test_b02_rollback_inside_a_job(self):
        def with_rollback(records):
            records.env.cr.rollback()
            records.name = "changed again"

        self.assert_seen(self.seen_by(with_rollback))

    def test_b02_hook_before_the_commit(self):
        def with_hook(records):
            def hook():
                records.name = "changed in the hook"
                seen.append(records.env.transaction.default_env.uid)

            records.env.cr.precommit.add(hook)

        seen = []
        self.assert_seen(self.seen_by(with_hook))
        self.assertEqual(seen, [self.user_id])

    def test_b02_job_alone_in_its_request(self):
        self.perform_one = self.acquire_and_run
        self.assert_seen(self.seen_by(lambda records: None))

    def test_b02_code_that_replaces_the_default_environment(self):
        """As ``request.update_env`` and ``request.update_context`` do."""

        def replaced(records):
            transaction = records.env.transaction
            transaction.default_env = records.with_user(SUPERUSER_ID).env

        self.assert_seen(self.seen_by(replaced))

    def test_b02_commands_on_protected_models_are_refused_as_in_a_request(self):
        """``sudo()`` gives no rights on models that are protected from it."""
        outcomes = []

        def create_user(records):
            with records.env.cr.savepoint(), contextlib.suppress(AccessError):
                records.env["res.partner"].sudo().create(
                    {
                        "name": "of a job",
                        "user_ids": [Command.create({"login": "x", "name": "x"})],
                    }
                )
                outcomes.append("created")

        self.seen_by(create_user)
        self.assertEqual(outcomes, [])

    def test_b02_worker_has_its_own_environment_back(self):
        seen = []

        def second(records):
            seen.append(records.env.transaction.default_env.uid)

        with mock.patch.object(self.model_class, "testing_method", second):
            self.seen_by(lambda records: None)
        self.assertEqual(seen, [SUPERUSER_ID])


@tagged("post_install", "-at_install")
class TestEnvironmentOfRequest(CommittedHttpCase, DefaultEnvironmentCase):
    def perform_one(self, uuid):
        self.url_open(
            protocol.RUNJOB_PATH,
            params={"job_uuid": uuid},
            headers={protocol.DATABASE_HEADER: self.registry.db_name},
        )

    def test_b02_job_that_updates_the_request(self):
        def update(records):
            http.request.update_context(of_the_job=True)

        seen = self.seen_by(update)
        self.assertEqual(set(seen), {(self.user_id, "en_US")})
