# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the runner records about itself, so that the screens name what its log knows.

The screens said "no runner is alive" of a runner whose password the workers refused, and
of one behind a pooler; only its log had the cause.
"""

from unittest.mock import patch

from odoo.tests import tagged
from odoo.tools import mute_logger

from ..jobrunner import database
from ..jobrunner.dispatch import ANSWERED, UNREACHABLE
from ..protocol import DONE
from ..sql import statements
from .runner_case import SessionCase

RUNNER_LOGGER = "odoo.addons.queue_job.jobrunner.runner"


@tagged("post_install", "-at_install")
class TestCondition(SessionCase):
    def condition(self):
        return self.sql("SELECT trouble, status, address FROM queue_job_runner")

    def fail(self, session, now, **failure):
        self.dispatch(session, now)
        with mute_logger(RUNNER_LOGGER):
            self.answer(
                *(session, self.sent[-1]), now=now + 0.1, error=OSError("no"), **failure
            )

    def test_requests_that_fail_are_recorded_until_one_is_answered(self):
        uuid = self.job()
        session = self.session()
        self.assertEqual(self.condition(), [(None, None, None)])
        self.fail(session, 1000, kind=ANSWERED, status=401)
        # One node of several may be down.
        self.assertEqual(self.condition(), [(None, None, None)])
        self.fail(session, 1100, kind=ANSWERED, status=401)
        self.assertEqual(self.condition(), [(ANSWERED, 401, "http://test")])
        self.fail(session, 1200, kind=UNREACHABLE)
        self.assertEqual(self.condition(), [(UNREACHABLE, None, "http://test")])
        self.dispatch(session, 1300)
        self.update(uuid, state="done")
        with mute_logger(RUNNER_LOGGER):
            self.answer(session, self.sent[-1], (uuid, DONE), now=1300)
        self.assertEqual(self.condition(), [(None, None, None)])

    def test_the_next_runner_begins_without_trouble(self):
        self.sql(
            "INSERT INTO queue_job_runner (name, trouble) VALUES ('gone:1', 'unreachable')"
        )
        self.database()
        names = self.sql("SELECT name, trouble, is_pooled FROM queue_job_runner")
        self.assertEqual(names, [(database._name(), None, False)])

    def test_a_pooler_is_recorded_and_logged(self):
        """It gives its clients process numbers that are none of PostgreSQL's."""
        database._throttle.forget(self.db_name)
        with (
            patch.object(statements, "backend_pid", "SELECT -1"),
            self.assertLogs(RUNNER_LOGGER, "WARNING") as logs,
        ):
            self.database()
        self.assertIn("connected through a pooler", logs.output[0])
        self.assertEqual(self.sql("SELECT is_pooled FROM queue_job_runner"), [(True,)])

    def test_a_database_that_is_not_upgraded_yet_is_served(self):
        with patch.object(statements, "has_condition", "SELECT false"):
            self.database().record_condition(UNREACHABLE)
