# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The runner on its own: ``python -m odoo.addons.queue_job.jobrunner -c file``."""

import sys

from odoo.tools import config

from .runner import QueueJobRunner


def main():
    """Run until interrupted, whatever the capacity of root is."""
    config.parse_config(sys.argv[1:], setup_logging=True)
    QueueJobRunner.from_environ_or_config().run()


if __name__ == "__main__":
    main()
