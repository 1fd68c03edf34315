"""The cache folder: where it is and what lies where in it."""

import hashlib
import os
from pathlib import Path

CACHE_VARIABLE = "QUEUE_JOB_SUITE_CACHE"
SUITE = "queue-job-suite"


class Cache:
    """Names of the files and folders of one cache; makes none of them but the root."""

    def __init__(self, root):
        self.root = Path(root).expanduser().absolute()

    @classmethod
    def locate(cls, option=None):
        """Return the cache that the option, the environment or the XDG rules point to."""
        chosen = option or os.environ.get(CACHE_VARIABLE)
        if chosen:
            return cls(chosen)
        xdg = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return cls(Path(xdg) / SUITE)

    def make(self):
        """Create the root, closed to other users: it holds the database password."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self

    @property
    def lock(self):
        return self.root / "provision.lock"

    @property
    def downloads(self):
        return self.root / "downloads"

    @property
    def odoo(self):
        return self.root / "odoo"

    @property
    def logs(self):
        return self.root / "logs"

    @property
    def data(self):
        """Odoo's data folder: file stores and sessions of every database."""
        return self.root / "data"

    @property
    def runs(self):
        return self.root / "runs"

    @property
    def bytecode(self):
        """Compiled Python of Odoo and the addons, kept out of the work tree."""
        return self.root / "bytecode"

    def log(self, name):
        """Return the path of a log file, with its folder made."""
        self.logs.mkdir(parents=True, exist_ok=True)
        return self.logs / ("%s.log" % name)


def digest(*parts):
    """Return a short name that changes when any of the parts does."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]
