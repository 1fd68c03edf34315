# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The runner on its own: ``python -m odoo.addons.queue_job.jobrunner -c file``."""

import signal
import sys

from odoo.tools import config

from .runner import QueueJobRunner


def main():
    """Run until interrupted or terminated, whatever the capacity of root is."""
    config.parse_config(sys.argv[1:], setup_logging=True)
    runner = QueueJobRunner.from_environ_or_config()
    signal.signal(signal.SIGTERM, lambda _number, _frame: runner.stop())
    runner.run()


if __name__ == "__main__":
    main()
