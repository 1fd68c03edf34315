# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The PostgreSQL backend of a worker ends after any statement; the worker lives on.

Each job counts exactly once, whether the last answer arrived or was lost with the
backend.
"""

from odoo import SUPERUSER_ID, api
from odoo.tests import tagged

from odoo.addons.queue_job.controllers.main import RunJobController
from odoo.addons.queue_job.tests.lost_backend import perform_with_lost_backend

from . import test_runs_deaths
from .common import Unheard


@tagged("post_install", "-at_install")
class TestLostBackends(Unheard, test_runs_deaths.TestDeaths):
    """What is seen when an administrator ends the connection between two statements."""

    allow_inherited_tests_method = True
    is_answered = True
    # That is not about the connection.
    test_jobs_that_somebody_cancels = None

    def perform_until_killed(self, uuids, statements):
        def perform(cr):
            RunJobController.perform_bundle(
                api.Environment(cr, SUPERUSER_ID, {}), uuids, 60
            )
            cr.commit()  # pylint: disable=invalid-commit # as a request does

        return perform_with_lost_backend(
            self.registry, statements, self.is_answered, perform
        )


@tagged("post_install", "-at_install")
class TestLostAnswers(TestLostBackends):
    """What is seen when a server process crashes: a commit may have been done."""

    is_answered = False
