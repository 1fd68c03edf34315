# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Queue Job Prevent Duplicates",
    "summary": "No second job while the same call waits already, and no change overtaken",
    "version": "19.0.1.0.0",
    "author": "Queue Job Suite contributors",
    "license": "LGPL-3",
    "category": "Generic Modules",
    "depends": ["queue_job"],
    "data": ["views/queue_job_function_views.xml"],
    "installable": True,
    "post_init_hook": "post_init_hook",
    "uninstall_hook": "uninstall_hook",
}
