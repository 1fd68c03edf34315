"""How Odoo is called: its arguments and its environment."""

import os
import sys
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch_odoo.py")
# Variables of the caller that would change what a run does.
FOREIGN = (
    "ODOO_",
    "OPENERP_",
    "QUEUE_JOB__",
    "PGDATABASE",
    "PGAPPNAME",
    "PGHOST_REPLICA",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONDONTWRITEBYTECODE",
)


class OdooCommand:
    """Build command lines for one Odoo, one PostgreSQL server and one set of addons paths."""

    def __init__(self, source, server, cache, addons_paths):
        self.source = source
        self.server = server
        self.cache = cache
        self.addons_paths = tuple(addons_paths)

    def command(self, *arguments, subcommand=()):
        """Return the whole command line."""
        paths = [*self.source.addons_paths, *self.addons_paths]
        options = ["-c", self._empty_configuration(), "--data-dir", self.cache.data]
        if paths:
            options.append("--addons-path=" + ",".join(map(str, paths)))
        return [
            sys.executable,
            str(LAUNCHER),
            *subcommand,
            *map(str, options),
            *map(str, arguments),
        ]

    def environment(self, **extra):
        """Return the environment: the caller's, less what would change a run, and ours."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(FOREIGN)
        }
        return {
            **kept,
            **self.server.environment,
            "PYTHONPATH": str(self.source.python_path),
            "PYTHONPYCACHEPREFIX": str(self.cache.bytecode),
            "PYTHONUNBUFFERED": "1",
            **extra,
        }

    def _empty_configuration(self):
        """Return a configuration file of ours, so that the user's own is not read."""
        path = self.cache.root / "odoo.conf"
        if not path.exists():
            path.write_text("[options]\n")
        return str(path)
