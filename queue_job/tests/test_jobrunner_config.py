# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import os
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from unittest.mock import patch

from odoo.tests import BaseCase
from odoo.tools import config as odoo_config

from .. import configuration, jobrunner
from ..jobrunner import config

VARIABLES = (
    "CHANNELS",
    "SCHEME",
    "HOST",
    "PORT",
    "HTTP_AUTH_USER",
    "HTTP_AUTH_PASSWORD",
)


class TestConfig(BaseCase):
    def configured(self, section="", **environ):
        """Patch file and environment; both are empty unless given."""
        with tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False) as file:
            file.write(f"[options]\nx = 1\n[queue_job]\n{section}")
        self.addCleanup(os.unlink, file.name)
        names = [f"ODOO_QUEUE_JOB_{name}" for name in VARIABLES]
        values = {name: "" for name in names}
        values.update(
            {f"ODOO_QUEUE_JOB_{name}": value for name, value in environ.items()}
        )
        for patcher in (
            patch.dict("os.environ", values),
            patch.dict(odoo_config.options, {"config": file.name}),
        ):
            patcher.start()
            self.addCleanup(patcher.stop)

    def test_environment_wins_over_file_wins_over_default(self):
        self.configured("Channels = root:2\nhost = in-file\n", HOST="in-environment")
        self.assertEqual(jobrunner._channels(), "root:2")
        settings = config.runner_settings()
        self.assertEqual(settings["host"], "in-environment")
        self.assertEqual(settings["scheme"], "http")
        self.assertIsNone(settings["user"])

    def test_empty_environment_counts_as_unset(self):
        self.configured("channels = root:2\n", CHANNELS="")
        self.assertEqual(jobrunner._channels(), "root:2")

    def test_defaults(self):
        self.configured()
        self.assertEqual(jobrunner._channels(), "root:1")
        settings = config.runner_settings()
        self.assertEqual(settings["host"], odoo_config["http_interface"] or "localhost")
        self.assertEqual(settings["port"], odoo_config["http_port"] or 8069)

    def test_section_is_a_plain_dict_without_interpolation(self):
        self.configured("http_auth_password = 50%off\n")
        self.assertEqual(jobrunner.queue_job_config, {"http_auth_password": "50%off"})
        self.assertIs(jobrunner.queue_job_config, jobrunner.queue_job_config)

    def test_each_setting_has_a_variable_and_a_key(self):
        settings = {
            "scheme": "https",
            "host": "odoo.example.com",
            "port": "443",
            "http_auth_user": "me",
            "http_auth_password": "secret",
            "channels": "root:7",
        }
        names = {
            "http_auth_user": "user",
            "http_auth_password": "password",
            "channels": "channel_config_string",
        }
        expected = {names.get(key, key): value for key, value in settings.items()}
        lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
        self.configured(lines)
        self.assertEqual(config.runner_settings(), expected)
        self.configured(**{key.upper(): value for key, value in settings.items()})
        self.assertEqual(config.runner_settings(), expected)

    def test_each_setting_of_the_connection(self):
        for key in ("host", "port", "user", "password"):
            name = f"jobrunner_db_{key}"
            self.configured(f"{name} = in-file\n")
            self.assertEqual(config.connection_info_for("x")[key], "in-file")
            with patch.dict("os.environ", {f"ODOO_QUEUE_JOB_{name.upper()}": "direct"}):
                self.assertEqual(config.connection_info_for("x")[key], "direct")

    def test_file_without_the_section(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            with patch.dict(odoo_config.options, {"config": file.name}):
                self.assertEqual(jobrunner.queue_job_config, {})

    def test_section_of_the_addon_server_environment(self):
        self.configured("host = in-file\n")
        parser = ConfigParser()
        parser.read_string("[queue_job]\nhost = in-environment\n")
        self.addCleanup(configuration._section_of_server_environment.cache_clear)
        for source, expected in (
            (parser, {"host": "in-environment"}),
            (ConfigParser(), {}),
        ):
            configuration._section_of_server_environment.cache_clear()
            with patch.object(configuration, "serv_config", source):
                self.assertEqual(jobrunner.queue_job_config, expected)

    def test_enabled(self):
        for channels, enabled in (
            ("root:1", True),
            ("root:0", False),
            (" root:0,sub:1", False),
            ("root:01", False),
            ("sub:1,root:0", True),
            ("root : 0", True),
        ):
            self.configured(CHANNELS=channels)
            self.assertEqual(jobrunner._is_runner_enabled(), enabled, channels)

    def test_connection_of_the_runner(self):
        self.configured("jobrunner_db_host = direct\njobrunner_db_port = 5433\n")
        info = config.connection_info_for("some_db")
        self.assertEqual((info["host"], info["port"]), ("direct", "5433"))
        self.assertEqual(info["database"], "some_db")
        with patch.dict("os.environ", {"ODOO_QUEUE_JOB_JOBRUNNER_DB_HOST": "other"}):
            self.assertEqual(config.connection_info_for("some_db")["host"], "other")

    def test_import_reads_nothing_and_connects_to_nothing(self):
        code = (
            "import builtins, configparser, psycopg2, odoo.service.server\n"
            "import odoo.addons.base_sparse_field, odoo.addons.mail\n"
            "def no(*args, **kwargs): raise AssertionError(args)\n"
            "configparser.ConfigParser.read = psycopg2.connect = no\n"
            "import odoo.addons.queue_job.jobrunner as j\n"
            "assert j.QueueJobRunnerThread and j.WorkerJobRunner\n"
            "assert j.runner_thread is None and j.START_DELAY == 5\n"
        )
        odoo_config_init = "import odoo.tools.config; import odoo.modules.module as m;"
        path = odoo_config["addons_path"]
        code = (
            f"{odoo_config_init}\nfrom odoo.tools import config\n"
            f"config['addons_path'] = {list(path)!r}\nm.initialize_sys_path()\n{code}"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
