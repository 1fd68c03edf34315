Failures, functions and the overview name a job function by the first line of its docstring, with the technical name below.
