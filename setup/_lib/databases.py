"""Databases of one server: the template that Odoo's own addons are installed in, and its clones."""

import shutil
import time

from psycopg2 import sql

from . import progress
from .cache import digest
from .errors import SetupError
from .process import last_words, run_logged

# What the suite's addons depend on, directly or not, is installed once.
BASE_ADDONS = ("base", "web", "mail", "base_sparse_field")
PREFIX = "qjs_"


class Databases:
    """Make, clone and drop databases together with their file stores."""

    def __init__(self, server, odoo, cache):
        self.server = server
        self.odoo = odoo
        self.cache = cache

    def exists(self, name):
        """Tell whether a database of that name exists."""
        return bool(
            self.server.query("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        )

    def template(self):
        """Return the name of the template, made now if there is none.

        It is built under another name and renamed last, so one that exists is whole.
        The caller holds the cache's lock.
        """
        release = self.odoo.source.python_path / "odoo" / "release.py"
        # File stores of all servers lie in one folder: a call on another server took the
        # template's for the rest of an interrupted call, and removed it.
        server = self.server.query("SELECT system_identifier FROM pg_control_system()")
        name = "%stemplate_%s" % (
            PREFIX,
            digest(release, release.stat().st_mtime, server, *BASE_ADDONS),
        )
        if self.exists(name) and self._filestore(name).exists():
            return name
        partial = name + "_partial"
        self.drop(partial)
        self.drop(name)
        log = self.cache.log("template")
        with progress.step(
            "Installing Odoo's own addons in a template (once)", lambda: last_words(log)
        ):
            self._execute("CREATE DATABASE {} TEMPLATE template0", partial)
            run_logged(
                self.odoo.command(
                    "-d",
                    partial,
                    "-i",
                    ",".join(BASE_ADDONS),
                    "--stop-after-init",
                    "--no-http",
                    "--max-cron-threads=0",
                ),
                log,
                "Installing Odoo's own addons",
                env=self.odoo.environment(),
            )
        self.rename(partial, name)
        return name

    def clone(self, template, name):
        """Create ``name`` as a copy of ``template``; it must not exist."""
        if self.exists(name):
            raise SetupError(
                "The database %s exists already." % name, "Choose another name."
            )
        store = self._filestore(name)
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(self._filestore(template), store)
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def rename(self, old, new):
        """Give a database, and its file store, another name that is free."""
        store = self._filestore(new)
        shutil.rmtree(store, ignore_errors=True)
        self._filestore(old).mkdir(parents=True, exist_ok=True)
        self._filestore(old).rename(store)
        self._execute("ALTER DATABASE {} RENAME TO {}", old, new)

    def drop(self, name):
        """Remove a database, ending its sessions, and its file store; fine if there is none."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        shutil.rmtree(self._filestore(name), ignore_errors=True)

    def installed(self, name, addons):
        """Return those of ``addons`` that are installed in a database."""
        rows = self.server.query(
            "SELECT name FROM ir_module_module"
            " WHERE state = 'installed' AND name = ANY(%s)",
            (list(addons),),
            database=name,
        )
        return {row[0] for row in rows}

    def _filestore(self, name):
        return self.cache.data / "filestore" / name

    def _execute(self, statement, *names):
        self.server.query(sql.SQL(statement).format(*map(sql.Identifier, names)))


def fresh_name(purpose):
    """Return a database name that no other call uses at the same time."""
    return "%s%s_%d" % (PREFIX, purpose, time.time_ns() // 1000)
