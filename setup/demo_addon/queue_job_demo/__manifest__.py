{
    "name": "Job Queue Demonstration",
    "summary": "Jobs for setup/run to show; not part of the suite",
    "version": "19.0.1.0.0",
    "author": "Odoo Community Association (OCA)",
    "website": "https://github.com/OCA/queue",
    "license": "LGPL-3",
    "category": "Hidden",
    "depends": ["queue_job"],
    "installable": True,
}
