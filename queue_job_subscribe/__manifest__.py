# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Queue Job Subscribe",
    "summary": "Choose for each user who is notified of failed jobs",
    "version": "19.0.1.0.0",
    "author": "Queue Job Suite contributors",
    "license": "LGPL-3",
    "category": "Generic Modules",
    "depends": ["queue_job"],
    "data": ["views/res_users_views.xml"],
    "installable": True,
}
