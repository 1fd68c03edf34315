# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import re
from unittest import mock

from odoo.tests import tagged

from .. import configuration
from ..channels.settings import parse_simple_config
from ..jobrunner import (
    backoff,
    config,
    connection,
    dispatch,
    durations,
    job_workers,
    metrics,
    metrics_page,
    pending_window,
    server,
    session,
)
from ..protocol import TIME_BUDGET
from ..states import DEFAULT_MAX_RETRIES, DEFAULT_PRIORITY
from ..worker import CONFLICT_TRIES_AT_ONCE, PG_RETRY
from .readme import addon_folder, examples_in
from .readme_facts import ReadmeFacts


def longest_runs():
    """Return how long a run is at most when one job, and two, of its method have ended."""
    seen = durations.Durations()
    for _number in range(2):
        seen.record("function", 0)
        yield seen.length("function")


@tagged("post_install", "-at_install")
class TestReadme(ReadmeFacts):
    addon = "queue_job"
    others = (
        "queue_job_batch",
        "queue_job_cron",
        "queue_job_cron_jobrunner",
        "queue_job_prevent_duplicates",
        "queue_job_subscribe",
    )
    foreign = {
        # of nginx, of the kernel, of PostgreSQL
        *("proxy_read_timeout", "proxy_socket_keepalive", "sysctl", "net", "ipv4"),
        *("tcp_keepalive_time", "tcp_keepalive_intvl", "tcp_keepalive_probes"),
        "postgresql",
        *("partner", "production", "shop"),  # names of examples
        *("max_connections", "REQUESTS_CA_BUNDLE", "Host"),
        *("pip", "uninstall", "shell", "neutralize", "kill", "BENCHMARK", "md"),
        *("HTTPS_PROXY", "NO_PROXY"),
        *("max_capacity", "db_max_capacity"),  # of late 18.0
    }
    prose = ("Actions", "Do not wait for a job", "PostgreSQL's", "Threaded server")

    @property
    def numbers(self):
        one, two = longest_runs()
        silence = session.BEAT_EVERY + connection.BEAT_PATIENCE
        days = self.env["queue.job"]._removal_interval
        return {
            "CONFIGURE": (
                f"(without job workers, {server.START_DELAY} seconds after the start)",
                f"keeps up to {dispatch.MAX_REQUESTS} of them open",
                f"those that take {durations.SHORT} seconds or more, get bundles of one job",
                f"as many jobs as should take {durations.FILL} seconds together",
                f"never more than {durations.MAX_LENGTH}.",
                f"seen once gets {one} jobs at most, and {two - one} more with each job",
                f"no further job when {TIME_BUDGET} seconds have passed",
                f"requeued after {session.SLOW_BUNDLE} to {session.SLOW_BUNDLE + 1} seconds",
                f"tries again after {backoff.Backoff.LAST} seconds at most",
                f"given up after some {silence} seconds",
                f"the first {job_workers.MAX_WARM} of them",
                f"as Odoo's cron workers do (``nice`` {job_workers.NICENESS})",
                f"up to {metrics.MAX_FUNCTIONS} functions",
                f"answered within {metrics_page.SILENCE} seconds",
                f"more than {pending_window.WINDOW} waiting jobs",
                f"every {session.FIGURES_EVERY} seconds, up to {session.MOST_COUNTED} jobs",
            ),
            "TROUBLESHOOTING": (
                f"no reply from PostgreSQL within {connection.BEAT_PATIENCE} s",
                f"tried again after {backoff.Backoff.LAST} seconds at most",
            ),
            "USAGE": (
                f"the smaller runs first. Default: {DEFAULT_PRIORITY}.",
                f"0: no limit. Default: {DEFAULT_MAX_RETRIES}.",
                f"interval of their channel, {days} days unless changed",
                f"up to {CONFLICT_TRIES_AT_ONCE} times in all, which counts as one try",
                f"the next try follows after {PG_RETRY} seconds",
            ),
            "ROADMAP": (
                f"the first {pending_window.WINDOW} in the order of their eta",
            ),
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

    def test_every_default_is_that_of_the_code(self):
        rows = dict(
            re.findall(
                r"\* - ``ODOO_QUEUE_JOB_\w+``\n +- ``(\w+)``\n +- .+\n +- (.+)\n",
                self.configure,
            )
        )
        nothing = {"http_interface": "", "http_port": 0}
        with (
            mock.patch.object(config, "setting", return_value=None),
            mock.patch.object(config, "config", nothing),
        ):
            found = config.runner_settings()
        defaults = {
            "channels": "none: ``root`` has what its record says, else ``max_capacity``, "
            "else a slot for each job worker, else one",
            "scheme": f"``{found['scheme']}``",
            "host": f"that of the job workers, else ``http_interface``, else ``{found['host']}``",
            "port": f"that of the job workers, else ``http_port``, else {found['port']}",
            "workers": "0: HTTP workers perform jobs",
            "worker_interface": f"``{job_workers.INTERFACE}``",
            "worker_port": "a free one",
            "public_route": "``False``",
            "http_auth_user": "none",
            "http_auth_password": "none",
            "max_capacity": "none",
            "db_max_capacity": "none",
            "dormant_after": str(configuration.DORMANT_AFTER),
            "metrics_port": "none: not served",
            "metrics_interface": f"``{config.METRICS_INTERFACE}``",
            **{f"jobrunner_db_{k}": f"``db_{k}``" for k in config.CONNECTION_SETTINGS},
        }
        self.assertEqual(rows, defaults)
        for name in ("channel_config_string", "user", "password"):
            self.assertIsNone(found[name])

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

    def test_error_of_the_configuration_is_that_of_the_code(self):
        errors = [
            line.removeprefix("ValueError: ")
            for example in examples_in(self.addon, "text")
            for line in example.code.splitlines()
            if line.startswith("ValueError: ")
        ]
        self.assertTrue(errors)
        for error in errors:
            written = re.fullmatch(r"Invalid channel config (.+): .+", error)[1]
            with self.assertRaises(ValueError) as raised:
                parse_simple_config(written)
            self.assertEqual(str(raised.exception), error)

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
