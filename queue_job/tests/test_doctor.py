# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Set-ups that are broken on purpose, one for each line of the doctor."""

import io
import json
import time
from contextlib import redirect_stdout
from unittest.mock import patch

import psycopg2

from odoo.exceptions import AccessError
from odoo.sql_db import db_connect
from odoo.tests import HttpCase, TransactionCase, new_test_user, tagged
from odoo.tools import config

from .. import doctor
from ..doctor import ERROR, EXIT_CODES, OK, WARNING, Doctor
from ..jobrunner.config import connection_info_for
from ..jobrunner.database import Database

LOADED = ["base", "web", "queue_job"]


class LocalRequests:
    """Before a case: the doctor may ask addresses of this machine.

    Odoo's tests compare the timeout of a request with a number.
    """

    @classmethod
    def _request_handler(cls, session, request, /, **options):
        options["timeout"] = 10
        return super()._request_handler(session, request, **options)


class DoctorCase(LocalRequests, TransactionCase):
    def options(self, **options):
        self.startPatcher(patch.dict(config.options, options))

    def line(self, key):
        """Return the line of one check."""
        self.env.flush_all()
        found = Doctor(self.env.cr)
        return found._line(getattr(found, f"check_{key}"))

    def assert_line(self, key, level, *texts):
        line = self.line(key)
        self.assertEqual((line.key, line.level), (key, level), str(line.found))
        text = f"{line.looked_at} {line.found} {line.advice}"
        for part in texts:
            self.assertIn(part, text)
        self.assertEqual(bool(str(line.advice)), level != OK)

    def elect(self):
        """Be the runner of this database until the end of the test."""
        db = Database(self.env.cr.dbname)
        self.addCleanup(db.close)
        return db


@tagged("post_install", "-at_install")
class TestBrokenSetups(DoctorCase):
    def test_addon_is_not_server_wide(self):
        self.options(server_wide_modules=LOADED)
        self.assert_line("server_wide", OK)
        self.options(server_wide_modules=["base", "web"])
        self.assert_line("server_wide", ERROR, "base, web", "--load")

    def test_no_runner_is_elected(self):
        self.assert_line("election", ERROR, self.env.cr.dbname, "root:0")
        self.elect()
        self.assert_line("election", OK, "Held by ")

    def test_notifications_do_not_arrive(self):
        self.assert_line("listen", OK)
        self.startPatcher(patch.object(doctor, "NOTIFY_PATIENCE", 0.05))
        with patch.object(Doctor, "_notify"):
            self.assert_line("listen", ERROR, "jobrunner_db_host")

    def test_no_worker_at_the_address(self):
        self.startPatcher(
            patch.dict(
                "os.environ", ODOO_QUEUE_JOB_PORT="1", ODOO_QUEUE_JOB_HOST="127.0.0.1"
            )
        )
        self.assert_line("worker", ERROR, "127.0.0.1:1", "check scheme, host and port")

    def test_pooler_in_between(self):
        self.assert_line("pooler", OK)

        class Pooled:
            def __init__(self, conn):
                self.conn = conn

            def __getattr__(self, name):
                return getattr(self.conn, name)

            def get_backend_pid(self):
                return 1

        direct = Doctor._runner_connection
        with patch.object(
            Doctor, "_runner_connection", lambda self: Pooled(direct(self))
        ):
            self.assert_line("pooler", WARNING, "jobrunner_db_port")

    def test_trigger_is_disabled(self):
        self.assert_line("triggers", OK)
        self.env.cr.execute("ALTER TABLE queue_job DISABLE TRIGGER queue_job_notify")
        self.assert_line("triggers", ERROR, "queue_job_notify", "-u queue_job")

    def test_index_is_invalid(self):
        self.assert_line("indexes", OK)
        self.env.cr.execute(
            "UPDATE pg_index SET indisvalid = false "
            "WHERE indexrelid = 'queue_job_eta_index'::regclass"
        )
        self.assert_line("indexes", ERROR, "queue_job_eta_index", "REINDEX")

    def test_clocks_differ(self):
        self.assert_line("clock", OK)
        now = time.time()
        for seconds, level in ((10, WARNING), (3600, ERROR)):
            with patch.object(doctor.time, "time", return_value=now - seconds):
                self.assert_line("clock", level, "NTP")

    def test_autovacuum_is_off(self):
        self.env.cr.execute("ALTER TABLE queue_job SET (autovacuum_enabled = false)")
        self.assert_line("vacuum", ERROR, "Switch autovacuum on")

    def test_many_dead_rows(self):
        self.assert_line("vacuum", OK)
        with patch.object(Doctor, "_one", return_value=(True, 60_000, 1_000)):
            self.assert_line("vacuum", WARNING, "60000", "VACUUM queue_job")

    def test_old_snapshot(self):
        conn = psycopg2.connect(**connection_info_for(self.env.cr.dbname))
        self.addCleanup(conn.close)
        conn.set_session(isolation_level="REPEATABLE READ")
        with conn.cursor() as cr:
            cr.execute("SELECT set_config('application_name', 'shell', false)")
            cr.execute("SELECT count(*) FROM queue_job")
        # A transaction sees the sessions that there were when it looked first.
        with db_connect(self.env.cr.dbname).cursor() as cr:
            self.assertEqual(Doctor(cr).check_snapshot().level, OK)
            with patch.object(doctor, "OLD_SNAPSHOT", -3600):
                line = Doctor(cr).check_snapshot()
        self.assertEqual(line.level, WARNING)
        text = doctor.as_text([line])
        self.assertIn("No dead row is removed", text)

    def test_capacity_takes_all_workers(self):
        self.startPatcher(patch.dict("os.environ", ODOO_QUEUE_JOB_CHANNELS="root:6"))
        for workers, level in ((8, OK), (0, OK), (6, WARNING)):
            with self.subTest(workers=workers):
                self.options(workers=workers)
                self.assert_line("capacity", level, "6 jobs at once")

    def test_job_is_longer_than_the_limit(self):
        self.options(workers=2, limit_time_real=100)
        self.assert_line("limits", OK)
        self.env.cr.execute(
            "INSERT INTO queue_job_hour (hour, function, done, failed, seconds, longest) "
            "VALUES (date_trunc('hour', now() AT TIME ZONE 'UTC'), '<shop>.sync', 1, 0, 95, 95)"
        )
        self.assert_line(
            "limits", WARNING, "95 seconds (<shop>.sync)", "limit_time_real"
        )

    def test_check_that_breaks_is_a_finding(self):
        with patch.object(Doctor, "_rows", side_effect=ValueError("no")):
            self.assert_line("triggers", ERROR, "ValueError: no")


@tagged("post_install", "-at_install")
class TestExamination(DoctorCase):
    def test_each_check_has_a_line_and_is_named_once(self):
        with patch.object(Doctor, "_line", lambda self, check: check.__name__):
            self.elect()
            names = Doctor(self.env.cr).examine()
        self.assertEqual(len(set(names)), 12)

    def test_cron_workers_need_no_runner(self):
        module = self.env["ir.module.module"].search(
            [("name", "=", "queue_job_cron_jobrunner")]
        )
        module.state = "installed"
        self.env.flush_all()
        names = [check.__name__ for check in Doctor(self.env.cr).checks()]
        self.assertIn("check_cron", names)
        self.assertNotIn("check_listen", names)

    def test_overview_shows_the_lines_to_managers(self):
        overview = self.env["queue.job.overview"]
        with patch.object(Doctor, "checks", lambda self: [self.check_election]):
            (line,) = overview.read_doctor()
            self.assertEqual((line["key"], line["level"]), ("election", ERROR))
            self.assertIn("No runner is elected", line["found"])
            user = new_test_user(self.env, "no_manager", groups="base.group_user")
            with self.assertRaises(AccessError):
                overview.with_user(user).read_doctor()


@tagged("post_install", "-at_install")
class TestCommand(DoctorCase):
    def run_command(self, *lines, arguments=()):
        output = io.StringIO()
        found = [
            doctor.Line(str(i), level, "a", "b", "c") for i, level in enumerate(lines)
        ]
        with (
            patch.object(Doctor, "examine", return_value=found),
            patch.object(config, "parse_config"),
            redirect_stdout(output),
        ):
            code = doctor.main(["-d", self.env.cr.dbname, *arguments])
        return code, output.getvalue()

    def test_exit_code_is_that_of_the_worst_line(self):
        self.assertEqual(self.run_command(OK, OK)[0], 0)
        self.assertEqual(self.run_command(OK, WARNING)[0], 1)
        self.assertEqual(self.run_command(ERROR, WARNING)[0], 2)
        self.assertEqual(set(EXIT_CODES), {OK, WARNING, ERROR})

    def test_text_and_json(self):
        self.assertIn("[ok] 0: a\n    b\n    -> c", self.run_command(OK)[1])
        (line,) = json.loads(self.run_command(OK, arguments=["--json"])[1])
        self.assertEqual(
            line,
            {"key": "0", "level": "ok", "looked_at": "a", "found": "b", "advice": "c"},
        )


@tagged("post_install", "-at_install")
class TestSoundSetup(LocalRequests, HttpCase):
    """A server that serves, and a runner: all lines are good."""

    def setUp(self):
        super().setUp()
        environ = {
            "ODOO_QUEUE_JOB_HOST": "127.0.0.1",
            "ODOO_QUEUE_JOB_PORT": str(self.http_port()),
            "ODOO_QUEUE_JOB_CHANNELS": "root:2",
        }
        self.startPatcher(patch.dict("os.environ", environ))
        # Requests of a test carry a key of the test.
        self.authenticate(None, None)
        self.startPatcher(
            patch.object(doctor, "new_http_session", lambda address: self.opener)
        )

    def test_sound_setup_exits_with_zero(self):
        db = Database(self.env.cr.dbname)
        self.addCleanup(db.close)
        options = {"server_wide_modules": LOADED, "workers": 4}
        self.startPatcher(patch.dict(config.options, options))
        with db_connect(self.env.cr.dbname).cursor() as cr:
            lines = Doctor(cr).examine()
            cr.rollback()
        self.assertEqual(
            [doctor.as_text([line]) for line in lines if line.level != OK], []
        )
        self.assertEqual(EXIT_CODES[doctor.worst(lines)], 0)

    def test_worker_refuses_a_wrong_signature(self):
        found = Doctor(self.env.cr)
        with patch.object(Doctor, "_secret", return_value="another"):
            line = found.check_worker()
        self.assertEqual(line.level, ERROR)
        self.assertIn("refused the signature", str(line.found))
        self.assertIn("X-Queue-Job-Signature", str(line.advice))
