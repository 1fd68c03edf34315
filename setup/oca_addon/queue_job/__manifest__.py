{
    "name": "Job Queue",
    "summary": "Stand-in for OCA's queue_job 19.0: its tables and names, and no code of it",
    "version": "19.0.2.4.0",
    "author": "Queue Job Suite contributors",
    "license": "LGPL-3",
    "category": "Generic Modules",
    "depends": ["mail", "base_sparse_field", "web"],
    "data": [
        "security/security.xml",
        "security/ir.model.access.csv",
        "views/queue_job_views.xml",
        "data/queue_data.xml",
    ],
    "post_init_hook": "post_init_hook",
}
