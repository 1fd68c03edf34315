"""Everything that a call needs, made where it is missing: Odoo, PostgreSQL, the template."""

import ast
import contextlib
from pathlib import Path

from . import odoo_source, postgres
from .bootstrap import REPO
from .cache import Cache
from .cli import provision_parser
from .databases import Databases, fresh_name
from .errors import SetupError
from .locks import FileLock, exclusive
from .odoo_command import OdooCommand
from .process import run_logged
from .shell import run_script

# Odoo's own default of server-wide modules.
SERVER_WIDE = ("base", "rpc", "web")
NO_RUNNER = {"ODOO_QUEUE_JOB_CHANNELS": "root:0"}


class Suite:
    """The provisioned parts. Needs to run inside the venv (see ``bootstrap``)."""

    def __init__(self, cache, odoo, databases, template):
        self.cache = cache
        self.odoo = odoo
        self.databases = databases
        self.template = template

    @property
    def server(self):
        return self.databases.server

    @classmethod
    def provision(cls, cache, options):
        """Make what is missing and return the whole. One call at a time does that."""
        extra = [Path(path).expanduser().absolute() for path in options.addons_path]
        with exclusive(cache.lock):
            source = odoo_source.locate(cache, options.odoo)
            server = postgres.named(options.pg_host, options.pg_port, options.pg_user)
            server = server or postgres.Embedded(cache).start()
            odoo = OdooCommand(source, server, cache, [REPO, *extra])
            databases = Databases(server, odoo, cache)
            template = databases.template()
            _drop_abandoned(cache, databases)
        return cls(cache, odoo, databases, template)

    @classmethod
    def without_options(cls):
        """Return the suite of a call without options, for the tests of this folder."""
        cache = Cache.locate().make()
        return cls.provision(cache, provision_parser().parse_args([]))

    def claim(self, database):
        """Mark a database as this process's own: when that dies, the next call drops it."""
        lock = FileLock(self.cache.runs / database)
        lock.acquire(shared=True)
        return lock

    def keep(self, database):
        """Take the mark back: the database stays until somebody drops it."""
        (self.cache.runs / database).unlink(missing_ok=True)

    @contextlib.contextmanager
    def database(self, purpose, addons=()):
        """Give the name of a fresh database with these addons, dropped at the end."""
        database = fresh_name(purpose)
        mark = self.claim(database)
        try:
            self.databases.clone(self.template, database)
            if addons:
                self.load(database, addons)
            yield database
        finally:
            self.discard(database)
            mark.release()

    def load(self, database, addons, option="-i", **run):
        """Install addons in a database, or with ``-u`` update them.

        :param run: for :func:`run_logged`, such as ``log`` and ``hint``
        """
        what = "%s %s" % (
            "Installing" if option == "-i" else "Updating",
            ", ".join(addons),
        )
        command = self.odoo.command(
            *("-d", database, option, ",".join(addons)),
            *("--stop-after-init", "--no-http", "--max-cron-threads=0"),
        )
        run.setdefault("log", self.cache.log(database))
        run.setdefault("env", self.odoo.environment(**NO_RUNNER))
        run_logged(command, what=what, **run)

    def shell(self, database, script):
        """Run a script in ``odoo shell``; return what it gave to ``result(value)``."""
        command = self.odoo.command("-d", database, "--no-http", subcommand=["shell"])
        log = self.cache.log("shell-%s" % database)
        log.unlink(missing_ok=True)
        return run_script(command, script, log, self.odoo.environment(**NO_RUNNER))

    def discard(self, database):
        """Drop a database and its mark."""
        self.databases.drop(database)
        self.keep(database)


def _drop_abandoned(cache, databases):
    """Drop the databases whose owner died before it could."""
    if not cache.runs.is_dir():
        return
    for path in cache.runs.iterdir():
        lock = FileLock(path)
        if lock.acquire(wait=False):
            databases.drop(path.name)
            path.unlink(missing_ok=True)
            lock.release()


def find_addons(folders):
    """Return {name: manifest} of the installable addons right below some folders."""
    found = {}
    for folder in folders:
        for manifest in sorted(Path(folder).glob("*/__manifest__.py")):
            content = ast.literal_eval(manifest.read_text())
            if content.get("installable", True):
                found[manifest.parent.name] = content
    return found


def choose_addons(available, wanted):
    """Return the addons to work on: those named, else all; refuse names that do not exist."""
    unknown = sorted(set(wanted) - set(available))
    if unknown:
        raise SetupError(
            "No such addon: %s." % ", ".join(unknown),
            "There are: %s." % (", ".join(sorted(available)) or "none"),
        )
    return list(wanted or available)
