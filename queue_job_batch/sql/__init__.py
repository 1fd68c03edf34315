# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The statements about batches."""

from pathlib import Path

from odoo.addons.queue_job import sql

statements = sql.load(Path(__file__).parent, parts=sql.statements.parts)
