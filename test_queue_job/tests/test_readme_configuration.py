# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the readme says of settings and log lines is what the code has."""

import ast
import configparser
import re
from pathlib import Path
from unittest import mock

from odoo.tests import TransactionCase, tagged

from odoo.addons.queue_job.jobrunner import config
from odoo.addons.queue_job.jobrunner.channel_config import (
    parse_simple_config,
    typed,
    warnings_about,
)

from .test_readme import README, examples

ADDON = README.parent
LOG_LINE = re.compile(
    r"^(DEBUG|INFO|WARNING|ERROR) (odoo\.addons\.queue_job\S*): (.+)$"
)
LEVELS = {"exception": "error"}
HOLDER = re.compile(r"%(?:\(\w+\))?[-\d.]*[a-z]")


def blocks(language):
    """Return ``(place, code)`` of the examples in a language, of all fragments."""
    return [
        (example.place, example.code)
        for path in sorted(README.glob("*.rst"))
        for example in examples(path.stem)
        if example.language == language
    ]


def logged_messages():
    """Return ``{(level, pattern of a message)}`` of what the addon logs or raises.

    The text of an exception may be logged at any level, which is empty then.
    """
    found = set()
    for path in ADDON.rglob("*.py"):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                found.update(("", pattern_of(text)) for text in node.exc.args[:1])
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id == "_logger":
                    level = LEVELS.get(node.func.attr, node.func.attr).upper()
                    found.add((level, pattern_of(node.args[0])))
    # A message made of place holders only would match anything.
    return {(level, pattern) for level, pattern in found if re.sub(r"\W", "", pattern)}


def pattern_of(node):
    """Return the regular expression of the messages that an expression stands for."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(pattern_of, node.values))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ".+".join(map(re.escape, HOLDER.split(node.value)))
    return ".+"


@tagged("post_install", "-at_install")
class TestConfiguration(TransactionCase):
    def test_every_setting_is_in_the_table(self):
        """The table names the settings that the code looks up, and no others."""
        looked_up = set()

        def setting(key):
            looked_up.add(key)

        with mock.patch.object(config, "setting", setting):
            config.runner_settings()
            config.connection_info_for(self.env.cr.dbname)
        text = (README / "CONFIGURE.rst").read_text()
        rows = re.findall(r"\* - ``ODOO_QUEUE_JOB_(\w+)``\n +- ``(\w+)``", text)
        self.assertEqual({key for _variable, key in rows}, looked_up)
        for variable, key in rows:
            self.assertEqual(variable.lower(), key)

    def test_every_parameter_is_in_the_table(self):
        text = (README / "CONFIGURE.rst").read_text()
        code = "".join(path.read_text() for path in ADDON.rglob("*.py"))
        self.assertEqual(
            set(re.findall(r"\* - ``(queue_job\.\w+)``", text)),
            set(re.findall(r'get_param\(\s*"(queue_job\.\w+)"', code)),
        )

    def test_every_configuration_can_be_read(self):
        found = blocks("ini")
        self.assertTrue(found)
        for place, code in found:
            with self.subTest(place):
                parser = configparser.ConfigParser(interpolation=None)
                parser.read_string(code)
                channels = parser.get("queue_job", "channels", fallback="")
                for entry in parse_simple_config(channels):
                    self.assertFalse(warnings_about(entry))
                    typed(entry)

    def test_every_statement_can_be_executed(self):
        for place, code in blocks("sql"):
            with self.subTest(place), self.env.cr.savepoint() as savepoint:
                self.env.cr.execute(code)
                savepoint.rollback()

    def test_every_log_line_exists(self):
        """A line that somebody searches the log for is written by some statement."""
        known = logged_messages()
        lines = [
            (place, line)
            for place, code in blocks("text")
            for line in code.splitlines()
            if line.split()[0].isupper()
        ]
        self.assertGreater(len(lines), 10)
        for place, line in lines:
            with self.subTest(place, line=line):
                level, _logger, message = LOG_LINE.match(line).groups()
                patterns = [p for name, p in known if name in (level, "")]
                self.assertTrue(
                    any(re.fullmatch(pattern, message) for pattern in patterns), message
                )

    def test_every_hint_exists(self):
        """What a log line advises is what the code advises."""
        hints = (Path(config.__file__).parent / "dispatch.py").read_text()
        hints = re.sub(r'"\s*"', "", hints)
        for _place, code in blocks("text"):
            for line in code.splitlines():
                if "exception in GET" in line:
                    self.assertIn(line.rpartition("; ")[2], hints)
