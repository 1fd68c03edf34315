# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import re

from odoo.tests import tagged

from ..jobrunner import dispatch
from .readme import addon_folder, examples_in
from .readme_facts import ReadmeFacts


@tagged("post_install", "-at_install")
class TestReadme(ReadmeFacts):
    addon = "queue_job"
    others = ("queue_job_cron_jobrunner", "queue_job_prevent_duplicates")
    foreign = {
        # of nginx, of the kernel, of PostgreSQL
        *("proxy_read_timeout", "proxy_socket_keepalive", "sysctl", "net", "ipv4"),
        *("tcp_keepalive_time", "tcp_keepalive_intvl", "tcp_keepalive_probes"),
        "postgresql",
        *("partner", "production", "shop"),  # names of examples
        *("max_connections", "REQUESTS_CA_BUNDLE", "Host"),
        *("pip", "uninstall", "shell", "neutralize", "BENCHMARK", "md"),
    }

    @property
    def configure(self):
        return (addon_folder(self.addon) / "readme" / "CONFIGURE.rst").read_text()

    def test_every_setting_is_in_the_table(self):
        """The table names the settings that the code looks up, and no others."""
        rows = re.findall(
            r"\* - ``ODOO_QUEUE_JOB_(\w+)``\n +- ``(\w+)``", self.configure
        )
        self.assertEqual({key for _variable, key in rows}, self.settings)
        for variable, key in rows:
            self.assertEqual(variable.lower(), key)

    def test_every_variable_without_a_key_is_in_the_table(self):
        code = "".join(p.read_text() for p in addon_folder(self.addon).rglob("*.py"))
        self.assertEqual(
            set(re.findall(r'(?:getenv|environ\.get)\(\s*"(\w+)"', code)),
            set(re.findall(r"\* - ``(QUEUE_JOB__\w+)``\n +- none", self.configure)),
        )

    def test_every_parameter_is_in_the_table(self):
        code = "".join(p.read_text() for p in addon_folder(self.addon).rglob("*.py"))
        self.assertEqual(
            set(re.findall(r"\* - system parameter\n +- ``(.+)``", self.configure)),
            set(re.findall(r'get_param\(\s*"(queue_job\.\w+)"', code)),
        )

    def test_every_statement_can_be_executed(self):
        for example in examples_in(self.addon, "sql"):
            with self.subTest(example.place), self.env.cr.savepoint() as savepoint:
                self.env.cr.execute(example.code)
                savepoint.rollback()

    def test_every_hint_exists(self):
        """What a log line advises is what the code advises."""
        lines = [
            line
            for example in examples_in(self.addon, "text")
            for line in example.code.splitlines()
            if "exception in GET" in line
        ]
        self.assertTrue(lines)
        for line in lines:
            self.assertIn(line.rpartition("; ")[2], dispatch.HINTS.values())
