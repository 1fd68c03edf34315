``metrics_port``: the runner serves metrics, health and readiness from memory.
