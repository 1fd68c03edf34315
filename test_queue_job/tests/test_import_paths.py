# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The doors that modules written for the API come through."""

import importlib
import inspect

from odoo import http, models
from odoo.tests import BaseCase, tagged

NAMES = {
    "": "identity_exact post_init_hook controllers fields models wizards jobrunner",
    "job": (
        "Job identity_exact identity_exact_hasher WAIT_DEPENDENCIES PENDING ENQUEUED STARTED "
        "DONE CANCELLED FAILED STATES DEFAULT_PRIORITY DEFAULT_MAX_RETRIES RETRY_INTERVAL "
        "_is_model_method datetime timedelta os randint"
    ),
    "delay": (
        "group chain Graph DelayableGraph DelayableChain DelayableGroup Delayable "
        "DelayableRecordset Job"
    ),
    "exception": (
        "BaseQueueJobError JobError NoSuchJobError FailedJobError RetryableJobError "
        "ChannelNotFound"
    ),
    "fields": "JobSerialized JobEncoder JobDecoder",
    "utils": "must_run_without_delay",
    "controllers.main": (
        "RunJobController PG_RETRY DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE _prevent_commit"
    ),
    "models.base": "Base Delayable DelayableRecordset",
    "models.queue_job": "QueueJob",
    "models.queue_job_channel": "QueueJobChannel",
    "models.queue_job_function": "QueueJobFunction regex_job_function_name",
    "models.queue_job_lock": "QueueJobLock",
    "models.ir_model_fields": "IrModelFields",
    "jobrunner": (
        "queue_job_config QueueJobRunner _channels START_DELAY QueueJobRunnerThread "
        "WorkerJobRunner runner_thread _is_runner_enabled _start_runner_thread runner channels"
    ),
    "jobrunner.runner": (
        "QueueJobRunner Database MasterElectionLost SELECT_TIMEOUT ERROR_RECOVERY_DELAY "
        "PG_ADVISORY_LOCK_ID _channels _odoo_now _connection_info_for _async_http_get"
    ),
    "jobrunner.channels": (
        "ChannelManager Channel ChannelQueue ChannelJob PriorityQueue JobSortingKey NOT_DONE "
        "split_strip WAIT_DEPENDENCIES PENDING ENQUEUED STARTED DONE CANCELLED FAILED"
    ),
    "jobrunner.__main__": "main",
    "tests.common": (
        "trap_jobs JobsTrap JobCall JobCounter JobMixin mock_with_delay OdooDocTestCase "
        "load_doctests"
    ),
    "post_init_hook": "post_init_hook",
}
PACKAGE = "odoo.addons.queue_job"


@tagged("post_install", "-at_install")
class TestImportPaths(BaseCase):
    def module(self, path):
        return importlib.import_module(f"{PACKAGE}.{path}" if path else PACKAGE)

    def test_names(self):
        for path, names in NAMES.items():
            module = self.module(path)
            for name in names.split():
                with self.subTest(path=path, name=name):
                    self.assertTrue(hasattr(module, name))

    def test_values(self):
        controllers, runner = (
            self.module("controllers.main"),
            self.module("jobrunner.runner"),
        )
        self.assertEqual(controllers.PG_RETRY, 5)
        self.assertEqual(controllers.DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE, 5)
        self.assertEqual(self.module("jobrunner").START_DELAY, 5)
        self.assertEqual((runner.SELECT_TIMEOUT, runner.ERROR_RECOVERY_DELAY), (60, 5))
        self.assertEqual(runner.PG_ADVISORY_LOCK_ID, 2293787760715711918)

    def test_methods_patched_by_dotted_path(self):
        queue_job = self.module("models.queue_job").QueueJob
        for name in ("_test_job", "_test_on_fail"):
            self.assertTrue(callable(vars(queue_job).get(name)), name)
        self.assertTrue(hasattr(self.module("job").Job, "in_temporary_env"))

    def test_kinds(self):
        self.assertTrue(
            issubclass(self.module("models.queue_job").QueueJob, models.Model)
        )
        controller = self.module("controllers.main").RunJobController
        self.assertTrue(issubclass(controller, http.Controller))
        for name in (
            "_acquire_job",
            "_runjob",
            "_try_perform_job",
            "_enqueue_dependent_jobs",
            "_get_failure_values",
        ):
            with self.subTest(name):
                self.assertTrue(inspect.ismethod(getattr(controller, name)))
