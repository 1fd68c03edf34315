from odoo import fields, models

from odoo.addons.base_sparse_field.models.fields import Serialized

from .ir_model_fields import JobSerialized

STATES = [
    ("wait_dependencies", "Wait Dependencies"),
    ("pending", "Pending"),
    ("enqueued", "Enqueued"),
    ("started", "Started"),
    ("done", "Done"),
    ("cancelled", "Cancelled"),
    ("failed", "Failed"),
]
INDEXES = {
    "queue_job_identity_key_state_partial_index": "(identity_key) WHERE state IN "
    "('pending', 'enqueued', 'wait_dependencies') AND identity_key IS NOT NULL",
    "queue_job_channel_date_done_date_created_index": "(channel, date_done, date_created)",
}


class QueueJob(models.Model):
    _name = "queue.job"
    _description = "Queue Job"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _log_access = False
    _order = "date_created DESC, date_done DESC"

    uuid = fields.Char(readonly=True, required=True, index=True)
    graph_uuid = fields.Char(readonly=True, index=True)
    user_id = fields.Many2one("res.users")
    company_id = fields.Many2one("res.company", index=True)
    name = fields.Char(readonly=True)
    model_name = fields.Char(readonly=True)
    method_name = fields.Char(readonly=True)
    records = JobSerialized(readonly=True)
    args = JobSerialized(readonly=True)
    kwargs = JobSerialized(readonly=True)
    dependencies = Serialized(readonly=True)
    func_string = fields.Char(readonly=True)
    state = fields.Selection(STATES, readonly=True, required=True, index=True)
    priority = fields.Integer(aggregator=False)
    exc_name = fields.Char(readonly=True)
    exc_message = fields.Char(readonly=True, tracking=True)
    exc_info = fields.Text(readonly=True)
    result = fields.Text(readonly=True)
    date_created = fields.Datetime(readonly=True)
    date_started = fields.Datetime(readonly=True)
    date_enqueued = fields.Datetime(readonly=True)
    date_done = fields.Datetime(readonly=True)
    exec_time = fields.Float(readonly=True, aggregator="avg")
    date_cancelled = fields.Datetime(readonly=True)
    eta = fields.Datetime()
    retry = fields.Integer()
    max_retries = fields.Integer()
    channel_method_name = fields.Char(readonly=True)
    job_function_id = fields.Many2one("queue.job.function", readonly=True)
    channel = fields.Char(index=True)
    identity_key = fields.Char(readonly=True)
    worker_pid = fields.Integer(readonly=True)

    def init(self):
        for name, definition in INDEXES.items():
            self.env.cr.execute(
                f"CREATE INDEX IF NOT EXISTS {name} ON queue_job {definition}"
            )


class QueueJobLock(models.Model):
    _name = "queue.job.lock"
    _description = "Queue Job Lock"

    queue_job_id = fields.Many2one(
        "queue.job", required=True, ondelete="cascade", index=True
    )
