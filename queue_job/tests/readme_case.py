# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The examples of a readme are run, so that what is written there holds.

Classes of models extend the models of this database while the tests run, XML is
loaded, classes of tests are run as tests, and everything else is executed with
``self`` as a recordset of partners. A comment ``.. check`` after an example
says what must be true then; it is not shown to readers.
"""

import importlib.util
import io
import logging
import re
import unittest
from unittest import mock

from odoo import api, fields, models
from odoo.orm.model_classes import add_to_registry
from odoo.tests import TransactionCase
from odoo.tests.result import OdooTestResult
from odoo.tests.suite import OdooSuite
from odoo.tools.convert import convert_xml_import

from ..job import Job
from ..worker import WorkerDoors
from .committed_case import DelayCase
from .common import JobCounter
from .readme import addon_folder, examples


def has_packages(example):
    """Return whether the packages that an example imports are installed."""
    names = re.findall(r"^(?:from|import) (\w+)", example.code, re.MULTILINE)
    if example.language != "python":
        return True
    return all(importlib.util.find_spec(name) for name in names)


class ReadmeCase(DelayCase):
    """The examples of one fragment."""

    # Odoo runs no inherited test methods otherwise.
    allow_inherited_tests_method = True
    # Whose readme it is, and the addon that the examples are run as a part of.
    addon = "queue_job"
    module = None
    fragment = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not cls.fragment:
            raise unittest.SkipTest("runs the examples of a fragment")
        cls.module = cls.module or cls.addon
        folder = addon_folder(cls.addon) / "readme"
        cls.examples = [
            example
            for example in examples(folder / f"{cls.fragment}.rst")
            if has_packages(example)
        ]
        cls.partners = cls.env["res.partner"].create(
            [{"name": f"Partner {number}"} for number in range(25)]
        )
        cls.names = {
            "__name__": f"odoo.addons.{cls.module}.readme",
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
                convert_xml_import(cls.env, cls.module, file)

    @classmethod
    def _extend_models(cls):
        """Add the classes of the examples to the models, until the tests are over."""
        defined = models.MetaModel._module_to_models__[cls.module]
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
        run = 0
        for example in self.examples:
            with self.subTest(example.place), self.env.cr.savepoint() as savepoint:
                counter = JobCounter(self.env)
                run += self._run(example, counter)
                savepoint.rollback()
        self.assertTrue(run)

    def _run(self, example, counter):
        """Run an example and its check; return whether there was something to run."""
        names = {
            **self.names,
            "env": self.env,
            "self": self.partners,
            "jobs": counter.search_created,
            "perform": self._perform,
            "attempt": self._attempt,
            "patch": mock.patch,
            "error_of": self._error_of,
        }
        if example.is_test:
            self._run_tests(example, names)
        elif example.language == "python" and not example.is_model:
            exec(self._compiled(example, example.code), names)
        exec(self._compiled(example, example.check), names)
        return example.language in ("python", "xml")

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

    def _attempt(self, job):
        """Perform a job as a worker does."""
        WorkerDoors._try_perform_job(self.env, Job.load(self.env, job.uuid))

    @staticmethod
    def _error_of(function, *args):
        try:
            function(*args)
        except Exception as error:
            return error
        return None
