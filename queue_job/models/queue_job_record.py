# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The jobs of a record.

A module asks for it with one line: in Python, ``_inherit = ["x.y",
"queue.job.record.mixin"]``, which gives the model ``action_open_jobs`` and
``jobs_count``; or in XML, which puts "Jobs" into the Actions menu of a model::

    <function model="queue.job" name="_offer_on_records" eval="('sale.order',)" />

The columns that make this an indexed search are filled, in the INSERT of the
job, for those models alone: the jobs of others pay nothing.
"""

from odoo import api, fields, models, tools
from odoo.tools import SQL

# What the action of a model does, and how it is found again.
OFFER = "action = env['queue.job']._action_open_jobs_of(records)"


class IntegerArray(fields.Field):
    """Whole numbers in an array of PostgreSQL; read as a list."""

    type = "json"
    # First as PostgreSQL calls it: else each update of the addon would convert the column.
    _column_type = ("_int4", "int4[]")

    def convert_to_column(self, value, record, values=None, validate=True):
        return list(value) if value else None

    def convert_to_cache(self, value, record, validate=True):
        return tuple(value) if value else None

    def convert_to_record(self, value, record):
        return list(value or ())


class QueueJob(models.Model):
    _inherit = "queue.job"

    record_id = fields.Integer(
        string="Record ID",
        readonly=True,
        aggregator=None,
        help="The record that the job is about.",
    )
    record_ids = IntegerArray(
        string="Record IDs", readonly=True, help="The records of a job about several."
    )
    concerned_id = fields.Integer(
        compute="_compute_concerned_id",
        search="_search_concerned_id",
        string="Concerned Record",
    )

    _record_index = models.Index("(record_id, model_name) WHERE record_id IS NOT NULL")
    _records_index = models.Index("USING gin (record_ids) WHERE record_ids IS NOT NULL")

    @api.depends("record_id")
    def _compute_concerned_id(self):
        for job in self:
            job.concerned_id = job.record_id

    def _search_concerned_id(self, operator, value):
        """Return the jobs about one of the given records, alone or among others."""
        if operator != "in":
            return NotImplemented
        ids = [int(record_id) for record_id in value if record_id]
        # One set, for PostgreSQL uses no index for one side of an "or" beside a subquery.
        jobs = SQL(
            "(SELECT id FROM queue_job WHERE record_id = ANY(%(ids)s) "
            "UNION ALL SELECT id FROM queue_job WHERE record_ids && %(ids)s::int[])",
            ids=ids,
        )
        return [("id", "in", jobs)]

    @api.model
    def _concerned_domain(self, records):
        """Return the domain of the jobs about some of ``records``."""
        return [("model_name", "=", records._name), ("concerned_id", "in", records.ids)]

    @api.model
    def _action_open_jobs_of(self, records):
        """Return the action that lists the jobs about ``records``."""
        name = (
            self.env._("Jobs of %s", records.display_name)
            if len(records) == 1
            else self.env._("Jobs")
        )
        return self._action_list(name, self._concerned_domain(records), context={})

    # Which models ask for it ------------------------------------------------

    @api.model
    @tools.ormcache()
    def _recorded_models(self):
        """Return the names of the models whose jobs know their records."""
        # Whoever writes actions clears the cache.
        by_action = self.env["ir.actions.server"].sudo().search([("code", "=", OFFER)])
        mixin = self.env.registry["queue.job.record.mixin"]
        return frozenset(by_action.mapped("model_name")).union(
            name
            for name, model in self.env.registry.items()
            if issubclass(model, mixin) and not model._abstract
        )

    @api.model
    def _offer_on_records(self, model_name):
        """Put "Jobs" into the Actions menu of a model, and fill the columns of its jobs."""
        actions = self.env["ir.actions.server"].sudo()
        model = self.env["ir.model"]._get(model_name)
        domain = [("code", "=", OFFER), ("model_id", "=", model.id)]
        action = actions.search(domain, limit=1)
        if not action:
            action = actions.create(
                {
                    "name": "Jobs",
                    "model_id": model.id,
                    "binding_model_id": model.id,
                    "state": "code",
                    "code": OFFER,
                    "group_ids": [
                        (4, self.env.ref("queue_job.group_queue_job_user").id)
                    ],
                }
            )
            for lang, _name in self.env["res.lang"].get_installed():
                reader = self.with_context(lang=lang)
                action.with_context(lang=lang).name = reader.env._("Jobs")
        # So the action goes with this addon, and not before.
        xmlid = f"queue_job.action_open_jobs_of_{model_name.replace('.', '_')}"
        self.env["ir.model.data"].sudo()._update_xmlids(
            [{"xml_id": xmlid, "record": action, "noupdate": True}]
        )
        self._fill_records(model_name)

    @api.model
    def _fill_records(self, model_name):
        """Fill the columns of the jobs that were stored before the model asked."""
        self.flush_model(["model_name", "records"])
        self.env.cr.execute(
            SQL(
                """
                WITH document AS (
                    -- A string that holds the document, or, of other writers, the document.
                    SELECT id AS job_id, CASE jsonb_typeof(records)
                        WHEN 'string' THEN (records #>> '{}')::jsonb ELSE records
                        END -> 'ids' AS ids
                    FROM queue_job
                    WHERE model_name = %s AND record_id IS NULL AND record_ids IS NULL
                )
                UPDATE queue_job SET
                    record_id = CASE WHEN jsonb_array_length(ids) = 1 THEN (ids->>0)::int END,
                    record_ids = CASE WHEN jsonb_array_length(ids) > 1 THEN ARRAY(
                        SELECT jsonb_array_elements_text(ids)::int
                    ) END
                FROM document
                WHERE id = job_id AND jsonb_typeof(ids) = 'array' AND ids != '[]'::jsonb
                """,
                model_name,
            )
        )
        self.invalidate_model(["record_id", "record_ids"])


class QueueJobRecordMixin(models.AbstractModel):
    """Gives the records of a model a way to their jobs."""

    _name = "queue.job.record.mixin"
    _description = "Record with Jobs"

    jobs_count = fields.Integer(string="Jobs", compute="_compute_jobs_count")

    @api.depends_context("uid", "allowed_company_ids")
    def _compute_jobs_count(self):
        """Count the jobs that the reader may see, up to a hundred for each record."""
        jobs = self.env["queue.job"]
        may_read = jobs.has_access("read")
        for record in self:
            domain = jobs._concerned_domain(record._origin)
            record.jobs_count = (
                jobs.search_count(domain, limit=100) if may_read and record.id else 0
            )

    def action_open_jobs(self):
        """Return the action that lists the jobs about these records."""
        return self.env["queue.job"]._action_open_jobs_of(self)

    def init(self):
        result = super().init()
        if not self._abstract and self._auto:
            self.env["queue.job"]._fill_records(self._name)
        return result
