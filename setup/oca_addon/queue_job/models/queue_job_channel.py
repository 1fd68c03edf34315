from odoo import api, fields, models

from .ir_model_fields import JobSerialized


class QueueJobChannel(models.Model):
    _name = "queue.job.channel"
    _description = "Job Channels"
    _rec_name = "complete_name"

    name = fields.Char()
    complete_name = fields.Char(
        compute="_compute_complete_name", store=True, recursive=True
    )
    parent_id = fields.Many2one("queue.job.channel", ondelete="restrict")
    job_function_ids = fields.One2many("queue.job.function", "channel_id")
    removal_interval = fields.Integer(required=True, default=30)

    _name_uniq = models.Constraint("UNIQUE(complete_name)", "Channel must be unique")

    @api.depends("name", "parent_id.complete_name")
    def _compute_complete_name(self):
        for record in self:
            names = filter(None, [record.parent_id.complete_name, record.name])
            record.complete_name = ".".join(names)


class QueueJobFunction(models.Model):
    _name = "queue.job.function"
    _description = "Job Functions"
    _log_access = False

    name = fields.Char(compute="_compute_name", store=True, index=True)
    model_id = fields.Many2one("ir.model", ondelete="cascade")
    method = fields.Char()
    on_fail_method = fields.Char()
    channel_id = fields.Many2one("queue.job.channel", required=True)
    channel = fields.Char(related="channel_id.complete_name", store=True)
    retry_pattern = JobSerialized()
    related_action = JobSerialized()
    allow_commit = fields.Boolean()

    @api.depends("model_id.model", "method")
    def _compute_name(self):
        for record in self:
            record.name = f"<{record.model_id.model}>.{record.method}"
