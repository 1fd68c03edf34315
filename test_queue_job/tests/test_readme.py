# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The examples of the readme are run, so that what is written there holds.

Classes of models extend the models of this database while the tests run, XML is
loaded, classes of tests are run as tests, and everything else is executed with
``self`` as a recordset of partners. A comment ``.. check`` after an example
says what must be true then; it is not shown to readers.
"""

import ast
import io
import logging
import textwrap
import unittest
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from docutils import nodes
from docutils.core import publish_doctree

from odoo import api, fields, models
from odoo.orm.model_classes import add_to_registry
from odoo.tests import TransactionCase, tagged
from odoo.tests.result import OdooTestResult
from odoo.tests.suite import OdooSuite
from odoo.tools.convert import convert_xml_import

from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.tests.common import JobCounter

from .common import JobCase

README = Path(__file__).parents[2] / "queue_job" / "readme"
MODULE = "test_queue_job"


class Example(NamedTuple):
    """A block of code of a fragment, and what must be true after it."""

    language: str
    code: str
    check: str
    place: str

    @property
    def tree(self):
        return ast.parse(self.code if self.language == "python" else "")

    def is_class_of(self, *bases):
        """Return whether the example defines a class of one of these bases."""
        return any(
            isinstance(node, ast.ClassDef) and ast.unparse(node.bases[0]) in bases
            for node in self.tree.body
        )

    @property
    def is_model(self):
        return self.is_class_of("models.Model")

    @property
    def is_test(self):
        return self.is_class_of("TransactionCase")


def examples(fragment):
    """Return the examples of a fragment, in order."""
    path = README / f"{fragment}.rst"
    settings = {"syntax_highlight": "none", "report_level": 2, "halt_level": 2}
    tree = publish_doctree(path.read_text(), settings_overrides=settings)
    found = []
    for node in tree.findall():
        if isinstance(node, nodes.literal_block) and "code" in node["classes"]:
            found.append([node["classes"][-1], node.astext(), "", node.line])
        elif isinstance(node, nodes.comment) and node.astext().startswith("check\n"):
            found[-1][2] = textwrap.dedent(node.astext().removeprefix("check\n"))
    return [
        Example(language, code, check, f"{path.name}, example {number}: {code[:60]!r}")
        for number, (language, code, check, _line) in enumerate(found, 1)
    ]


class ReadmeCase(JobCase):
    """The examples of one fragment."""

    # Odoo runs no inherited test methods otherwise.
    allow_inherited_tests_method = True
    fragment = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not cls.fragment:
            raise unittest.SkipTest("runs the examples of a fragment")
        cls.examples = examples(cls.fragment)
        cls.partners = cls.env["res.partner"].create(
            [{"name": f"Partner {number}"} for number in range(25)]
        )
        cls.names = {
            "__name__": f"odoo.addons.{MODULE}.readme",
            "_logger": logging.getLogger(__name__),
            "api": api,
            "fields": fields,
            "models": models,
            "TransactionCase": TransactionCase,
        }
        cls._extend_models()
        for example in cls.examples:
            if example.language == "xml":
                file = io.BytesIO(f"<odoo>{example.code}</odoo>".encode())
                file.name = example.place
                convert_xml_import(cls.env, MODULE, file)

    @classmethod
    def _extend_models(cls):
        """Add the classes of the examples to the models, until the tests are over."""
        defined = models.MetaModel._module_to_models__[MODULE]
        known = len(defined)
        for example in cls.examples:
            if example.is_model:
                exec(cls._compiled(example, example.code), cls.names)
        extensions, defined[known:] = defined[known:], []
        before = {}
        for extension in extensions:
            model = cls.registry[extension._name]
            before.setdefault(model, model._base_classes__)
            add_to_registry(cls.registry, extension)
        names = [model._name for model in before]
        cls.addClassCleanup(cls._set_up_models, names)
        for model, bases in before.items():
            cls.addClassCleanup(setattr, model, "_base_classes__", bases)
        cls._set_up_models(names)

    @classmethod
    def _set_up_models(cls, names):
        cls.registry._setup_models__(cls.env.cr, names)

    @staticmethod
    def _compiled(example, code):
        return compile(code, f"<{example.place}>", "exec")

    def test_examples(self):
        """Each example runs, and what is checked after it is true."""
        for example in self.examples:
            with self.subTest(example.place), self.env.cr.savepoint() as savepoint:
                counter = JobCounter(self.env)
                self._run(example, counter)
                savepoint.rollback()

    def _run(self, example, counter):
        names = {
            **self.names,
            "env": self.env,
            "self": self.partners,
            "jobs": counter.search_created,
            "perform": self._perform,
            "error_of": self._error_of,
        }
        if example.is_test:
            self._run_tests(example, names)
        elif example.language == "python" and not example.is_model:
            exec(self._compiled(example, example.code), names)
        exec(self._compiled(example, example.check), names)

    def _run_tests(self, example, names):
        """Run an example that is a test case, as tests are run."""
        exec(self._compiled(example, example.code), names)
        cases = [
            value
            for value in names.values()
            if isinstance(value, type)
            and issubclass(value, TransactionCase)
            and value.__module__ == names["__name__"]
        ]
        for case in cases:
            case.test_tags = {"standard"}
            tests = unittest.defaultTestLoader.getTestCaseNames(case)
            self.assertTrue(tests)
            result = OdooTestResult()
            # At its end a test case stops what is still patched, ours included.
            with mock.patch.object(mock._patch, "_active_patches", []):
                OdooSuite(map(case, tests)).run(result)
            self.assertTrue(result.wasSuccessful())
            self.assertEqual(result.testsRun, len(tests))

    def _perform(self, record):
        """Perform the job of a row."""
        return Job.load(self.env, record.uuid).perform()

    @staticmethod
    def _error_of(function, *args):
        try:
            function(*args)
        except Exception as error:
            return error
        return None


@tagged("post_install", "-at_install")
class TestDescription(ReadmeCase):
    fragment = "DESCRIPTION"


@tagged("post_install", "-at_install")
class TestUsage(ReadmeCase):
    fragment = "USAGE"
