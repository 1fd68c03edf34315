# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Queue Job Batch",
    "summary": "Jobs that belong together, with one state, a bar and callbacks",
    "version": "19.0.1.0.0",
    "author": "Queue Job Suite contributors",
    "license": "LGPL-3",
    "category": "Generic Modules",
    "depends": ["queue_job", "bus"],
    "data": [
        "security/security.xml",
        "security/ir.model.access.csv",
        "data/queue_job_data.xml",
        "data/ir_cron.xml",
        "views/queue_job_batch_views.xml",
        "views/queue_job_views.xml",
        "views/res_config_settings_views.xml",
    ],
    "assets": {
        "web.assets_backend": ["queue_job_batch/static/src/**/*"],
        "web.assets_tests": ["queue_job_batch/static/tests/tours/**/*.js"],
    },
    "installable": True,
}
