``queue.job._around_job``: a context manager around each attempt, for tracers, error reporters and
profilers; ``queue.job._current_traceparent``: jobs keep the trace of their caller.
