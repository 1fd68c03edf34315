Job functions can be profiled until a date; a job opens its profile.
