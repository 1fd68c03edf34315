# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Requests of a runner in the transaction of a test, as Odoo's ``HttpCase`` makes them.

The requests of ``test_runjob.py`` commit; these leave nothing behind.
"""

from unittest import mock

from odoo import SUPERUSER_ID, http
from odoo.tests import HttpCase, tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.controllers import main
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

    def test_what_can_be_no_job_is_refused_in_silence(self):
        """C12: a line break made a line of the log, a missing uuid a traceback, and
        9,000 uuids took half a second of a worker.
        """
        many = ",".join(["0"] * 9000)
        cases = (
            {"job_uuid": "1\n2026-01-01 ERROR forged"},
            {"job_uuid": "1\u2028forged"},
            {"job_uuid": "1\x1b[2J"},
            {"job_uuid": ""},
            {},
            {"job_uuid": "0", "run": many},
            {"job_uuid": "1\r2", "run": "1\r2"},
        )
        with (
            mock.patch.object(RunJobController, "_acquire_job") as acquire,
            mock.patch.object(main, "announce_dead") as report,
        ):
            for path in ("/queue_job/runjob", "/queue_job/report_dead"):
                for params in cases:
                    # The other route has one job only.
                    if "run" in params and path != "/queue_job/runjob":
                        continue
                    with (
                        self.subTest(path=path, params=str(params)[:60]),
                        self.assertNoLogs(CONTROLLER_LOGGER),
                        self.assertNoLogs("odoo.http", "WARNING"),
                    ):
                        response = self.url_open(path, params=params)
                        self.assertEqual(
                            (response.status_code, response.text), (200, "")
                        )
        acquire.assert_not_called()
        report.assert_not_called()

    def test_text_of_a_stranger_is_not_logged(self):
        with self.assertLogs(CONTROLLER_LOGGER, "WARNING") as logs:
            self.open_runjob("visit example dot com")
        self.assertNotIn("example", str(logs.output))

    def test_uuid_of_a_row_is_logged(self):
        job = self.enqueue()
        job.set_pending()
        job.store()
        self.env.flush_all()
        with self.assertLogs(CONTROLLER_LOGGER, "WARNING") as logs:
            self.open_runjob(job.uuid)
        self.assertIn(f"requested to run job {job.uuid}, but", logs.output[0])


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
