# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Workers that perform jobs and nothing else, so that jobs take no worker from people.

The prefork server binds a second socket and starts processes that accept there only and
answer only ``/queue_job/*``. In all else they are HTTP workers of Odoo: limits,
signals, reload.

The socket is bound by the start of the server and not at import, because the gevent
process loads this module too. A reload hands it on to the next server, as Odoo hands on
its own: binding anew fails as long as the server before has it open. Only job workers
and the main process keep it: a connection to a socket that a process holds and never
accepts from would wait until that process ends.
"""

import io
import logging
import os
import select
import socket
from wsgiref.util import setup_testing_defaults

import psycopg2

from odoo.service import server
from odoo.tools import config

from .. import protocol
from ..configuration import job_workers, setting

_logger = logging.getLogger(__package__)

# A loopback address: whatever reaches the socket may perform jobs that were sent.
INTERFACE = "127.0.0.1"
# Connections that wait for a worker: as many as a runner keeps open, and some.
BACKLOG = 128
# Databases of db_name that are loaded before the first request.
MAX_WARM = 10
# As cron workers: people come first.
NICENESS = 10
SOCKET_VARIABLE = "ODOO_QUEUE_JOB_SOCKET_FD"
# Addresses to bind that are none to connect to.
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 compared, not bound

# Host and port of the socket of this process, or of the one it was forked from.
_bound = None


class JobWorker(server.WorkerHTTP):
    """A worker process that accepts on the socket of the job workers only."""

    def start(self):
        """Get warm before the first request is accepted, and report it to the runner.

        Until then requests wait in the backlog of the socket.
        """
        http_socket, self.multi.socket = self.multi.socket, self.multi.job_socket
        super().start()
        if http_socket is not None:
            http_socket.close()
        application = only_jobs(self.multi.app)
        self.server = server.BaseWSGIServerNoBind(application)
        for name in _databases_to_warm():
            if self.alive:
                warm_up(application, name)
        # Not before: people do not wait for a start, and jobs do.
        os.nice(NICENESS)
        self.multi.pipe_ping(self.multi.job_ready)


def only_jobs(application):
    """Return a WSGI application that answers only the addresses of jobs."""

    def answer(environ, start_response):
        if not environ["PATH_INFO"].startswith(protocol.PATHS):
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        return application({**environ, protocol.JOB_WORKER: True}, start_response)

    return answer


def _databases_to_warm():
    names = config["db_name"] or []
    if isinstance(names, str):
        names = names.split(",")
    return [name.strip() for name in names if name.strip()][:MAX_WARM]


def warm_up(application, db_name):
    """Load a database as a first request does; an error is logged and nothing else."""
    environ = {
        "PATH_INFO": protocol.WARM_UP_PATH,
        "HTTP_X_ODOO_DATABASE": db_name,
        # As in the requests of the runner: dbfilter may ask for it.
        "HTTP_HOST": setting("host") or INTERFACE,
        "REMOTE_ADDR": INTERFACE,
        "wsgi.input": io.BytesIO(),
    }
    setup_testing_defaults(environ)
    statuses = []
    try:
        body = application(environ, lambda status, *_rest: statuses.append(status))
        getattr(body, "close", bool)()
    except Exception as error:
        statuses = [repr(error)]
    _logger.debug("db %s: job worker warmed up: %s", db_name, *statuses)


# Addresses ----------------------------------------------------------------------


def check_settings():
    """Raise ValueError when the settings of the job workers are wrong."""
    job_workers()
    _configured_address()


def _configured_address():
    port = setting("worker_port") or "0"
    if not port.strip().isdecimal():
        raise ValueError(f"Invalid port of the job workers: {port}")
    return setting("worker_interface") or INTERFACE, int(port)


def address_of_job_workers():
    """Return host and port at which the runner reaches the job workers.

    Both are None where there are none, or where the port is not known: it is free by
    default, and only the server that binds it knows it.
    """
    host, port = _configured_address()
    if not job_workers():
        return None, None
    if _bound is not None:
        host, port = _bound
    return (ANY.get(host, host), port) if port else (None, None)


# The server ---------------------------------------------------------------------


def are_here(multi):
    """Return whether a prefork server has job workers."""
    return isinstance(getattr(multi, "job_socket", None), socket.socket)


def wait_until_ready(multi, wakeup, timeout):
    """Wait until the first job worker is ready, a signal came, or the time is up.

    The others are ready soon; a worker that replaces one that ended finds this so.
    """
    select.select([multi.job_ready[0], wakeup], [], [], timeout)


def _open_socket():
    """Return the listening socket, the one of the server before after a reload."""
    address = _configured_address()
    inherited = os.environ.pop(SOCKET_VARIABLE, None)
    listening = inherited and socket.socket(fileno=int(inherited))
    if listening and not _serves(listening, address):
        listening.close()
        listening = None
    if not listening:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    listening.setblocking(False)
    listening.set_inheritable(False)
    return listening


def _serves(listening, address):
    """Return whether a socket has the configured address; any port may be free."""
    host, port = listening.getsockname()[:2]
    return host == address[0] and port == (address[1] or port)


def _forget_inherited_socket():
    """Close the socket of a server before that had job workers, when this one has none."""
    inherited = os.environ.pop(SOCKET_VARIABLE, None)
    if inherited:
        os.close(int(inherited))
    if not config["http_enable"]:
        # Of a reload without HTTP: the socket of the job workers once more.
        os.environ.pop("ODOO_HTTP_SOCKET_FD", None)


def _follow_registries():
    """Let the next workers inherit registries as they are now, and no connection.

    As Odoo does before it starts workers of its own: one with a registry from before an
    installation would have to load another.
    """
    for registry in server.Registry.registries.snapshot.values():
        with registry.cursor() as cr:
            registry.check_signaling(cr)
    server.sql_db.close_all()


def _spawn(multi):
    """Start the job workers that are missing."""
    missing = job_workers() - len(multi.workers_job)
    if missing <= 0:
        return
    try:
        _follow_registries()
    except psycopg2.OperationalError as error:
        # Workers that live go on when PostgreSQL is back, and the server with them.
        _logger.warning("job workers: not started, PostgreSQL is not there: %s", error)
        return
    for _number in range(missing):
        multi.worker_spawn(JobWorker, multi.workers_job)


def patch_prefork_server():
    """Let the prefork server bind the socket, and start, stop and reload job workers."""
    prefork = server.PreforkServer
    init, start, stop = prefork.__init__, prefork.start, prefork.stop
    process_spawn, worker_pop = prefork.process_spawn, prefork.worker_pop
    fork_and_reload, start_worker = prefork.fork_and_reload, server.Worker.start

    def init_with_job_workers(self, app):
        init(self, app)
        self.job_socket = self.job_ready = None
        self.workers_job = {}

    def start_with_socket(self):
        global _bound  # noqa: PLW0603 the runner is made without knowing its server
        start(self)
        if job_workers() and not config["stop_after_init"]:
            self.job_socket = _open_socket()
            self.job_ready = self.pipe_new()
            _bound = self.job_socket.getsockname()[:2]
            _logger.info("job workers: listening on %s:%s", *_bound)
        _forget_inherited_socket()

    def process_spawn_with_job_workers(self):
        process_spawn(self)
        if are_here(self):
            _spawn(self)

    def worker_pop_with_job_workers(self, pid):
        worker_pop(self, pid)
        getattr(self, "workers_job", {}).pop(pid, None)

    def stop_with_socket(self, graceful=True):
        # In a reload the next server has it.
        if are_here(self) and not server.server_phoenix:
            self.job_socket.close()
        stop(self, graceful)

    def fork_and_reload_with_socket(self):
        if are_here(self):
            self.job_socket.set_inheritable(True)
            os.environ[SOCKET_VARIABLE] = str(self.job_socket.fileno())
            # Without HTTP there is none, and Odoo asks for its number.
            self.socket = self.socket or self.job_socket
        fork_and_reload(self)

    def start_worker_without_socket(self):
        if are_here(self.multi) and not isinstance(self, JobWorker):
            self.multi.job_socket.close()
        start_worker(self)

    prefork.__init__ = init_with_job_workers
    prefork.start = start_with_socket
    prefork.process_spawn = process_spawn_with_job_workers
    prefork.worker_pop = worker_pop_with_job_workers
    prefork.stop = stop_with_socket
    prefork.fork_and_reload = fork_and_reload_with_socket
    server.Worker.start = start_worker_without_socket
