{
    "name": "Job Queue Benchmark",
    "summary": "Jobs for setup/bench and setup/chaos; not part of the suite",
    "version": "19.0.1.0.0",
    "author": "Queue Job Suite contributors",
    "license": "LGPL-3",
    "category": "Hidden",
    "depends": ["queue_job"],
    "installable": True,
}
