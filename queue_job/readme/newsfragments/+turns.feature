Databases take turns: a tenant with a long queue delays a job of another one by what runs, not by
what waits.
