*Stop job*, on the form and in the list, ends a job that runs, on any node. ``JobStop`` and ``JobGiveUp``
end a job from inside; ``should_stop()`` of the current job is true after a stop.
