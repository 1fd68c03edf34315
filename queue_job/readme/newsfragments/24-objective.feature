Channels have an objective: jobs begin in time, or a responsible user gets one activity.
