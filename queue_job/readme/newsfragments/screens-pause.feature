Pause a channel for a quarter of an hour, an hour or until midnight, with a reason; it resumes by itself. Who paused it, until when and why stands wherever the channel is, and in its chatter.
