# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Imports point one way: words, values, acts, doors; the runner knows only words."""

import ast
import subprocess
import sys
from pathlib import Path

from odoo.tests import BaseCase, tagged

ADDON = Path(__file__).parents[1]
PACKAGE = "odoo.addons.queue_job"

WORDS = {
    *("states", "exception", "retry", "graph", "run", "key_functions", "notify"),
}
VALUES = {
    "identity",
    "fields",
    "job",
    "job_links",
    "job_row",
    "properties",
    "twin",
    "delay",
    "delay_plan",
    "utils",
}
ACTS = {"executor", "executor_record", "executor_run", "models", "wizards"}
DOORS = {"controllers", "post_init_hook", "uninstall_hook", "__init__"}

# Who may import which rooms of the addon.
MAY_IMPORT = {
    **dict.fromkeys(WORDS, WORDS),
    **dict.fromkeys(VALUES, WORDS | VALUES),
    # The screens tell what the configuration of the runner fixes.
    **dict.fromkeys(ACTS, WORDS | VALUES | ACTS | {"jobrunner"}),
    **dict.fromkeys(DOORS, WORDS | VALUES | ACTS | DOORS | {"jobrunner"}),
    "jobrunner": WORDS | {"jobrunner"},
}
# What a room may import from elsewhere, besides the standard library.
ELSEWHERE = {
    **dict.fromkeys(WORDS, set()),
    "jobrunner": {"psycopg2", "requests", "odoo"},
}
# Of odoo, what the runner needs to find configuration, databases and the server.
RUNNER_MAY_USE = {
    "odoo.cli",
    "odoo.http",
    "odoo.service",
    "odoo.sql_db",
    "odoo.tools",
    "odoo.addons.server_environment",
}


def room_of(path):
    return path.relative_to(ADDON).parts[0].removesuffix(".py")


def sources():
    for path in sorted(ADDON.rglob("*.py")):
        if room_of(path) not in {"tests", "migrations", "__manifest__"}:
            yield path


def imported(path):
    """Yield the absolute name of each module that a file imports."""
    package = [PACKAGE, *path.relative_to(ADDON).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join(filter(None, [*base, node.module]))
            if name in (PACKAGE, "odoo", "odoo.addons"):
                yield from (f"{name}.{alias.name}" for alias in node.names)
            else:
                yield name


@tagged("standard", "at_install")
class TestImports(BaseCase):
    def test_rooms_import_in_one_direction(self):
        for path in sources():
            room = room_of(path)
            if room == "__init__":
                continue
            for name in imported(path):
                if not name.startswith(PACKAGE + "."):
                    continue
                target = name.removeprefix(PACKAGE + ".").split(".")[0]
                with self.subTest(file=str(path.relative_to(ADDON)), imports=target):
                    self.assertIn(target, MAY_IMPORT[room])

    def test_words_and_runner_know_little_else(self):
        for path in sources():
            allowed = ELSEWHERE.get(room_of(path))
            if allowed is None:
                continue
            for name in imported(path):
                top = name.split(".")[0]
                if name.startswith(PACKAGE) or top in sys.stdlib_module_names:
                    continue
                with self.subTest(file=str(path.relative_to(ADDON)), imports=name):
                    self.assertIn(top, allowed)
                    if top == "odoo":
                        self.assertTrue(
                            any(name.startswith(module) for module in RUNNER_MAY_USE),
                            name,
                        )

    def test_importing_the_addon_is_cheap(self):
        """No test module is loaded, no connection opened, no configuration file read."""
        script = """
import builtins, sys
import odoo.http, odoo.addons, psycopg2, configparser
psycopg2.connect = None
configparser.RawConfigParser.read = None
odoo.addons.__path__.append(sys.argv[1])
import odoo.addons.queue_job
print([name for name in sys.modules if name.startswith("odoo.addons.queue_job.tests")])
"""
        result = subprocess.run(
            [sys.executable, "-c", script, str(ADDON.parent)],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(
            (result.stdout.strip(), result.returncode), ("[]", 0), result.stderr
        )
