# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import tempfile
from pathlib import Path

from odoo.tests import BaseCase, tagged

from ..sql import load, statements
from ..states import WAITING

TEXT = """
-- name: first
-- Purpose, 100 % of it.
SELECT {columns} FROM job WHERE {window condition=plain}

-- part: columns
-- Not sent.
a, {b}

-- part: b
b

-- part: window
({condition} OR {condition}) ORDER BY {b}

-- part: plain
state = 'pending'
"""


@tagged("standard", "at_install")
class TestSql(BaseCase):
    def load(self, *texts, parts=()):
        with tempfile.TemporaryDirectory() as folder:
            for number, text in enumerate(texts):
                (Path(folder) / f"{number}.sql").write_text(text)
            return load(folder, parts)

    def test_statement_includes_parts_without_their_comments(self):
        self.assertEqual(
            self.load(TEXT).first,
            "SELECT a, b FROM job WHERE "
            "(state = 'pending' OR state = 'pending') ORDER BY b",
        )

    def test_name_stands_once(self):
        with self.assertRaisesRegex(ValueError, "1.sql: b stands twice"):
            self.load(TEXT, "-- name: b\nSELECT 1")

    def test_unknown_part_is_an_error(self):
        with self.assertRaises(KeyError):
            self.load("-- name: one\nSELECT {nothing}")

    def test_every_statement_is_complete(self):
        for name, text in vars(statements).items():
            if name != "parts":
                with self.subTest(name):
                    self.assertNotRegex(text, r"\{[a-z_ =]+\}|^--")

    def test_waiting_states_are_those_of_the_table(self):
        self.assertEqual(
            statements.parts["waiting"], ", ".join(f"'{state}'" for state in WAITING)
        )

    def test_sweep_is_complete_sql(self):
        """Tests and satellites execute it on cursors of their own, without parameters."""
        self.assertNotIn("%", statements.requeue_dead)
