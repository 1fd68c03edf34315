# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Nothing leaks from a try to the next one, nor from a job that may commit."""

from unittest import mock

from odoo.tests import tagged
from odoo.tools import mute_logger

from .common import CONTROLLER_LOGGER, SerializationFailure
from .test_runs_leaks import LeakCase


@tagged("post_install", "-at_install")
class TestJobThatMayCommit(LeakCase):
    """One that its function allows to commit, in the middle of a run."""

    def perform_in_the_middle(self, method_name, *args):
        """Return what the job before and the one after it have seen, and all states."""
        seen = []

        def look(records, value):
            cr = records.env.cr
            seen.append((cr, records.name))
            self.assertFalse(cr.postcommit or cr.precommit)

        uuids = self.delay_many(
            ("return_value", 1), (method_name, *args), ("return_value", 2)
        )
        with (
            mock.patch.object(self.model_class, "return_value", look),
            mute_logger(CONTROLLER_LOGGER),
        ):
            self.perform(uuids)
        (before, first_name), (after, last_name) = seen
        self.assertIs(before, after)
        return [first_name, last_name], self.states(uuids)

    def test_done(self):
        names, states = self.perform_in_the_middle("commit_inside_allowed", "new")
        self.assertEqual(names, ["one", "new"])
        self.assertEqual(states, ["done"] * 3)

    def test_failed(self):
        names, states = self.perform_in_the_middle("commit_inside_then_raise", "new")
        self.assertEqual(names, ["one", "new"])
        self.assertEqual(states, ["done", "failed", "done"])

    def test_what_it_committed_is_told_to_other_processes_though_it_failed(self):
        def commit_then_raise(records, name):
            self.set_parameter(records)
            records.env.cr.commit()  # pylint: disable=invalid-commit # is allowed
            raise ValueError

        with (
            self.signals() as told,
            mock.patch.object(
                self.model_class, "commit_inside_then_raise", commit_then_raise
            ),
        ):
            self.perform_in_the_middle("commit_inside_then_raise", "new")
        self.assertTrue(told)


@tagged("post_install", "-at_install")
class TestBetweenTries(LeakCase):
    """A job that is tried again at once, because it met a conflict, begins anew."""

    def perform_twice(self, first, second, **properties):
        tries = iter((first, second))

        def method(records, value):
            next(tries)(records)

        uuid = self.delay("return_value", 1, **properties)
        with (
            mock.patch.object(self.model_class, "return_value", method),
            mock.patch("odoo.addons.queue_job.worker.attempt.CONFLICT_PAUSE", 0),
        ):
            self.perform([uuid])
        self.assertEqual(self.states([uuid]), ["done"])

    def test_company(self):
        def first(records):
            seen.append(self.move_to_company(records, other))
            raise SerializationFailure

        user, company, other = self.make_user_of_two_companies()
        seen = []
        self.perform_twice(
            first, lambda records: seen.append(records.env.company.id), user=user
        )
        self.assertEqual(seen, [other, company])

    def test_caches_of_the_process(self):
        def first(records):
            self.set_parameter(records)
            raise SerializationFailure

        seen = []
        self.perform_twice(
            first, lambda records: seen.append(self.get_parameter(records))
        )
        self.assertEqual(seen, [False])
