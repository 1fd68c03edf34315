# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a readme says of settings, commands, names and log lines is what the code has."""

import ast
import configparser
import importlib.util
import inspect
import re
from contextlib import ExitStack
from functools import cached_property, lru_cache
from unittest import SkipTest, mock
from urllib.parse import parse_qs, urlsplit

from docutils import nodes

from odoo.tests import TransactionCase
from odoo.tools import config as odoo_config

from .. import configuration, doctor
from ..channels import limits
from ..channels.settings import parse_simple_config, typed, warnings_about
from ..jobrunner import config, job_workers
from .readme import (
    addon_folder,
    examples_in,
    fragments,
    labels,
    literals,
    sections,
)

VARIABLE = re.compile(r"\bODOO_QUEUE_JOB_\w+")
OPTION = re.compile(r"(?:(?<=\s)|^)--?[a-z][a-z-]*", re.MULTILINE)
MODULE = re.compile(r"python3 -m (\S+)")
# Their options are not Odoo's.
OTHER_COMMANDS = re.compile(r"^(?:\S*/)?(?:pip|docker|systemctl) .*$", re.MULTILINE)
WORD = re.compile(r"[A-Za-z_]\w+")
LOG_LINE = re.compile(
    r"^(DEBUG|INFO|WARNING|ERROR) (odoo\.addons\.queue_job\S*): (.+)$", re.MULTILINE
)
LEVELS = {"exception": "error"}
HOLDER = re.compile(r"%(?:\(\w+\))?[-\d.]*[a-z]")
CODE = (".py", ".sql", ".xml", ".js", ".csv")


def known_settings(db_name):
    """Return the keys that the code looks up in environment and file."""
    looked_up = set()
    with ExitStack() as patches:
        for module in (config, configuration, job_workers):
            patches.enter_context(mock.patch.object(module, "setting", looked_up.add))
        configuration.configured_job_workers()
        configuration.is_route_public()
        configuration.dormant_after()
        patches.enter_context(mock.patch.object(limits, "setting", looked_up.add))
        configuration.max_capacity()
        limits.database_capacity(db_name)
        config.runner_settings()
        config.metrics_address()
        config.connection_info_for(db_name)
    return looked_up


def python_files(addon):
    """Return ``(path, tree)`` of the modules of an addon, its tests left out."""
    folder = addon_folder(addon)
    paths = [p for p in folder.rglob("*.py") if "tests" not in p.parts]
    return [(path, ast.parse(path.read_text())) for path in sorted(paths)]


@lru_cache
def words_of(addon):
    """Return the words of the code of an addon, and of its public test kit."""
    folder = addon_folder(addon)
    texts = [
        path.read_text()
        for path in folder.rglob("*")
        if path.suffix in CODE
        and ("tests" not in path.parts or path.name == "common.py")
        and "lib" not in path.parts
    ]
    return {word for text in texts for word in WORD.findall(text)} | {addon}


@lru_cache
def words_of_odoo():
    """Return the words of the module where Odoo's options are."""
    return set(WORD.findall(inspect.getsource(type(odoo_config))))


def logged_messages(addon):
    """Return ``{(level, logger, pattern of a message)}`` of what an addon logs or raises.

    The text of an exception may be logged by anybody at any level: both are empty.
    """
    found = set()
    for path, tree in python_files(addon):
        logger = _logger_of(addon, path, tree) or _shared_logger(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                found.update(("", "", pattern_of(text)) for text in node.exc.args[:1])
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id in ("_logger", "logger"):
                    level = LEVELS.get(node.func.attr, node.func.attr).upper()
                    found.add((level, logger, pattern_of(node.args[0])))
    # A message made of place holders only would match anything.
    return {message for message in found if re.sub(r"\W", "", message[2])}


def _logger_of(addon, path, tree):
    """Return the name of the logger that a module calls ``_logger``."""
    parts = path.relative_to(addon_folder(addon)).with_suffix("").parts
    names = {
        "__name__": ".".join(("odoo.addons", addon, *parts)),
        "__package__": ".".join(("odoo.addons", addon, *parts[:-1])),
    }
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_logger":
            return eval(ast.unparse(node.value.args[0]), names)
    return ""


def _shared_logger(path):
    """Return the name of the logger that the modules of a room share."""
    log = path.parent / "log.py"
    found = log.exists() and re.search(r'getLogger\("(.+?)"\)', log.read_text())
    return found[1] if found else ""


def pattern_of(node):
    """Return the regular expression of the messages that an expression stands for."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(pattern_of, node.values))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ".+".join(map(re.escape, HOLDER.split(node.value)))
    return ".+"


def routes(addon):
    """Return ``{path: names of the parameters}`` of the controllers of an addon."""
    return {
        ast.literal_eval(route.args[0]): {argument.arg for argument in node.args.args}
        for _path, tree in python_files(addon)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for route in node.decorator_list
        if isinstance(route, ast.Call)
        and ast.unparse(route.func) == "http.route"
        and isinstance(route.args[0], ast.Constant)
    }


class ReadmeFacts(TransactionCase):
    """The readme of one addon."""

    # Odoo runs no inherited test methods otherwise.
    allow_inherited_tests_method = True
    addon = None
    # Addons that its readme speaks of, and names that are other people's.
    others = ()
    foreign = ()
    # What is emphasised and no label.
    prose = ()
    # What the fragments say of numbers, written with those of the code.
    numbers = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not cls.addon:
            raise SkipTest("reads the readme of an addon")

    @cached_property
    def settings(self):
        return known_settings(self.env.cr.dbname)

    def check_line(self, line):
        """Fail for an option, a variable or a module in a command that does not exist."""
        line = OTHER_COMMANDS.sub("", line)
        for option in OPTION.findall(MODULE.sub("", line)):
            self.assertTrue(
                odoo_config.parser.has_option(option)
                or option in doctor.new_parser().format_help(),
                option,
            )
        for variable in VARIABLE.findall(line):
            key = variable.removeprefix("ODOO_QUEUE_JOB_").lower()
            self.assertIn(key, self.settings)
        for module in MODULE.findall(line):
            self.assertTrue(importlib.util.find_spec(module), module)

    def test_every_configuration_can_be_read(self):
        parser = odoo_config.parser
        groups = [parser, *parser.option_groups]
        options = {option.dest for group in groups for option in group.option_list}
        for example in examples_in(self.addon, "ini"):
            with self.subTest(example.place):
                read = configparser.ConfigParser(interpolation=None)
                read.read_string(example.code)
                known = {"options": options, "queue_job": self.settings}
                for section in read.sections():
                    self.assertLessEqual(set(read[section]), known[section])
                channels = read.get("queue_job", "channels", fallback="")
                for entry in parse_simple_config(channels):
                    self.assertFalse(warnings_about(entry))
                    typed(entry)

    def test_every_command_can_be_given(self):
        for example in examples_in(self.addon, "sh", "yaml", "nginx"):
            with self.subTest(example.place):
                self.check_line(example.code.replace("\\\n", " ").replace("- ", ""))

    def test_every_name_exists(self):
        """What stands in a sentence as code is code: a word of ours or of Odoo's options."""
        known = set(self.foreign) | words_of_odoo()
        for addon in {"queue_job", self.addon, *self.others}:
            known |= words_of(addon)
        for path in fragments(self.addon):
            for literal in sorted(literals(path)):
                with self.subTest(path.name, literal=literal):
                    self.check_line(literal)
                    words = set(WORD.findall(VARIABLE.sub("", literal)))
                    self.assertFalse(
                        {w for w in words - known if w.lower() not in self.settings}
                    )

    def test_every_label_exists(self):
        """What is emphasised, and neither a word nor a sentence, can be seen in the menu."""
        for path in fragments(self.addon):
            for label in sorted(labels(path)):
                if label[0].islower() or label[-1] in ".:" or label in self.prose:
                    continue
                with self.subTest(path.name, label=label):
                    for part in label.split(" / "):
                        self.assertTrue(self.is_shown(part), part)

    def test_every_button_exists(self):
        path = addon_folder(self.addon) / "readme" / "USAGE.rst"
        for label in sorted(labels(path, nodes.strong)):
            with self.subTest(label):
                self.assertTrue(self.is_shown(label))

    def test_every_number_is_that_of_the_code(self):
        for fragment, phrases in self.numbers.items():
            path = addon_folder(self.addon) / "readme" / f"{fragment}.rst"
            text = " ".join(path.read_text().split())
            for phrase in phrases:
                with self.subTest(fragment, phrase=phrase):
                    self.assertIn(phrase, text)

    def is_shown(self, label):
        """Return whether a menu, a group, a field or a part of a view has this label."""
        return any(
            self.env[model].search_count([(field, operator, value)], limit=1)
            for model, field, operator, value in (
                ("ir.ui.menu", "name", "=", label),
                ("ir.actions.actions", "name", "=", label),
                ("res.groups", "name", "=", label),
                ("ir.model.fields", "field_description", "=", label),
                ("ir.model.fields.selection", "name", "=", label),
                ("ir.ui.view", "arch_db", "like", f'string="{label}"'),
            )
        )

    def test_every_log_line_exists(self):
        """A line that somebody searches the log for is written by some statement."""
        known = logged_messages("queue_job") | logged_messages(self.addon)
        for example in examples_in(self.addon, "text"):
            for line in example.code.splitlines():
                if not line.split()[0].isupper():
                    continue
                with self.subTest(example.place, line=line):
                    level, logger, message = LOG_LINE.match(line).groups()
                    self.assertTrue(
                        any(
                            re.fullmatch(pattern, message)
                            for its_level, its_logger, pattern in known
                            if its_level in (level, "") and its_logger in (logger, "")
                        ),
                        message,
                    )

    def test_every_cause_has_its_log_line(self):
        """What keeps jobs from starting is told by the log, or the text says that it is not."""
        path = addon_folder(self.addon) / "readme" / "TROUBLESHOOTING.rst"
        for title, text, blocks in sections(path) if path.exists() else ():
            with self.subTest(title):
                self.assertTrue(
                    any(map(LOG_LINE.match, blocks))
                    or re.search("nothing is logged|log has no line", text, re.I)
                )

    def test_every_address_exists(self):
        known = routes("queue_job") | routes(self.addon)
        for example in examples_in(self.addon, "text"):
            if example.code.startswith("/"):
                with self.subTest(example.place):
                    address = urlsplit(example.code)
                    self.assertLessEqual(
                        parse_qs(address.query).keys(), known[address.path]
                    )
