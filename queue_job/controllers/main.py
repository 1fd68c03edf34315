# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The routes by which the runner asks a worker, and the test jobs.

How a job is performed is in :mod:`..worker`; its names are found here too.
"""

import hmac
import random
from itertools import islice

from werkzeug.exceptions import BadRequest, Forbidden, NotFound

from odoo import SUPERUSER_ID, http
from odoo.tools import config, str2bool

from .. import protocol
from ..configuration import is_route_public
from ..delay import chain, group
from ..job import Job
from ..worker import Bundle, WorkerDoors, announce_dead, warm_up
from ..worker.attempt import (
    DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE,
    PG_RETRY,
    _prevent_commit,
)

__all__ = [
    "DEPENDS_MAX_TRIES_ON_CONCURRENCY_FAILURE",
    "PG_RETRY",
    "RunJobController",
    "_prevent_commit",
]

# More would hold a worker and fill the table at one request.
MAX_TEST_JOBS = 10_000
MAX_TEST_SECONDS = 3600


class RunJobController(http.Controller, WorkerDoors):
    TEST_GRAPH_MAX_PER_GROUP = 5

    # Performing -------------------------------------------------------------

    @http.route(
        "/queue_job/runjob",
        type="http",
        auth="none",
        save_session=False,
        readonly=False,
    )
    def runjob(self, job_uuid="", **kw):
        """Perform a job, or a bundle of jobs, that the runner has enqueued.

        A client that accepts JSON gets the report of the bundle; else the answer is empty,
        and 500 for a job that failed. Whatever cannot be run is answered alike.
        """
        env = self._superuser_env()
        asked = [job_uuid, *protocol.split_uuids(kw.get("run", ""))]
        if len(asked) > protocol.MAX_LENGTH:
            return self._report_nothing([])
        uuids = [uuid for uuid in asked if protocol.is_uuid(uuid)]
        if not uuids or not self._is_signed(env, asked):
            return self._report_nothing(asked)
        if protocol.REPORT_TYPE in http.request.httprequest.headers.get("Accept", ""):
            report = self.perform_bundle(
                env, uuids, stop_at_failure=str2bool(kw.get("sequential", ""), False)
            )
            # One that is no uuid keeps no other from running.
            for uuid in asked:
                if not protocol.is_uuid(uuid):
                    report.add(uuid, protocol.REFUSED)
            return self._answer(report)
        job = self._acquire_job(env, uuids[0])
        if job:
            self._runjob(env, job)
        return ""

    @http.route(
        protocol.REPORT_DEAD_PATH,
        type="http",
        auth="none",
        save_session=False,
        readonly=False,
    )
    def report_dead(self, job_uuid="", **_kw):
        """Announce the failure of a job that the runner found dead."""
        env = self._superuser_env()
        if protocol.is_uuid(job_uuid) and self._is_signed(env, [job_uuid]):
            announce_dead(env, job_uuid)
        return ""

    @http.route(
        protocol.WARM_UP_PATH,
        type="http",
        auth="none",
        save_session=False,
        readonly=False,
    )
    def warm_up(self, **_kw):
        """Do what the first job would otherwise wait for; only job workers do."""
        if not _is_job_worker():
            raise NotFound()
        env = self._superuser_env()
        self._is_signed(env, [])
        warm_up(env)
        return ""

    @http.route(
        protocol.PING_PATH, type="http", auth="none", save_session=False, readonly=True
    )
    def ping(self, job_uuid="", **_kw):
        """Report whether the signature of a request is right; does nothing else."""
        env = self._superuser_env()
        report = protocol.Report()
        is_signed = self._has_right_signature(env, [job_uuid])
        report.add(job_uuid, protocol.DONE if is_signed else protocol.REFUSED)
        return self._answer(report)

    @classmethod
    def perform_bundle(
        cls, env, uuids, budget=protocol.TIME_BUDGET, stop_at_failure=False
    ):
        """Perform jobs one after another on the cursor of ``env``; return the report.

        Commits each job. See :class:`~..worker.Bundle`.
        """
        return Bundle(cls, env, uuids, budget, stop_at_failure).perform()

    @staticmethod
    def _superuser_env():
        """Return the environment of the request, as superuser.

        404 when the server does not serve the database, or when job workers answer
        the runner and this process is none.
        """
        if not http.request.db or not (_is_job_worker() or is_route_public()):
            raise NotFound()
        http.request.update_env(user=SUPERUSER_ID)
        return http.request.env

    def _is_signed(self, env, uuids):
        """Return whether the signature is right, if one is wanted."""
        parameters = env["ir.config_parameter"].sudo()
        if not str2bool(parameters.get_param("queue_job.require_signature"), False):
            return True
        return self._has_right_signature(env, uuids)

    @staticmethod
    def _has_right_signature(env, uuids):
        parameters = env["ir.config_parameter"].sudo()
        expected = protocol.signature(
            parameters.get_param("database.secret"), env.cr.dbname, uuids
        )
        given = http.request.httprequest.headers.get(protocol.SIGNATURE_HEADER, "")
        return hmac.compare_digest(expected.encode(), given.encode())

    def _report_nothing(self, uuids):
        if protocol.REPORT_TYPE not in http.request.httprequest.headers.get(
            "Accept", ""
        ):
            return ""
        report = protocol.Report()
        for uuid in uuids:
            report.add(uuid, protocol.REFUSED)
        return self._answer(report)

    @staticmethod
    def _answer(report):
        return http.request.make_response(
            report.dumps(), [("Content-Type", protocol.REPORT_TYPE)]
        )

    # Test jobs --------------------------------------------------------------

    @http.route("/queue_job/create_test_job", type="http", auth="user")
    def create_test_job(
        self,
        priority=None,
        max_retries=None,
        channel=None,
        description="Test job",
        size=1,
        failure_rate=0,
        job_duration=0,
        commit_within_job=False,
        failure_retry_seconds=0,
    ):
        """Create test jobs: one, or a random graph of ``size`` jobs."""
        self._check_test_jobs_allowed()
        failure_rate = _number(float, failure_rate, 0)
        if not 0 <= failure_rate <= 1:
            raise BadRequest("failure_rate must be between 0 and 1")
        size = _number(int, size, 1)
        if size > MAX_TEST_JOBS:
            raise BadRequest(f"size must not be above {MAX_TEST_JOBS}")
        job_duration = _number(float, job_duration, 0)
        if not 0 <= job_duration <= MAX_TEST_SECONDS:
            raise BadRequest(
                f"job_duration must be between 0 and {MAX_TEST_SECONDS} seconds"
            )
        options = {
            "priority": _number(int, priority, None),
            "max_retries": _number(int, max_retries, None),
            "channel": channel,
            "description": description,
            "failure_rate": failure_rate,
            "job_duration": job_duration,
            "commit_within_job": commit_within_job,
            "failure_retry_seconds": _number(int, failure_retry_seconds, 0),
        }
        if size <= 0:
            return ""
        if size == 1:
            return self._create_single_test_job(**options)
        return self._create_graph_test_jobs(size, **options)

    def _check_test_jobs_allowed(self):
        env = http.request.env
        if not env.user.has_group("base.group_erp_manager"):
            raise Forbidden(env._("Access Denied"))
        switch = env["ir.config_parameter"].sudo().get_param("queue_job.test_jobs")
        if not (config["test_enable"] or config["dev_mode"] or str2bool(switch, False)):
            raise NotFound()

    def _create_single_test_job(self, **options):
        delayed = http.request.env["queue.job"].with_delay(**_properties(options))
        job = delayed._test_job(**_arguments(options))
        return f"job uuid: {job.uuid}"

    def _create_graph_test_jobs(self, size, **options):
        """Delay a random graph: chains and groups, each behind an earlier one."""
        model = http.request.env["queue.job"]
        numbers = iter(range(size))
        batches = []
        first = None
        while batch := list(
            islice(numbers, random.randint(1, self.TEST_GRAPH_MAX_PER_GROUP))
        ):
            jobs = []
            for number in batch:
                properties = _properties(options)
                properties["description"] = f"{options['description']} #{number}"
                delayable = model.delayable(**properties)
                jobs.append(delayable._test_job(**_arguments(options)))
            first = first or jobs[0]
            graph = random.choice((chain, group))(*jobs)
            if batches:
                random.choice(batches).on_done(graph)
            batches.append(graph)
        batches[0].delay()
        record = Job.db_records_from_uuids(
            http.request.env, [first._generated_job.uuid]
        )
        return f"graph uuid: {record.graph_uuid}"


def _is_job_worker():
    """Return whether this request came to the socket of the job workers."""
    return bool(http.request.httprequest.environ.get(protocol.JOB_WORKER))


def _number(convert, value, default):
    """Return a parameter of a request as a number, ``default`` when it is none."""
    try:
        return convert(value)
    except (TypeError, ValueError):
        return default


def _properties(options):
    return {
        name: options[name]
        for name in ("priority", "max_retries", "channel", "description")
    }


def _arguments(options):
    names = (
        "failure_rate",
        "job_duration",
        "commit_within_job",
        "failure_retry_seconds",
    )
    return {name: options[name] for name in names}
