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
class TestSqlParts(BaseCase):
    def test_statement_includes_parts_without_their_comments(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "a.sql").write_text(TEXT)
            loaded = load(folder)
        self.assertEqual(
            loaded.first,
            "SELECT a, b FROM job WHERE "
            "(state = 'pending' OR state = 'pending') ORDER BY b",
        )

    def test_every_statement_is_complete(self):
        for name, text in vars(statements).items():
            if isinstance(text, str):
                with self.subTest(name):
                    self.assertNotRegex(text, r"\{[a-z_ =]+\}|^--")

    def test_waiting_states_are_those_of_the_table(self):
        self.assertEqual(
            statements.parts["waiting"], ", ".join(f"'{state}'" for state in WAITING)
        )

    def test_sweep_is_complete_sql(self):
        """Tests and satellites execute it on cursors of their own, without parameters."""
        self.assertNotIn("%", statements.requeue_dead)
