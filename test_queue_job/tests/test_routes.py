# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from unittest.mock import patch

from odoo import SUPERUSER_ID, http
from odoo.tests import HttpCase, JsonRpcException, new_test_user, tagged
from odoo.tools import config, mute_logger

from odoo.addons.queue_job.controllers import main
from odoo.addons.queue_job.controllers.main import RunJobController

from ..controllers.main import ThirdPartyRunJobController
from .common import CONTROLLER_LOGGER, CommittedHttpCase, JobCase


@tagged("post_install", "-at_install")
class TestRunJobRoute(CommittedHttpCase):
    def open_runjob(self, **params):
        return self.url_open(
            "/queue_job/runjob",
            params=params,
            headers={"X-Odoo-Database": self.registry.db_name},
        )

    def test_done(self):
        uuid = self.delay("write_name", "by the route")
        response = self.open_runjob(job_uuid=uuid)
        self.assertEqual((response.status_code, response.text), (200, ""))
        self.assertEqual(self.columns(uuid, "state"), {"state": "done"})
        self.assertEqual(self.name_of_record(), "by the route")

    def test_a10_database_that_is_not_served_is_not_found(self):
        """The request had no database and failed with 500 and a traceback."""
        uuid = self.delay("testing_method")
        modules = [*config["server_wide_modules"], "queue_job"]
        self.startPatcher(patch.dict(config.options, server_wide_modules=modules))
        self.startPatcher(patch.object(http, "db_filter", return_value=[]))
        self.startPatcher(patch.dict(vars(http.root)))
        vars(http.root).pop("nodb_routing_map", None)
        for path in ("runjob", "report_dead"):
            with self.assertNoLogs("odoo.http", "WARNING"):
                response = self.url_open(
                    f"/queue_job/{path}?job_uuid={uuid}",
                    headers={"X-Odoo-Database": self.registry.db_name},
                )
            self.assertEqual(response.status_code, 404, path)
        self.assertEqual(self.columns(uuid, "state"), {"state": "enqueued"})

    def test_other_parameters_are_ignored(self):
        uuid = self.delay("testing_method")
        response = self.open_runjob(job_uuid=uuid, db="any", more="1")
        self.assertEqual(response.status_code, 200)
        self.assertEqual(self.columns(uuid, "state"), {"state": "done"})

    def test_postponed(self):
        uuid = self.delay("raise_retryable")
        response = self.open_runjob(job_uuid=uuid)
        self.assertEqual((response.status_code, response.text), (200, ""))
        self.assertEqual(self.columns(uuid, "state"), {"state": "pending"})

    @mute_logger(CONTROLLER_LOGGER, "odoo.http")
    def test_failed(self):
        uuid = self.delay("raise_error", "value")
        response = self.open_runjob(job_uuid=uuid)
        self.assertEqual(response.status_code, 500)
        self.assertEqual(self.columns(uuid, "state"), {"state": "failed"})

    @mute_logger(CONTROLLER_LOGGER)
    def test_not_acquirable_jobs_answer_alike(self):
        uuid = self.delay("testing_method", state="pending")
        answers = {
            (response.status_code, response.text)
            for response in (
                self.open_runjob(job_uuid=uuid),
                self.open_runjob(job_uuid="no such uuid"),
                self.open_runjob(job_uuid="' OR 1=1 --"),
            )
        }
        self.assertEqual(answers, {(200, "")})
        self.assertEqual(self.columns(uuid, "state"), {"state": "pending"})

    @mute_logger(CONTROLLER_LOGGER, "odoo.http")
    def test_post_without_token_is_refused(self):
        uuid = self.delay("testing_method")
        response = self.url_open(
            "/queue_job/runjob",
            data={"job_uuid": uuid},
            headers={"X-Odoo-Database": self.registry.db_name},
        )
        self.assertEqual(response.status_code, 400)
        self.assertEqual(self.columns(uuid, "state"), {"state": "enqueued"})

    def test_no_session_is_saved(self):
        response = self.open_runjob(job_uuid=self.delay("testing_method"))
        self.assertNotIn("session_id", response.cookies)

    def test_third_party_controller_serves_the_route(self):
        journal = []
        self.patch(ThirdPartyRunJobController, "third_party_journal", journal)
        uuid = self.delay("testing_method")
        self.open_runjob(job_uuid=uuid)
        self.assertEqual(
            journal,
            [("run", uuid), ("try", uuid), ("tried", uuid), ("dependents", uuid)],
        )

    def test_environment_is_the_superuser_before_the_job_is_acquired(self):
        seen = []

        def acquire(env, job_uuid):
            seen.append((env.uid, env.transaction.default_env.uid))

        users = []
        update_env = http.Request.update_env

        def spy(request, user=None, context=None, su=None):
            users.append(user)
            return update_env(request, user, context, su)

        self.patch(RunJobController, "_acquire_job", staticmethod(acquire))
        self.patch(http.Request, "update_env", spy)
        self.open_runjob(job_uuid="any")
        self.assertEqual(seen, [(SUPERUSER_ID, SUPERUSER_ID)])
        self.assertIn(SUPERUSER_ID, users)


@tagged("post_install", "-at_install")
class TestCreateTestJobRoute(HttpCase):
    url = "/queue_job/create_test_job"

    def setUp(self):
        super().setUp()
        self.job_model = self.env["queue.job"]
        self.known = self.job_model.search([])

    def open_as_admin(self, **params):
        self.authenticate("admin", "admin")
        return self.url_open(self.url, params=params)

    def created(self):
        self.env.invalidate_all()
        return self.job_model.search([]) - self.known

    def test_single_job(self):
        response = self.open_as_admin(
            priority="3", max_retries="2", channel="root.sub", description="Described"
        )
        job = self.created()
        self.assertEqual(
            (response.status_code, response.text), (200, f"job uuid: {job.uuid}")
        )
        self.assertRecordValues(
            job,
            [
                {
                    "priority": 3,
                    "max_retries": 2,
                    "channel": "root.sub",
                    "name": "Described",
                    "model_name": "queue.job",
                    "method_name": "_test_job",
                    "state": "pending",
                }
            ],
        )
        self.assertEqual(
            job.kwargs,
            {
                "failure_rate": 0,
                "job_duration": 0,
                "commit_within_job": False,
                "failure_retry_seconds": 0,
            },
        )

    def test_unparsable_values_are_the_default_ones(self):
        self.open_as_admin(
            priority="x", max_retries="x", size="x", failure_rate="x", job_duration="x"
        )
        self.assertRecordValues(
            self.created(), [{"priority": 10, "max_retries": 5, "name": "Test job"}]
        )

    def test_options_of_the_test_job(self):
        self.open_as_admin(
            failure_rate="0.5",
            job_duration="1.5",
            commit_within_job="0",
            failure_retry_seconds="30",
        )
        # Any text is true, as it is for the method.
        self.assertEqual(
            self.created().kwargs,
            {
                "failure_rate": 0.5,
                "job_duration": 1.5,
                "commit_within_job": "0",
                "failure_retry_seconds": 30,
            },
        )

    def test_graph_is_one_tree_of_small_batches(self):
        self.open_as_admin(size="30")
        jobs = self.created()
        free = jobs.filtered(lambda job: job.state == "pending")
        self.assertLessEqual(len(free), RunJobController.TEST_GRAPH_MAX_PER_GROUP)
        self.assertEqual(set((jobs - free).mapped("state")), {"wait_dependencies"})
        self.assertTrue(all(job.dependency_ids for job in jobs - free))

    def test_graph(self):
        response = self.open_as_admin(size="12", description="Part")
        jobs = self.created()
        self.assertEqual(len(jobs), 12)
        self.assertEqual(len(set(jobs.mapped("graph_uuid"))), 1)
        self.assertEqual(response.text, f"graph uuid: {jobs[0].graph_uuid}")
        self.assertEqual(len(set(jobs.mapped("name"))), 12)
        for name in jobs.mapped("name"):
            self.assertRegex(name, r"^Part #\d+$")

    def test_no_size_creates_nothing(self):
        for size in ("0", "-3"):
            response = self.open_as_admin(size=size)
            self.assertEqual((response.status_code, response.text), (200, ""))
        self.assertFalse(self.created())

    @mute_logger("odoo.http")
    def test_failure_rate_is_a_share(self):
        for rate in ("-0.1", "1.1"):
            response = self.open_as_admin(failure_rate=rate)
            self.assertEqual(response.status_code, 400)
            self.assertIn("failure_rate must be between 0 and 1", response.text)

    @mute_logger("odoo.http")
    def test_erp_managers_only(self):
        new_test_user(self.env, login="no_manager")
        self.authenticate("no_manager", "no_manager")
        self.assertEqual(self.url_open(self.url).status_code, 403)
        self.assertFalse(self.created())


@tagged("post_install", "-at_install")
class TestCreateOverRpc(HttpCase):
    @mute_logger("odoo.http")
    def test_create_is_private(self):
        self.authenticate("admin", "admin")
        with self.assertRaises(JsonRpcException) as caught:
            self.make_jsonrpc_request(
                "/web/dataset/call_kw/queue.job/create",
                {
                    "model": "queue.job",
                    "method": "create",
                    "args": [{"uuid": "over_rpc", "state": "pending"}],
                    "kwargs": {},
                },
            )
        self.assertIn("AccessError", str(caught.exception))


@tagged("post_install", "-at_install")
class TestControllerModule(JobCase):
    def test_names(self):
        self.assertIs(main.RunJobController, RunJobController)
        self.assertTrue(issubclass(RunJobController, http.Controller))
        self.assertEqual(RunJobController.TEST_GRAPH_MAX_PER_GROUP, 5)
