# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Several jobs performed one after another in one request."""

import contextlib
import json
from unittest import mock

from odoo import SUPERUSER_ID, api
from odoo.sql_db import Cursor
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job import protocol
from odoo.addons.queue_job.controllers.main import RunJobController
from odoo.addons.queue_job.delay import chain
from odoo.addons.queue_job.jobrunner.database import Database
from odoo.addons.queue_job.sql import statements as sql

from ..controllers.main import ThirdPartyRunJobController
from .common import CONTROLLER_LOGGER, CommittedHttpCase, CommittedJobCase

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


class RunCase(CommittedJobCase):
    def setUp(self):
        super().setUp()
        # A run commits each job; in tests a single job leaves that to its caller.
        config = {"test_enable": False}
        self.startPatcher(
            mock.patch("odoo.addons.queue_job.worker.attempt.config", config)
        )
        self.startPatcher(
            mock.patch.object(
                self.registry, "check_signaling", return_value=self.registry
            )
        )
        self.model_class = type(self.env["test.queue.job"])

    def delay_many(self, *calls):
        return [self.delay(*call) for call in calls]

    def perform(self, uuids, controller=RunJobController, **options):
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            # A busy machine is not to spend the budget of a worker.
            return controller.perform_bundle(env, uuids, **{"budget": 60, **options})

    def outcomes(self, report):
        return {uuid: outcome for uuid, outcome, _seconds in report.outcomes}

    def states(self, uuids):
        return [self.columns(uuid, "state")["state"] for uuid in uuids]


@tagged("post_install", "-at_install")
class TestRuns(RunCase):
    def test_jobs_run_in_order(self):
        ran = []
        uuids = self.delay_many(*(("return_value", number) for number in (3, 1, 2)))
        with mock.patch.object(
            self.model_class, "return_value", lambda records, value: ran.append(value)
        ):
            report = self.perform(uuids)
        self.assertEqual(ran, [3, 1, 2])
        self.assertEqual([uuid for uuid, _outcome, _seconds in report.outcomes], uuids)
        self.assertEqual(set(self.outcomes(report).values()), {protocol.DONE})
        self.assertEqual(report.left, [])
        self.assertEqual(self.states(uuids), ["done"] * 3)

    @mute_logger(CONTROLLER_LOGGER)
    def test_report_tells_each_outcome(self):
        uuids = self.delay_many(
            ("testing_method",),
            ("raise_error", "value"),
            ("raise_retryable",),
            ("write_name", "x"),
        )
        self.move(uuids[3], "cancelled")
        report = self.perform([*uuids, "no such uuid"])
        self.assertEqual(
            self.outcomes(report),
            {
                uuids[0]: protocol.DONE,
                uuids[1]: protocol.FAILED,
                uuids[2]: protocol.POSTPONED,
                uuids[3]: protocol.REFUSED,
                "no such uuid": protocol.REFUSED,
            },
        )
        self.assertEqual(self.states(uuids), ["done", "failed", "pending", "cancelled"])

    @mute_logger(CONTROLLER_LOGGER)
    def test_failure_undoes_its_own_job_only(self):
        uuids = self.delay_many(
            ("write_name", "of the first"),
            ("write_name_then_raise", "of the second", "value"),
            ("testing_method",),
        )
        self.perform(uuids)
        self.assertEqual(self.states(uuids), ["done", "failed", "done"])
        self.assertEqual(self.name_of_record(), "of the first")

    def test_commit_of_one_job_starts_the_next(self):
        seen = []
        uuids = self.delay_many(
            ("return_value", 0), ("return_value", 1), ("return_value", 2)
        )
        with mock.patch.object(
            self.model_class,
            "return_value",
            lambda records, value: seen.append(self.states(uuids)),
        ):
            self.perform(uuids)
        self.assertEqual(
            seen,
            [
                ["started", "enqueued", "enqueued"],
                ["done", "started", "enqueued"],
                ["done", "done", "started"],
            ],
        )

    def test_one_commit_for_each_job_and_one_to_begin(self):
        uuids = self.delay_many(*[("testing_method",)] * 10)
        commits = []
        commit = Cursor.commit

        def counting_commit(cursor):
            commits.append(cursor)
            return commit(cursor)

        with mock.patch.object(Cursor, "commit", counting_commit):
            self.perform(uuids)
        self.assertEqual(self.states(uuids), ["done"] * 10)
        # The cursor itself commits once more when it closes: nothing is left to write.
        self.assertLessEqual(len(commits), 12)

    def test_time_budget_leaves_the_rest_enqueued(self):
        now = [0.0]

        def slow(records, value):
            now[0] += 0.3

        uuids = self.delay_many(*(("return_value", number) for number in range(4)))
        with (
            mock.patch(
                "odoo.addons.queue_job.worker.bundle.time.monotonic", lambda: now[0]
            ),
            mock.patch.object(self.model_class, "return_value", slow),
        ):
            report = self.perform(uuids, budget=0.5)
        self.assertEqual(list(self.outcomes(report)), uuids[:2])
        self.assertEqual(report.left, uuids[2:])
        self.assertEqual(self.states(uuids), ["done", "done", "enqueued", "enqueued"])

    @mute_logger(CONTROLLER_LOGGER)
    def test_failure_ends_a_sequential_run(self):
        uuids = self.delay_many(("raise_error", "value"), ("testing_method",))
        report = self.perform(uuids, stop_at_failure=True)
        self.assertEqual(self.outcomes(report), {uuids[0]: protocol.FAILED})
        self.assertEqual(report.left, uuids[1:])
        self.assertEqual(self.states(uuids), ["failed", "enqueued"])

    @mute_logger(CONTROLLER_LOGGER)
    def test_nobody_overtakes_in_a_sequential_run(self):
        """The first job runs elsewhere, waits for its eta, or its key is held."""
        for method, state, outcome in (
            ("testing_method", "started", protocol.REFUSED),
            ("raise_retryable", "enqueued", protocol.POSTPONED),
            ("testing_method", "enqueued", protocol.HELD),
        ):
            with self.subTest(outcome), self.registry.cursor() as holder:
                uuids = [
                    self.delay(method, identity_key=outcome, state=state),
                    self.delay("testing_method"),
                ]
                if outcome == protocol.HELD:
                    holder.execute(
                        "SELECT pg_advisory_xact_lock_shared(%s, queue_job_key_lock(%s))",
                        (int(sql.parts["key_lock_class"]), outcome),
                    )
                report = self.perform(uuids, stop_at_failure=True)
                self.assertEqual(self.outcomes(report), {uuids[0]: outcome})
                self.assertEqual(report.left, uuids[1:])
                self.assertEqual(self.states(uuids)[1], "enqueued")

    @mute_logger(CONTROLLER_LOGGER)
    def test_request_that_is_sent_again_doubles_nothing(self):
        """As by a proxy whose first node did not answer, while that one works or after."""
        ran, again = [], []
        uuids = self.delay_many(("return_value", 0), ("return_value", 1))

        def once(records, value):
            ran.append(value)
            if value == 1:
                again.append(self.outcomes(self.perform(uuids)))

        with mock.patch.object(self.model_class, "return_value", once):
            self.perform(uuids)
            again.append(self.outcomes(self.perform(uuids)))
        self.assertEqual(ran, [0, 1])
        self.assertEqual(again, [dict.fromkeys(uuids, protocol.REFUSED)] * 2)
        for uuid in uuids:
            values = self.columns(uuid, "state", "retry", "run_number")
            self.assertEqual(values, {"state": "done", "retry": 1, "run_number": 1})

    @mute_logger(CONTROLLER_LOGGER)
    def test_job_cancelled_while_the_one_before_runs_is_refused(self):
        uuids = self.delay_many(("return_value", 0), ("write_name", "not to be"))
        with mock.patch.object(
            self.model_class,
            "return_value",
            lambda records, value: self.move(uuids[1], "cancelled"),
        ):
            report = self.perform(uuids)
        self.assertEqual(
            self.outcomes(report), {uuids[0]: protocol.DONE, uuids[1]: protocol.REFUSED}
        )
        self.assertEqual(self.states(uuids), ["done", "cancelled"])
        self.assertEqual(self.name_of_record(), "one")

    def test_dependents_are_released(self):
        with self.new_env() as env:
            parent, child = (
                self.record_in(env).delayable().testing_method() for _ in "ab"
            )
            chain(parent, child).delay()
            uuids = [delayable._generated_job.uuid for delayable in (parent, child)]
        self.move(uuids[0], "enqueued")
        other = self.delay("testing_method")
        self.perform([uuids[0], other])
        self.assertEqual(self.states([*uuids, other]), ["done", "pending", "done"])

    def test_each_job_passes_through_the_overrides(self):
        journal = []
        self.patch(ThirdPartyRunJobController, "third_party_journal", journal)
        uuids = self.delay_many(("testing_method",), ("testing_method",))
        self.perform(uuids, ThirdPartyRunJobController)
        self.assertEqual(
            journal,
            [
                (step, uuid)
                for uuid in uuids
                for step in ("run", "try", "tried", "dependents")
            ],
        )

    @mute_logger(CONTROLLER_LOGGER)
    def test_each_job_is_acquired_through_an_override(self):
        journal = []
        acquire = RunJobController._acquire_job

        def noting(cls, env, job_uuid):
            job = acquire(env, job_uuid)
            journal.append((job_uuid, bool(job)))
            return job

        uuids = self.delay_many(*[("testing_method",)] * 3)
        self.move(uuids[1], "cancelled")
        with mock.patch.object(RunJobController, "_acquire_job", classmethod(noting)):
            report = self.perform(uuids)
        self.assertEqual(journal, list(zip(uuids, (True, False, True), strict=True)))
        self.assertEqual(
            list(self.outcomes(report).values()),
            [protocol.DONE, protocol.REFUSED, protocol.DONE],
        )
        self.assertEqual(self.states(uuids), ["done", "cancelled", "done"])


@tagged("post_install", "-at_install")
class TestRunRoute(CommittedHttpCase, RunCase):
    def test_report_is_answered_to_who_accepts_json(self):
        uuids = self.delay_many(*[("testing_method",)] * 3)
        response = self.url_open(
            protocol.RUNJOB_PATH,
            params={"job_uuid": uuids[0], "run": ",".join(uuids[1:])},
            headers={
                protocol.DATABASE_HEADER: self.registry.db_name,
                "Accept": protocol.REPORT_TYPE,
            },
        )
        self.assertEqual(response.status_code, 200)
        self.assertEqual(
            [
                (uuid, outcome)
                for uuid, outcome, _seconds in json.loads(response.text)["outcomes"]
            ],
            [(uuid, protocol.DONE) for uuid in uuids],
        )
        self.assertEqual(self.states(uuids), ["done"] * 3)

    @mute_logger(CONTROLLER_LOGGER, "odoo.http")
    def test_failed_job_is_a_report_too(self):
        [uuid] = self.delay_many(("raise_error", "value"))
        response = self.url_open(
            protocol.RUNJOB_PATH,
            params={"job_uuid": uuid},
            headers={
                protocol.DATABASE_HEADER: self.registry.db_name,
                "Accept": protocol.REPORT_TYPE,
            },
        )
        self.assertEqual(response.status_code, 200)
        self.assertEqual(
            protocol.Report.loads(response.text).outcomes[0][:2],
            (uuid, protocol.FAILED),
        )

    def fail_in(self, step, uuid):
        """Ask for a job while a step of the worker is broken, and be the runner after that."""
        broken = mock.patch(step, side_effect=AttributeError("no such column"))
        with broken, mute_logger("odoo.http", CONTROLLER_LOGGER):
            response = self.url_open(
                protocol.RUNJOB_PATH,
                params={"job_uuid": uuid},
                headers={
                    protocol.DATABASE_HEADER: self.registry.db_name,
                    "Accept": protocol.REPORT_TYPE,
                },
            )
        self.assertEqual(response.status_code, 500)
        database = Database(self.registry.db_name)
        with contextlib.closing(database), mute_logger(RUNNER_LOGGER):
            self.assertEqual(database.recover([uuid]), [uuid])
        return self.columns(uuid, "state", "retry", "exc_name", "exc_message")

    def test_worker_that_fails_before_the_claim_uses_up_no_try(self):
        uuid = self.delay("testing_method", max_retries=1)
        for _ in range(2):
            values = self.fail_in(
                "odoo.addons.queue_job.worker.bundle.claim_or_undo", uuid
            )
            self.assertEqual((values["state"], values["retry"]), ("pending", 0))
            self.move(uuid, "enqueued")

    def test_worker_that_fails_after_the_claim_uses_up_a_try(self):
        """As when its code and the columns do not match.

        Nobody can tell what a job that was claimed has done to its worker: there
        is one limit for every cause, and in the end a reason.
        """
        uuid = self.delay("testing_method", max_retries=2)
        values = self.fail_in("odoo.addons.queue_job.worker.lease.Lease.lock", uuid)
        self.assertEqual((values["state"], values["retry"]), ("pending", 1))
        self.move(uuid, "enqueued")
        values = self.fail_in("odoo.addons.queue_job.worker.lease.Lease.lock", uuid)
        self.assertEqual((values["state"], values["retry"]), ("failed", 2))
        self.assertEqual(values["exc_name"], "JobFoundDead")
        self.assertIn("could not say what became of it", values["exc_message"])
