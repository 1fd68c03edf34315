# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Imports point one way, down the list of rooms; satellites enter by doors only.

A room imports itself and rooms that stand above it in the list.
"""

import ast
import subprocess
import sys

from odoo.tests import BaseCase, tagged

from .source import ADDON, PACKAGE, SATELLITES, imported, name_of, sources

WORDS = {
    *("states", "exception", "retry", "graph", "identity", "options", "fields"),
    *("utils", "protocol", "configuration", "exposition"),
}
# From top to bottom, each with its files and folders.
ROOMS = {
    "words": WORDS,
    "job": {"job"},
    "delay": {"delay", "delay_plan"},
    "sql": {"sql"},
    "store": {"store"},
    "worker": {"worker"},
    "channels": {"channels"},
    "jobrunner": {"jobrunner"},
    "doctor": {"doctor"},
    "insight": {"insight"},
    "models": {"models", "controllers", "wizards", "post_init_hook", "uninstall_hook"},
}
# Rooms that know less than all that stands above them.
KNOWS = {
    "words": {"words"},
    # It reaches rows through the model.
    "job": {"words", "job"},
    "sql": {"sql"},
    # They run in the process of the runner too.
    "channels": {"words", "sql", "channels"},
    "jobrunner": {"words", "sql", "channels", "jobrunner"},
    "doctor": {"words", "sql", "channels", "jobrunner", "doctor"},
    "models": set(ROOMS) - {"jobrunner"},
}
# Files that import past the rule, with what they import and why.
EXCEPTIONS = {
    (
        "models/queue_job_overview.py",
        "jobrunner.config",
    ): "asks the runner's configuration whether a runner starts here",
}
# Doors of a satellite: these modules, and the exports of packages by their __init__.
DOORS = {"job", "delay", "states", "exception", "fields", "utils", "store.keys"}
PACKAGES = {"worker", "channels", "sql"}
_CRON = "queue_job_cron_jobrunner/models/"
_OF_SCREENS = "extends a sentence of the screens"
SATELLITE_EXCEPTIONS = {
    (_CRON + "queue_job_explain.py", "insight.explain"): _OF_SCREENS,
    (_CRON + "queue_job_explain.py", "insight.snapshot"): _OF_SCREENS,
    (_CRON + "queue_job_overview.py", "insight.snapshot"): _OF_SCREENS,
    (_CRON + "queue_job_pick.py", "insight.snapshot"): "asks for the elected runner",
    (_CRON + "queue_job_pick.py", "jobrunner.rows"): "sets odd rows aside by one rule",
    (_CRON + "queue_job_pick.py", "jobrunner.liveness"): "finds dead jobs by one rule",
    (_CRON + "queue_job_pick.py", "store.attempts"): "records a job over a limit",
}

# Imports of a file from elsewhere, besides the standard library.
_PLAIN = WORDS - {"options", "fields", "utils", "configuration"}
ELSEWHERE = {
    **dict.fromkeys(_PLAIN, set()),
    "sql": set(),
    "channels": {"odoo"},
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


def top_of(path):
    return path.relative_to(ADDON).parts[0].removesuffix(".py")


def room_with(top):
    return next((room for room, tops in ROOMS.items() if top in tops), None)


def rooms_seen_from(room):
    above = list(ROOMS)[: list(ROOMS).index(room) + 1]
    return KNOWS.get(room, set(above))


def within_suite(path):
    """Yield ``(module, names)`` of what a file imports from queue_job, without its prefix."""
    for module, names in imported(path):
        if module.startswith(PACKAGE + "."):
            yield module.removeprefix(PACKAGE + "."), names


def product():
    for path in sources(ADDON):
        if top_of(path) != "__init__":
            yield path


def exports_of(package):
    """Return ``__all__`` of a package, or the names bound in its __init__."""
    tree = ast.parse((ADDON / package / "__init__.py").read_text())
    bound = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            bound.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id == "__all__":
                return set(ast.literal_eval(node.value))
            bound.add(node.targets[0].id)
    return bound


@tagged("standard", "at_install")
class TestImports(BaseCase):
    maxDiff = None

    def test_each_file_belongs_to_a_room(self):
        tops = {top_of(path) for path in product()}
        self.assertEqual(sorted(top for top in tops if not room_with(top)), [])

    def test_rooms_import_in_one_direction(self):
        found = {
            (name_of(path), module)
            for path in product()
            for module, _names in within_suite(path)
            if room_with(module.split(".")[0])
            not in rooms_seen_from(room_with(top_of(path)))
        }
        self.assertEqual(sorted(found), sorted(EXCEPTIONS))

    def test_satellites_enter_by_doors(self):
        found = set()
        for path in sources(*SATELLITES):
            for module, names in within_suite(path):
                if module in DOORS:
                    continue
                if module in PACKAGES and set(names) <= exports_of(module):
                    continue
                found.add((name_of(path), module))
        installed = {addon.name for addon in SATELLITES}
        expected = {
            place
            for place in SATELLITE_EXCEPTIONS
            if place[0].partition("/")[0] in installed
        }
        self.assertEqual(sorted(found), sorted(expected))

    def test_words_and_runner_know_little_else(self):
        for path in product():
            allowed = ELSEWHERE.get(top_of(path))
            if allowed is None:
                continue
            for name, _names in imported(path):
                top = name.split(".")[0]
                if name.startswith(PACKAGE) or top in sys.stdlib_module_names:
                    continue
                with self.subTest(file=name_of(path), imports=name):
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
