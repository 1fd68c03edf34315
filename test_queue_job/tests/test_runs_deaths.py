# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What may happen at any moment of a run: the worker dies, somebody moves its jobs.

Each job counts exactly once, or not at all when it was cancelled.
"""

import contextlib
import itertools
from unittest import mock

import psycopg2

from odoo import SUPERUSER_ID, api
from odoo.sql_db import Cursor
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.controllers.main import RunJobController
from odoo.addons.queue_job.delay import chain

from .common import CONTROLLER_LOGGER, Unheard
from .test_runs import RunCase


class Killed(BaseException):
    """Nothing that the process would do after this happens."""


@tagged("post_install", "-at_install")
class TestDeaths(RunCase):
    def setUp(self):
        super().setUp()
        self.startPatcher(
            mock.patch.object(
                self.model_class,
                "return_value",
                lambda records, value: records.create({"name": value}).name,
            )
        )
        self.enterContext(mute_logger(CONTROLLER_LOGGER, "odoo.sql_db"))

    def perform_disturbed(self, uuids, statements, disturb):
        """Perform a run; return whether it came to so many statements.

        :param disturb: called with its cursor after that many; what it raises goes on
            to be raised by each statement of the process
        """
        cr = self.registry.cursor()
        left = iter(range(statements))
        is_over = error = None

        def counted(function):
            def call(cursor, *args, **options):
                nonlocal is_over, error
                if error:
                    raise error
                result = function(cursor, *args, **options)
                if cursor is cr and not is_over and next(left, None) is None:
                    is_over = True
                    try:
                        disturb(cr)
                    except Killed as killed:
                        error = killed
                        raise
                return result

            return call

        with (
            mock.patch.object(Cursor, "execute", counted(Cursor.execute)),
            mock.patch.object(Cursor, "commit", counted(Cursor.commit)),
            contextlib.suppress(Killed, psycopg2.InterfaceError),
        ):
            env = api.Environment(cr, SUPERUSER_ID, {})
            RunJobController.perform_bundle(env, uuids, budget=60)
            cr.commit()  # pylint: disable=invalid-commit # as a request does
        cr.close()
        return is_over

    def perform_until_killed(self, uuids, statements):
        """Perform a run; return whether it was killed after so many statements."""

        def kill(cr):
            cr._cnx.close()
            raise Killed

        return self.perform_disturbed(uuids, statements, kill)

    def find_dead(self):
        """Do what the runner does: requeue the dead, release what waits for nobody."""
        self.make_old()
        self.sweep_dead()
        with self.new_env() as env:
            done = env["queue.job"].search(
                [("state", "=", "done"), ("id", "not in", self.known_jobs)]
            )
            done._release_dependents()

    def perform_rest(self, uuids):
        """Be the runner until nothing is left."""
        for _round in range(10):
            self.find_dead()
            pending = [
                uuid
                for uuid, state in zip(uuids, self.states(uuids), strict=True)
                if state == "pending"
            ]
            if not pending:
                return
            for uuid in pending:
                self.move(uuid, "enqueued")
            self.perform(pending)

    def performed(self, names):
        """Return how often each job has left what it leaves."""
        with self.new_env() as env:
            found = env["test.queue.job"].search([("name", "in", names)]).mapped("name")
        return {name: found.count(name) for name in names}

    def kill_everywhere(self, delay):
        """Kill a worker after each number of statements that a run takes.

        :param delay: called with names; return the uuids of all jobs, and of those
            that may run
        """
        for statements in itertools.count():
            names = [f"{self._testMethodName} {statements} {n}" for n in range(3)]
            uuids, run_uuids = delay(names)
            with self.subTest(statements=statements):
                killed = self.perform_until_killed(run_uuids, statements)
                self.perform_rest(uuids)
                self.assertEqual(self.states(uuids), ["done"] * len(uuids))
                self.assertEqual(self.performed(names), dict.fromkeys(names, 1))
            if not killed:
                break
        # A run of three jobs is more than its beginning and its end.
        self.assertGreater(statements, 6)

    def test_jobs(self):
        def delay(names):
            uuids = self.delay_many(*(("return_value", name) for name in names))
            return uuids, uuids

        self.kill_everywhere(delay)

    def test_jobs_with_dependents(self):
        def delay(names):
            with self.new_env() as env:
                first, second, other = (
                    self.record_in(env).delayable().return_value(name) for name in names
                )
                chain(first, second).delay()
                other.delay()
                uuids = [each._generated_job.uuid for each in (first, other, second)]
            for uuid in uuids[:2]:
                self.move(uuid, "enqueued")
            return uuids, uuids[:2]

        self.kill_everywhere(delay)

    def test_jobs_that_somebody_cancels(self):
        """Whatever is not locked at that moment, and has not ended."""

        def cancel(_cr):
            with self.registry.cursor() as other:
                other.execute(
                    """
                    WITH free AS MATERIALIZED (
                        SELECT id FROM queue_job
                        WHERE uuid = ANY(%s) AND state NOT IN ('done', 'failed')
                        FOR UPDATE SKIP LOCKED
                    )
                    UPDATE queue_job SET state = 'cancelled'
                    WHERE id IN (SELECT id FROM free) RETURNING uuid
                    """,
                    (uuids,),
                )
                cancelled.update(uuid for (uuid,) in other.fetchall())

        for statements in itertools.count():
            names = [f"{self._testMethodName} {statements} {n}" for n in range(3)]
            uuids = self.delay_many(*(("return_value", name) for name in names))
            cancelled = set()
            with self.subTest(statements=statements):
                is_disturbed = self.perform_disturbed(uuids, statements, cancel)
                self.perform_rest(uuids)
                states = [
                    "cancelled" if uuid in cancelled else "done" for uuid in uuids
                ]
                self.assertEqual(self.states(uuids), states)
                self.assertEqual(
                    list(self.performed(names).values()),
                    [int(state == "done") for state in states],
                )
            if not is_disturbed:
                break
        self.assertGreater(statements, 6)

    def test_jobs_of_which_one_fails(self):
        """A failure that was not recorded is one try; the job is performed again."""
        tries = {}

        def fails_once(records, value, *_args):
            tries[value] = tries.get(value, 0) + 1
            if value.endswith("1") and tries[value] == 1:
                raise ValueError(value)
            return records.create({"name": value}).name

        def delay(names):
            uuids = self.delay_many(*(("return_value", name) for name in names))
            return uuids, uuids

        def perform_rest(uuids):
            original(uuids)
            with self.new_env() as env:
                failed = env["queue.job"].search(
                    [("uuid", "in", uuids), ("state", "=", "failed")]
                )
                failed.requeue()
            original(uuids)

        original = self.perform_rest
        with (
            mock.patch.object(self.model_class, "return_value", fails_once),
            mock.patch.object(self, "perform_rest", perform_rest),
        ):
            self.kill_everywhere(delay)


@tagged("post_install", "-at_install")
class TestDeathsUnheard(Unheard, TestDeaths):
    allow_inherited_tests_method = True
