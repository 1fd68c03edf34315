{
    "name": "Job Queue Demonstration",
    "summary": "Jobs for setup/run to show; not part of the suite",
    "version": "19.0.1.0.0",
    "author": "Queue Job Suite contributors",
    "license": "LGPL-3",
    "category": "Hidden",
    "depends": ["queue_job", "queue_job_batch", "queue_job_cron"],
    "data": ["data/queue_job_function_data.xml"],
    "installable": True,
}
