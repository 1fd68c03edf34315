The menus stand in the bar, as in other apps: Overview, Jobs, Failures, Channels, Functions, Analysis. An empty overview offers a test job, which proves runner, address and worker.
