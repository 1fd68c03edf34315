# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The room of statements: its loader, and that each statement has a purpose and a use."""

import ast
import re
import tempfile
from pathlib import Path

from odoo.tests import BaseCase, tagged

from odoo.addons.queue_job import sql

from .source import ADDON, SATELLITES, sources

MARK = re.compile(r"^-- (name|part): (\w+)$", re.MULTILINE)


def entries():
    """Yield ``(file, kind, name, text)`` of all that stands in the folders of SQL."""
    for addon in (ADDON, *SATELLITES):
        for path in sorted((addon / "sql").glob("*.sql")):
            _before, *found = MARK.split(path.read_text())
            for kind, name, text in zip(
                found[::3], found[1::3], found[2::3], strict=True
            ):
                yield f"{addon.name}/{path.name}", kind, name, text


@tagged("standard", "at_install")
class TestLoader(BaseCase):
    def load(self, parts=(), **files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                Path(folder, f"{name}.sql").write_text(text)
            return sql.load(folder, parts)

    def test_statement_is_an_attribute_without_its_purpose(self):
        loaded = self.load(
            a="-- name: one\n-- Find one.\n-- In a way.\nSELECT 1\n\n"
            "-- name: two\n-- Find two.\nSELECT 2 -- two\n"
        )
        self.assertEqual((loaded.one, loaded.two), ("SELECT 1", "SELECT 2 -- two"))

    def test_part_is_included_from_any_file_and_level(self):
        loaded = self.load(
            a="-- name: one\n-- Find.\nSELECT {column} FROM {table}\n",
            b="-- part: table\n-- A table.\n{name}_job\n-- part: name\n-- Its name.\nqueue\n",
            c="-- part: column\n-- A column.\nid\n",
        )
        self.assertEqual(loaded.one, "SELECT id FROM queue_job")
        self.assertFalse(hasattr(loaded, "table"), "A part is no statement")
        self.assertEqual(loaded.parts["column"], "id")

    def test_parts_of_another_folder_are_included(self):
        loaded = self.load(
            {"table": "queue_job"}, a="-- name: a\n-- A.\nTABLE {table}\n"
        )
        self.assertEqual(loaded.a, "TABLE queue_job")

    def test_name_stands_once(self):
        for first, second in (
            ("name: one", "name: one"),
            ("part: one", "part: one"),
            ("name: one", "part: one"),
            ("part: one", "name: one"),
        ):
            texts = [f"-- {mark}\n-- Find.\nSELECT 1\n" for mark in (first, second)]
            with self.subTest(f"{first}, {second}"):
                with self.assertRaisesRegex(ValueError, "b.sql: one stands twice"):
                    self.load(a=texts[0], b=texts[1])
                with self.assertRaisesRegex(ValueError, "a.sql: one stands twice"):
                    self.load(a="".join(texts))

    def test_name_of_a_part_of_another_folder_is_taken(self):
        with self.assertRaisesRegex(ValueError, "a.sql: one stands twice"):
            self.load({"one": "1"}, a="-- name: one\n-- Find.\nSELECT 1\n")

    def test_unknown_part(self):
        for text in (
            "-- name: one\n-- Find.\nSELECT {nothing}\n",
            "-- name: one\n-- Find.\n{known}\n-- part: known\n-- A part.\n{nothing}\n",
        ):
            with self.subTest(text), self.assertRaisesRegex(KeyError, "nothing"):
                self.load(a=text)

    def test_parts_that_include_each_other(self):
        """They end the import with an error: the server hung before."""
        for parts in (
            "-- part: a\n-- Itself.\n{a}\n",
            "-- part: a\n-- The other.\n{b}\n-- part: b\n-- The first.\n{a}\n",
        ):
            with self.subTest(parts), self.assertRaises(RecursionError):
                self.load(a=parts + "-- name: one\n-- Find.\nSELECT {a}\n")

    def test_braces_of_sql_stay(self):
        text = "SELECT '{}'::int[], '{1,2}'::int[], E'{\"a\": 1}'::json"
        self.assertEqual(self.load(a=f"-- name: a\n-- Find.\n{text}\n").a, text)


@tagged("standard", "at_install")
class TestStatements(BaseCase):
    def test_each_has_its_purpose(self):
        for file, _kind, name, text in entries():
            with self.subTest(file=file, name=name):
                self.assertRegex(text, r"\A\n-- \S.*\S\n")
                self.assertIn(text.split("\n")[1][3], "ABCDEFGHIJKLMNOPQRSTUVWXYZ")

    def test_no_mark_is_misspelt(self):
        """A mark that is not read would make a statement part of the one before."""
        for file, _kind, name, text in entries():
            with self.subTest(file=file, name=name):
                self.assertNotRegex(
                    text, r"(?m)^--\s*(?i:names?|parts?)\s*:|^--\s*\w+:\s*\w+$"
                )

    def test_each_is_used(self):
        statements, parts, texts = set(), set(), []
        for _file, kind, name, text in entries():
            (statements if kind == "name" else parts).add(name)
            texts.append(text)
        self.assertTrue(statements)
        used = set()
        for path in sources(ADDON, *SATELLITES):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute):
                    used.add(node.attr)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    used.add(node.value)
        included = set(re.findall(r"[{=]([a-z_]+)(?=[ }])", "".join(texts)))
        # Texts of functions are given to the statement that restores them by name.
        used.update(re.findall(r"'([a-z_]+)'", "".join(texts)))
        self.assertEqual(sorted(statements - used), [], "Statements without a use")
        self.assertEqual(sorted(parts - included - used), [], "Parts without a use")

    def test_parameters_have_names(self):
        for file, _kind, name, text in entries():
            with self.subTest(file=file, name=name):
                self.assertNotRegex(text, r"%(?!\(\w+\)s|%)")
