``/queue_job/metrics``: a worker serves metrics where no runner lives.
