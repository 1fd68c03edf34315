"""Run the job runner alone: ``bench_runner.py ODOO-OPTIONS...``, a script for Odoo's Python."""

import sys


def main(argv):
    """Run until interrupted, as ``python -m odoo.addons.queue_job.jobrunner`` does."""
    sys.path.pop(0)
    from odoo.tools import config

    # Finds the addons path, which the module switch of Python cannot.
    config.parse_config(argv[1:], setup_logging=True)
    from odoo.addons.queue_job.jobrunner import QueueJobRunner

    QueueJobRunner.from_environ_or_config().run()


if __name__ == "__main__":
    main(sys.argv)
