"""``setup/provision``: make what is missing and lend it to a command."""

import os
import subprocess
import sys

from . import progress
from .suite import Suite

# Names of the variables that a lent environment has beside the PG ones.
SHOWN = (
    "PGHOST",
    "PGPORT",
    "PGUSER",
    "PGPASSWORD",
    "PYTHONPATH",
    "ODOO",
    "ODOO_TEMPLATE",
)


def main(options, cache):
    """Provision; run the command with everything in its environment, or show that."""
    suite = Suite.provision(cache, options)
    environment = suite.odoo.environment(
        # One word list that a shell expands: $ODOO -d name --stop-after-init
        ODOO=" ".join(suite.odoo.command()),
        ODOO_TEMPLATE=suite.template,
        PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
    )
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if command:
        # The embedded server lives as long as this process, so it waits here.
        with progress.rest():
            return subprocess.run(command, env=environment).returncode
    for name in SHOWN:
        if name in environment:
            print("%s=%s" % (name, environment[name]))
    return 0
