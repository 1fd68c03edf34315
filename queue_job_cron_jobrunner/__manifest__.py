# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Queue Job Cron Jobrunner",
    "summary": "Perform jobs in cron workers, where the job runner cannot live",
    "version": "19.0.1.0.0",
    "author": "Queue Job Suite contributors",
    "license": "LGPL-3",
    "category": "Generic Modules",
    "depends": ["queue_job"],
    "data": [
        "security/ir.model.access.csv",
        "data/ir_cron.xml",
        "views/ir_cron.xml",
        "views/res_config_settings.xml",
    ],
    "installable": True,
    "uninstall_hook": "uninstall_hook",
}
