Workers of their own for jobs: ``[queue_job] workers`` starts processes in the prefork server that
perform jobs and nothing else, so that jobs take no worker from people.
