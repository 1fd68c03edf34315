# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A module written for the API of this suite, with every hook there is."""

from unittest import mock

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.delay import chain
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.tests.common import JobMixin, trap_jobs

from ..controllers.main import ThirdPartyRunJobController
from .common import CONTROLLER_LOGGER, CommittedJobCase, JobCase


class ThirdPartyCase(JobCase, JobMixin):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.order = cls.env["test.third.party"].create({"name": "SO1"})


@tagged("post_install", "-at_install")
class TestStoreHooks(ThirdPartyCase):
    def test_generic_values(self):
        row = self.row(self.order.with_delay().action_archive_old())
        self.assertEqual(
            (row.third_party_model, row.third_party_note),
            ("test.third.party", "generic"),
        )

    def test_values_of_one_method(self):
        row = self.row(self.order.with_delay().export("ftp"))
        self.assertEqual(row.third_party_model, "test.third.party")
        self.assertEqual(row.third_party_note, "export 1 to ftp")

    def test_context_key(self):
        job = (
            self.order.with_context(third_party_shop="Gent", other=1)
            .with_delay()
            .export("ftp")
        )
        self.assertEqual(self.load(job).perform(), "ftp for Gent")

    def test_create_sees_the_context_of_the_caller(self):
        orders = self.order.with_context(third_party_batch="batch 5")
        one, other = orders.delayable().export("a"), orders.delayable().export("b")
        chain(one, other).delay()
        for delayable in (one, other):
            self.assertEqual(
                self.row(delayable._generated_job).third_party_batch, "batch 5"
            )

    def test_write_sees_each_move(self):
        job = self.order.with_delay().export("ftp")
        row = self.row(job)
        row.button_cancelled()
        row.requeue()
        row.button_done()
        self.assertEqual(row.third_party_states, "cancelled,pending,done")

    def test_write_sees_the_release_of_dependents(self):
        one, other = (
            self.order.delayable().export("a"),
            self.order.delayable().export("b"),
        )
        chain(one, other).delay()
        self.row(one._generated_job).button_done()
        self.assertEqual(self.row(other._generated_job).third_party_states, "pending")

    def test_write_sees_the_cancellation_of_dependents(self):
        one, other = (
            self.order.delayable().export("a"),
            self.order.delayable().export("b"),
        )
        chain(one, other).delay()
        self.row(one._generated_job).button_cancelled()
        self.assertEqual(self.row(other._generated_job).third_party_states, "cancelled")

    def test_its_methods_are_told_from_those_of_the_suite(self):
        """C3: hooks that a third party defines on ``base`` were refused."""
        third_parties = self.env["queue.job.function"]._third_parties()
        self.assertIn("test_queue_job", third_parties)
        self.assertFalse({"queue_job", "web", "mail", "base"} & third_parties)

    def test_channel_and_related_action_of_the_function(self):
        row = self.row(self.order.with_delay().export("ftp"))
        self.assertEqual(row.channel, "root.sub")
        action = row.open_related_action()
        self.assertEqual(
            (action["name"], action["res_id"]), ("Exported order", self.order.id)
        )


@tagged("post_install", "-at_install")
class TestAutoDelayOfThirdParty(ThirdPartyCase):
    def test_call_delays_with_options(self):
        row = self.row(self.order.action_confirm())
        self.assertEqual((row.priority, row.name), (3, "Confirm 1 orders"))
        self.assertEqual(self.order.state, "draft")

    def test_job_runs_the_method(self):
        counter = self.job_counter()
        job = self.order.action_confirm()
        self.assertEqual(counter.count_created(), 1)
        self.perform_jobs(counter)
        self.assertEqual(
            (self.order.state, self.order.job_uuid), ("confirmed", job.uuid)
        )

    def test_method_with_a_context_key(self):
        self.assertEqual(self.order.action_archive_old(), "archived")
        job = self.order.with_context(
            third_party_in_background=True
        ).action_archive_old()
        self.assertIsInstance(job, Job)

    def test_trap(self):
        with trap_jobs() as trap:
            self.order.action_confirm()
            trap.assert_enqueued_job(
                self.order.action_confirm, properties={"priority": 3}
            )
            trap.perform_enqueued_jobs()
        self.assertEqual(self.order.state, "confirmed")


@tagged("post_install", "-at_install")
class TestFailureOfThirdParty(ThirdPartyCase):
    def test_message_and_followers(self):
        follower = self.make_user(
            "third_party_follower", "queue_job.group_queue_job_manager"
        )
        manager = self.make_user("other_manager", "queue_job.group_queue_job_manager")
        job = self.order.with_delay().export("ftp")
        job.set_failed(exc_name="ConnectionError", exc_message="ftp is down")
        job.store()
        row = self.row(job)
        bodies = row.message_ids.filtered("subtype_id").mapped("body")
        self.assertTrue(
            any("ConnectionError: ftp is down" in body for body in bodies), bodies
        )
        self.assertIn(follower.partner_id, row.message_partner_ids)
        self.assertNotIn(manager.partner_id, row.message_partner_ids)


@tagged("post_install", "-at_install")
class TestRunOfThirdParty(CommittedJobCase):
    def setUp(self):
        super().setUp()
        with self.new_env() as env:
            self.order_id = env["test.third.party"].create({"name": "SO1"}).id
        self.addCleanup(self._remove_order)
        self.journal = []
        self.patch(ThirdPartyRunJobController, "third_party_journal", self.journal)

    def _remove_order(self):
        with self.new_env() as env:
            env["test.third.party"].browse(self.order_id).unlink()

    def record_in(self, env):
        return env["test.third.party"].browse(self.order_id)

    def order_values(self, *names):
        with self.new_env() as env:
            [values] = self.record_in(env).read(names)
        return [values[name] for name in names]

    def test_export(self):
        uuid = self.delay("export", "ftp")
        self.acquire_and_run(uuid, ThirdPartyRunJobController)
        self.assertEqual(
            self.columns(uuid, "result", "third_party_states"),
            {"result": "ftp for no shop", "third_party_states": "started,done"},
        )
        self.assertEqual(self.order_values("state"), ["exported"])
        self.assertEqual(
            self.journal,
            [("run", uuid), ("try", uuid), ("tried", uuid), ("dependents", uuid)],
        )

    @mute_logger(CONTROLLER_LOGGER)
    def test_failed_export(self):
        uuid = self.delay("export_and_fail", "ftp")
        self.acquire_and_run(uuid, ThirdPartyRunJobController)
        self.assertEqual(
            self.columns(uuid, "state", "third_party_states"),
            {"state": "failed", "third_party_states": "started,failed"},
        )
        self.assertEqual(
            self.order_values("state", "export_error"),
            ["draft", "ConnectionError: ftp is down"],
        )
        self.assertEqual(self.journal, [("run", uuid), ("try", uuid)])

    def test_override_may_swallow_the_run(self):
        uuid = self.delay("export", "ftp")
        with mock.patch.object(
            ThirdPartyRunJobController,
            "_try_perform_job",
            classmethod(lambda cls, env, job: None),
        ):
            self.acquire_and_run(uuid, ThirdPartyRunJobController)
        self.assertEqual(self.order_values("state"), ["draft"])
