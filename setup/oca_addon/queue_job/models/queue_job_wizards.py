from odoo import fields, models


class QueueRequeueJob(models.TransientModel):
    _name = "queue.requeue.job"
    _description = "Wizard to requeue a selection of jobs"

    job_ids = fields.Many2many("queue.job")


class QueueJobsToDone(models.TransientModel):
    _name = "queue.jobs.to.done"
    _inherit = "queue.requeue.job"
    _description = "Set all selected jobs to done"


class QueueJobsToCancelled(models.TransientModel):
    _name = "queue.jobs.to.cancelled"
    _inherit = "queue.requeue.job"
    _description = "Cancel all selected jobs"
