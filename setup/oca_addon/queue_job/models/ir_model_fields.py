import json

from odoo import fields, models


class JobSerialized(fields.Json):
    """A JSON document in a string in a jsonb column; documents as such are read too."""

    type = "job_serialized"
    _column_type = ("jsonb", "jsonb")

    def convert_to_cache(self, value, record, validate=True):
        return value if isinstance(value, str) or value is None else json.dumps(value)

    def convert_to_record(self, value, record):
        return json.loads(value) if isinstance(value, str) else value


class IrModelFields(models.Model):
    _inherit = "ir.model.fields"

    ttype = fields.Selection(
        selection_add=[("job_serialized", "Job Serialized")],
        ondelete={"job_serialized": "cascade"},
    )
