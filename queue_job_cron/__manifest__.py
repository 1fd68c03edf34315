# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Queue Job Cron",
    "summary": "Run scheduled actions as jobs of the job queue",
    "version": "19.0.1.0.0",
    "author": "Queue Job Suite contributors",
    "license": "LGPL-3",
    "category": "Generic Modules",
    "depends": ["queue_job"],
    "data": ["data/queue_job_data.xml", "views/ir_cron_views.xml"],
    "installable": True,
}
