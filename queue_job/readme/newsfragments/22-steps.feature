A job may commit in steps, show its progress, and go on behind its last step after a failure, a
restart or the death of its worker: the commit mode *Steps* of a job function, and
``self._current_job()``. Scheduled actions that commit run as jobs.
