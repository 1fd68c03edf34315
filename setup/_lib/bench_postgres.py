"""A PostgreSQL server of one call's own: nothing else runs on it, and it may be killed.

Its data is a copy of a cluster that is made once: with the role and the template database.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import postgres, progress
from .cache import Cache, digest
from .databases import BASE_ADDONS, Databases, fresh_name
from .errors import SetupError
from .locks import FileLock, exclusive
from .odoo_command import OdooCommand
from .postgres import HOST, ROLE, START_TIMEOUT, Embedded, Server, free_port
from .process import run_logged, tail
from .waiting import wait_until

# As PostgreSQL is installed, it waits for the disk at each commit; what is measured
# shall be what an operator gets.
CONFIGURATION = """
listen_addresses = '127.0.0.1'
shared_buffers = 256MB
max_connections = 300
max_wal_size = 2GB
log_line_prefix = '%m [%p] %d '
"""
UNSAFE = {"fsync": "off", "full_page_writes": "off"}


class BenchCache(Cache):
    """The folder ``bench`` of a cache: file stores and logs apart, bytecode shared."""

    def __init__(self, cache):
        super().__init__(cache.root / "bench")
        self.outer = cache

    @property
    def bytecode(self):
        return self.outer.bytecode


class Binaries:
    """Where the programs of PostgreSQL are, and as whom they run."""

    def __init__(self, cache, folder=None):
        embedded = Embedded(cache)
        if folder is None:
            embedded._make_package()
            folder = embedded.package / postgres.BINARIES
        self.folder = Path(folder)
        self.uid, self.gid = embedded._owner
        self.home = embedded.home / "bench"
        try:
            self.version = subprocess.run(
                [self.folder / "postgres", "--version"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError) as error:
            raise SetupError(
                "There is no PostgreSQL in %s: %s" % (self.folder, error),
                "Name the folder that holds 'postgres' and 'initdb' with --pg-bin.",
            ) from error

    @property
    def other_user(self):
        """Arguments for subprocess: PostgreSQL refuses to run as root."""
        if os.getuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


class Cluster:
    """A server on a folder of data; it ends with this process, however that ends.

    :param settings: of the configuration file, over ``CONFIGURATION``
    """

    def __init__(self, binaries, data, password, log, **settings):
        self.binaries = binaries
        self.data = data
        self.log = log
        self.server = Server(HOST, str(free_port()), ROLE, password)
        self._settings = settings
        self._lock = FileLock(Path(str(data) + ".users"))

    def start(self):
        """Start the server and wait until it answers."""
        self._lock.acquire(shared=True)
        options = [
            arg for pair in self._settings.items() for arg in ("-c", "%s=%s" % pair)
        ]
        with open(self.log, "a") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", postgres.KEEPER, self._lock.path]
                + [str(self.binaries.uid), str(self.binaries.gid)]
                + [self.binaries.folder / "postgres", "-D", self.data]
                + ["-p", self.server.port, "-k", "", *options],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._keeper = keeper
        self.wait_until_ready()
        return self

    def wait_until_ready(self):
        """Return when the server answers."""
        wait_until(self._answers, START_TIMEOUT, self._failure, process=self._keeper)

    def _answers(self):
        with contextlib.suppress(Exception):
            return self.server.query("SELECT 1")

    def _failure(self):
        return SetupError(
            "PostgreSQL does not start.\n%s" % tail(self.log),
            "The whole log is in %s." % self.log,
        )

    @property
    def pid(self):
        """The process id of the postmaster."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def stop(self, how=signal.SIGINT):
        """End the server; return when it is gone.

        :param how: SIGINT ends sessions and shuts down, SIGQUIT is a crash.
        """
        with contextlib.suppress(OSError, ValueError, IndexError):
            os.kill(self.pid, how)
        self._keeper.wait()
        self._lock.release()

    def set(self, name, value):
        """Change a setting of the running server."""
        # pylint: disable=sql-injection
        self.server.query("ALTER SYSTEM SET %s = '%s'" % (name, value))
        self.server.query("SELECT pg_reload_conf()")
        time.sleep(0.3)


class Lab:
    """A cluster, an Odoo that uses it, and databases with a queue_job; a context manager.

    :param addons_paths: folders with the queue_job to use, before the suite's own
    :param settings: of PostgreSQL
    """

    def __init__(self, cache, source, addons_paths, pg_bin=None, **settings):
        self.cache = BenchCache(cache).make()
        self.binaries = Binaries(cache, pg_bin)
        self.source = source
        self.addons_paths = addons_paths
        self._settings = settings
        self._databases = []

    def __enter__(self):
        with exclusive(self.cache.lock):
            self._remove_abandoned()
            master = self._master()
            data = self.binaries.home / ("run-%d" % time.time_ns())
            self.cluster = self._cluster(data, **self._settings)
            # From here on the next call leaves it alone.
            self.cluster._lock.acquire(shared=True)
        try:
            self._copy(master, data)
            self.cluster._lock.release()
            self.cluster.start()
            self.odoo = self._odoo(self.cluster)
            self.databases = Databases(self.cluster.server, self.odoo, self.cache)
            self.template = self.databases.template()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc):
        with contextlib.suppress(AttributeError):
            self.cluster.stop()
        for name in self._databases:
            shutil.rmtree(self.cache.data / "filestore" / name, ignore_errors=True)
        _remove(self.cluster.data)

    def database(self, purpose, addons):
        """Return the name of a new database with these addons installed."""
        name = fresh_name(purpose)
        self._databases.append(name)
        self.databases.clone(self.template, name)
        log = self.cache.log(name)
        with progress.step("Installing %s" % ", ".join(addons)):
            run_logged(
                self.odoo.command(
                    *(
                        "-d",
                        name,
                        "-i",
                        ",".join(addons),
                        "--load=base,rpc,web,queue_job",
                    ),
                    *("--stop-after-init", "--no-http", "--max-cron-threads=0"),
                ),
                log,
                "Installing %s" % ", ".join(addons),
                env=self.odoo.environment(ODOO_QUEUE_JOB_CHANNELS="root:0"),
            )
        missing = set(addons) - self.databases.installed(name, addons)
        if missing:
            raise SetupError("Not installed: %s.\n%s" % (", ".join(missing), tail(log)))
        log.unlink()
        return name

    def copy(self, database, purpose):
        """Return the name of a copy of a database that nobody uses."""
        name = fresh_name(purpose)
        self._databases.append(name)
        self.databases.clone(database, name)
        return name

    def _odoo(self, cluster):
        return OdooCommand(self.source, cluster.server, self.cache, self.addons_paths)

    def _cluster(self, data, **settings):
        log = self.cache.log(data.name)
        return Cluster(self.binaries, data, self._password(), log, **settings)

    def _password(self):
        secret = self.cache.root / "postgresql.password"
        if not secret.exists():
            secret.touch(mode=0o600)
            secret.write_text(secrets.token_urlsafe(24))
        return secret.read_text()

    def _master(self):
        """Return the data of the cluster that all are copied from, made if there is none.

        One whose password was lost with the cache is not found again.
        """
        name = digest(
            *(self.binaries.version, self.source.python_path),
            *(CONFIGURATION, self._password(), *BASE_ADDONS),
        )
        master = self.binaries.home / ("master-%s" % name)
        if master.exists():
            return master
        partial = self.binaries.home / "master.partial"
        _remove(partial)
        self.binaries.home.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            self.binaries.home.chmod(0o755)
        cluster = self._cluster(partial, **UNSAFE)
        self._initdb(partial, cluster.server.password)
        cluster.start()
        try:
            odoo = self._odoo(cluster)
            Databases(cluster.server, odoo, self.cache).template()
        finally:
            cluster.stop()
        partial.rename(master)
        return master

    def _initdb(self, data, password):
        handover = self.binaries.home / "password.partial"
        handover.unlink(missing_ok=True)
        handover.touch(mode=0o600)
        handover.write_text(password)
        data.mkdir(mode=0o700)
        if os.getuid() == 0:
            os.chown(data, self.binaries.uid, self.binaries.gid)
            os.chown(handover, self.binaries.uid, self.binaries.gid)
        try:
            done = subprocess.run(
                [self.binaries.folder / "initdb", "-D", data, "-U", ROLE, "-E", "UTF8"]
                + ["--no-locale", "--auth=scram-sha-256", "--no-sync"]
                + ["--pwfile", handover],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                **self.binaries.other_user,
            )
        finally:
            handover.unlink(missing_ok=True)
        if done.returncode:
            raise SetupError("PostgreSQL's initdb failed:\n%s" % done.stdout)
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION)

    def _copy(self, master, data):
        subprocess.run(["cp", "-a", "--reflink=auto", master, data], check=True)

    def _remove_abandoned(self):
        """Remove the data of calls that ended before they could."""
        for mark in self.binaries.home.glob("run-*.users"):
            lock = FileLock(mark)
            if lock.acquire(wait=False):
                _remove(Path(str(mark).removesuffix(".users")))
                lock.release()


def _remove(data):
    shutil.rmtree(data, ignore_errors=True)
    Path(str(data) + ".users").unlink(missing_ok=True)
