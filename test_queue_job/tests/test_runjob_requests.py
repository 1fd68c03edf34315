# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Requests of a runner in the transaction of a test, as Odoo's ``HttpCase`` makes them.

The requests of ``test_runjob.py`` commit; these leave nothing behind.
"""

from unittest import mock

from odoo import SUPERUSER_ID, http
from odoo.tests import HttpCase, tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.controllers.main import RunJobController

from .common import CONTROLLER_LOGGER, JobCase


class RequestCase(JobCase, HttpCase):
    def open_runjob(self, uuid, **params):
        # The runner of before named the database in the address.
        params = {"db": self.env.cr.dbname, "job_uuid": uuid, **params}
        return self.url_open("/queue_job/runjob", params=params)

    def enqueue(self, method=None, *args):
        job = self.make_job(method, *args)
        job.set_enqueued()
        job.store()
        self.env.flush_all()
        return job


@tagged("post_install", "-at_install")
class TestRequests(RequestCase):
    def test_done(self):
        job = self.enqueue(self.record.write_name, "by the request")
        response = self.open_runjob(job.uuid)
        self.assertEqual((response.status_code, response.text), (200, ""))
        self.assertEqual(self.row(job).state, "done")
        self.assertEqual(self.record.name, "by the request")

    @mute_logger(CONTROLLER_LOGGER, "odoo.http")
    def test_failed(self):
        response = self.open_runjob(self.enqueue(self.record.raise_error, "value").uuid)
        self.assertEqual(response.status_code, 500)

    @mute_logger("odoo.http")
    def test_uuid_is_required(self):
        with mock.patch.object(RunJobController, "_acquire_job") as acquire:
            response = self.url_open("/queue_job/runjob")
        self.assertGreaterEqual(response.status_code, 400)
        acquire.assert_not_called()


@tagged("post_install", "-at_install")
class TestDefaultEnvironment(RequestCase):
    """Who writes at the end of the transaction what the job left to be computed."""

    def default_uid(self, update_env):
        """Return the uid of the default environment when a job is acquired."""
        seen = []

        def acquire(env, job_uuid):
            seen.append(env.transaction.default_env.uid)

        with (
            mock.patch.object(http.Request, "update_env", update_env),
            mock.patch.object(RunJobController, "_acquire_job", side_effect=acquire),
        ):
            response = self.open_runjob("any")
        self.assertEqual(response.status_code, 200)
        [uid] = seen
        return uid

    def test_is_the_superuser(self):
        update_env = http.Request.update_env
        calls = []

        def noted(request, *args, **kwargs):
            calls.append((args, kwargs))
            return update_env(request, *args, **kwargs)

        self.assertEqual(self.default_uid(noted), SUPERUSER_ID)
        self.assertIn(((), {"user": SUPERUSER_ID}), calls)

    def test_is_made_so_by_update_env_alone(self):
        def without_default(request, user=None, context=None, su=None):
            request.env = request.env(None, user, context, su)

        self.assertNotEqual(self.default_uid(without_default), SUPERUSER_ID)

    def test_update_env_that_does_nothing(self):
        def nothing(request, *args, **kwargs):
            return None

        self.assertNotEqual(self.default_uid(nothing), SUPERUSER_ID)
