# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the tests of this addon share."""

from contextlib import contextmanager
from unittest import mock

import psycopg2

from odoo import SUPERUSER_ID, api
from odoo.tests import HttpCase, new_test_user

from odoo.addons.queue_job.controllers.main import RunJobController
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.jobrunner.runner import Database
from odoo.addons.queue_job.tests.committed_case import CommittedCase, DelayCase

from ..models.queue_job import QueueJob as ThirdPartyQueueJob
from ..models.test_queue_job import TestQueueJob

CONTROLLER_LOGGER = "odoo.addons.queue_job.controllers.main"


class SerializationFailure(psycopg2.OperationalError):
    """psycopg2 gives the code of an error made in Python no value."""

    pgcode = "40001"


class Unheard:
    """Before a case: nobody extends what the models of this addon do.

    So it is where no other addon looks at the moves of jobs, or adds to what is
    stored of them: then SQL writes the moves.
    """

    def setUp(self):
        super().setUp()
        for model, name in (
            (ThirdPartyQueueJob, "write"),
            (TestQueueJob, "_job_store_values"),
        ):
            method = getattr(model, name)
            delattr(model, name)
            self.addCleanup(setattr, model, name, method)


class JobCase(DelayCase):
    """Jobs in the transaction of the test."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.job_model = cls.env["queue.job"]
        cls.model = cls.env["test.queue.job"]
        cls.record = cls.model.create({"name": "one"})
        cls.stored_before = cls.job_model.search_count([])

    def row(self, job):
        """Return the stored row of a job, read anew."""
        self.env.flush_all()
        self.env.invalidate_all()
        return self.job_model.search([("uuid", "=", job.uuid)])

    def make_job(self, method=None, *args, **properties):
        """Return a stored job of a method, ``testing_method`` by default."""
        job = Job(method or self.record.testing_method, args=args, **properties)
        job.store()
        return job

    def assert_nothing_stored(self):
        self.assertEqual(self.job_model.search_count([]), self.stored_before)

    def load(self, job):
        return Job.load(self.env, job.uuid)

    def make_user(self, login, groups="base.group_user", **values):
        return new_test_user(self.env, login=login, groups=groups, **values)


class GraphCase(JobCase):
    def delayables(self, names):
        return [
            self.record.delayable(description=name).testing_method() for name in names
        ]

    def job_of(self, delayable):
        return delayable._generated_job

    def rows(self, *delayables):
        return [self.row(self.job_of(delayable)) for delayable in delayables]

    def states(self, *delayables):
        return [row.state for row in self.rows(*delayables)]

    def finish(self, delayable):
        """Set a job done as a worker does, dependents included."""
        job = self.load(self.job_of(delayable))
        job.set_done()
        job.store()
        self.env.flush_all()
        job.enqueue_waiting()
        self.env.flush_all()


class CommittedJobCase(CommittedCase):
    """Committed jobs, whose methods are those of a committed record."""

    committed_models = ("queue.job", "test.queue.job")

    def setUp(self):
        super().setUp()
        with self.new_env() as env:
            self.record_id = env["test.queue.job"].create({"name": "one"}).id

    def record_in(self, env):
        return env["test.queue.job"].browse(self.record_id)

    def delay(
        self, method_name, *args, user=SUPERUSER_ID, state="enqueued", **properties
    ):
        """Store and commit a job, in state enqueued as the runner leaves it."""
        with self.new_env(user=user) as env:
            delayed = self.record_in(env).with_delay(**properties)
            uuid = getattr(delayed, method_name)(*args).uuid
        self.move(uuid, state)
        return uuid

    def columns(self, uuid, *names):
        """Return committed columns of a job, as a dict."""
        with self.new_env() as env:
            job = env["queue.job"].search([("uuid", "=", uuid)])
            [values] = job.read(names)
        values.pop("id")
        return values

    def name_of_record(self):
        with self.new_env() as env:
            return self.record_in(env).name

    def acquire_and_run(self, uuid, controller=RunJobController):
        """Acquire and run as a worker does, on one cursor.

        Return the exception that the run raised, or None.
        """
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            job = controller._acquire_job(env, uuid)
            if job is None:
                return None
            try:
                controller._runjob(env, job)
            except Exception as error:
                cr.rollback()
                return error
        return None

    def die_while_running(self, uuid):
        """Acquire a job, then lose the connection, as a killed worker."""
        with self.registry.cursor() as cr:
            RunJobController._acquire_job(api.Environment(cr, SUPERUSER_ID, {}), uuid)
            cr.rollback()

    def make_old(self):
        """Let 10 seconds pass for the jobs of the test: they may be dead now."""
        with self.registry.cursor() as cr:
            cr.execute(
                """
                UPDATE queue_job SET date_enqueued = date_enqueued - interval '1 minute'
                WHERE state IN ('enqueued', 'started') AND id != ALL(%s)
                """,
                (self.known_jobs,),
            )

    def sweep_dead(self):
        """Run the dead-job query of the runner; return the uuids it found."""
        database = Database(self.registry.db_name)
        try:
            query = database._query_requeue_dead_jobs()
        finally:
            database.close()
        with self.registry.cursor() as cr:
            with self._spared_jobs(cr):
                cr.execute(query)
                return [uuid for (uuid,) in cr.fetchall()]

    @contextmanager
    def _spared_jobs(self, cr):
        """Keep the jobs that the test did not make from being found dead."""
        cr.execute(
            """
            UPDATE queue_job job SET date_enqueued = NULL FROM queue_job before
            WHERE before.id = job.id AND job.id = ANY(%s)
            RETURNING job.id, before.date_enqueued
            """,
            (self.known_jobs,),
        )
        spared = cr.fetchall()
        yield
        for job_id, date_enqueued in spared:
            cr.execute(
                "UPDATE queue_job SET date_enqueued = %s WHERE id = %s",
                (date_enqueued, job_id),
            )


class CommittedHttpCase(HttpCase, CommittedJobCase):
    """Requests that work on committed jobs and commit, as those of the runner."""

    registry_test_mode = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.startClassPatcher(
            mock.patch.object(
                cls.registry, "check_signaling", return_value=cls.registry
            )
        )
