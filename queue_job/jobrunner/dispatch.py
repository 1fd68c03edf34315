# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Send requests to workers, and collect their answers.

A request stays open until its jobs are over, so the dispatcher always knows
which jobs are with a worker; an answer, or the lack of one, is about
exactly those. A bounded pool of threads waits for answers; nothing else
happens in them. The loop of the runner collects the answers.
"""

import logging
import socket
import threading
from collections import deque
from dataclasses import dataclass
from queue import SimpleQueue
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter

from .. import protocol

_logger = logging.getLogger(__package__ + ".runner")

# Requests open at once. Each costs a thread that sleeps.
MAX_REQUESTS = 100
# Seconds to connect. All workers may be busy, and the server that queues the
# connections full: that is no failure.
CONNECT_TIMEOUT = 30

# Bytes of stack of each thread: what Odoo limits is the address space.
STACK_SIZE = 512 * 1024

# What an answer without a report means.
UNREACHABLE = "unreachable"  # not sent: no name, no route, refused
BROKEN = "broken"  # sent, and the connection ended without an answer
GATEWAY = "gateway"  # a proxy answered in place of a worker
ANSWERED = "answered"  # a server answered, not as a worker does

GATEWAY_STATUS = (502, 503, 504)
# Answers about the address or the database, whatever the job.
REFUSED_STATUS = (401, 403, 404)

HINTS = {
    UNREACHABLE: "check scheme, host and port in [queue_job] or ODOO_QUEUE_JOB_*,"
    " that Odoo runs, and with https the certificate",
    GATEWAY: "the proxy at this address has no worker that answers",
    ANSWERED: "check that this address is Odoo's, that it serves the database, and that queue_job"
    " is in server_wide_modules",
    504: "the proxy at this address reached no worker, or does not wait until jobs end:"
    " raise its timeout",
    401: "check http_auth_user and http_auth_password in [queue_job]",
}


@dataclass(frozen=True)
class Address:
    """The address of the workers, and the user of the requests."""

    scheme: str = "http"
    host: str = "localhost"
    port: int | str = 8069
    user: str | None = None
    password: str | None = None

    @property
    def host_name(self):
        """The host as it stands in an address and in the header ``Host``."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def url(self, path, uuids, sequential=False):
        """Return the address of a request for jobs.

        :param sequential: a failure ends the bundle
        """
        query = {"job_uuid": uuids[0]}
        if len(uuids) > 1:
            query["run"] = protocol.join_uuids(uuids[1:])
            if sequential:
                query["sequential"] = "1"
        # Commas stay as they are.
        return f"{self.scheme}://{self.host_name}:{self.port}{path}?{urlencode(query, safe=',')}"

    @property
    def auth(self):
        return (self.user, self.password or "") if self.user else None


@dataclass(frozen=True, eq=False)
class Request:
    """A question to a worker; ``bundle`` is None when it carries no jobs."""

    db_name: str
    uuids: tuple
    secret: str | None = None
    path: str = protocol.RUNJOB_PATH
    bundle: object = None
    sequential: bool = False

    @property
    def headers(self):
        headers = {
            protocol.DATABASE_HEADER: self.db_name,
            "Accept": protocol.REPORT_TYPE,
        }
        if self.secret:
            signature = protocol.signature(self.secret, self.db_name, self.uuids)
            headers[protocol.SIGNATURE_HEADER] = signature
        return headers


@dataclass(frozen=True, eq=False)
class Answer:
    """The result of a request: a report, or an error.

    ``kind`` is None when there is a report.
    """

    request: Request
    url: str
    report: protocol.Report | None = None
    kind: str | None = None
    status: int | None = None
    error: BaseException | None = None

    @property
    def may_be_of_its_jobs(self):
        """Whether a job of the request may be the reason of its failure."""
        return self.kind == BROKEN or (
            self.kind == ANSWERED and self.status not in REFUSED_STATUS
        )

    @property
    def base_url(self):
        """The address of the workers, without path."""
        return self.url.partition("/queue_job/")[0]

    @property
    def hint(self):
        return HINTS.get(self.status) or HINTS.get(self.kind, "")


class KeepAliveAdapter(HTTPAdapter):
    """Notices within a minute that the host of a worker vanished."""

    def init_poolmanager(self, *args, **kwargs):
        options = [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        ]
        for name, value in (
            ("TCP_KEEPIDLE", 30),
            ("TCP_KEEPINTVL", 10),
            ("TCP_KEEPCNT", 3),
            # While something that was sent is not acknowledged nothing else is asked,
            # and that alone would be given up after a quarter of an hour.
            ("TCP_USER_TIMEOUT", 60_000),  # milliseconds
        ):
            if hasattr(socket, name):
                options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
        super().init_poolmanager(*args, socket_options=options, **kwargs)


def new_http_session(address):
    """Return a session for the requests of one thread."""
    session = requests.Session()
    # Proxies and .netrc of the environment are for the outside, not for Odoo's own
    # workers; over https they come along with the certificates that it names.
    session.trust_env = address.scheme == "https"
    session.auth = address.auth
    session.mount("http://", KeepAliveAdapter())
    session.mount("https://", KeepAliveAdapter())
    return session


def ask(http, address, request, timeout=None):
    """Send one request and wait for the answer, however long that takes.

    :param timeout: seconds to wait for the answer at most, None for no limit
    """
    url = address.url(request.path, request.uuids, request.sequential)
    try:
        response = http.get(
            url,
            headers=request.headers,
            timeout=(timeout or CONNECT_TIMEOUT, timeout),
            allow_redirects=False,
        )
        response.raise_for_status()
        return Answer(request, url, report=protocol.Report.loads(response.text))
    except requests.HTTPError as error:
        status = error.response.status_code
        kind = GATEWAY if status in GATEWAY_STATUS else ANSWERED
        return Answer(request, url, kind=kind, status=status, error=error)
    except (
        requests.ConnectionError,
        requests.Timeout,
        # It broke in the middle of the answer.
        requests.exceptions.ChunkedEncodingError,
    ) as error:
        kind = UNREACHABLE if _was_not_sent(error) else BROKEN
        return Answer(request, url, kind=kind, error=error)
    except Exception as error:
        return Answer(request, url, kind=ANSWERED, error=error)


def _was_not_sent(error):
    """Return whether the connection was never made, or not as it was to be."""
    if isinstance(error, (requests.ConnectTimeout, requests.exceptions.SSLError)):
        return True
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    name = type(cause).__name__
    return name in ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")


def _async_http_get(scheme, host, port, user, password, db_name, job_uuid):
    """Ask Odoo to run one job, in a thread of its own; the answer is only logged."""
    address = Address(scheme, host, port, user, password)
    request = Request(db_name, (job_uuid,))

    def work():
        with new_http_session(address) as http:
            answer = ask(http, address, request)
        if answer.report is None:
            _logger.error("exception in GET %s", answer.url, exc_info=answer.error)

    threading.Thread(target=work, name="queue_job (ask)", daemon=True).start()


class Dispatcher:
    """Keeps requests open, and their answers until they are collected.

    :param wake: called from other threads when an answer has come
    """

    def __init__(self, address, wake, limit=MAX_REQUESTS):
        self.address = address
        self.limit = limit
        self.open_count = 0
        self._wake = wake
        self._requests = SimpleQueue()
        self._answers = deque()
        self._threads = 0

    @property
    def room(self):
        """How many more requests may be open."""
        return self.limit - self.open_count

    def send(self, request):
        """Send a request; its answer is found among the answers later."""
        self.open_count += 1
        self._requests.put(request)
        if self._threads < min(self.open_count, self.limit):
            self._start_thread()

    def answers(self):
        """Return the answers that have come since the last call."""
        answers = []
        while self._answers:
            answers.append(self._answers.popleft())
        self.open_count -= len(answers)
        return answers

    def close(self):
        """Let the threads end as soon as they have no request."""
        for _number in range(self._threads):
            self._requests.put(None)
        self._threads = 0

    def _start_thread(self):
        name = f"queue_job request {self._threads + 1}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        default = threading.stack_size(STACK_SIZE)
        try:
            thread.start()
            self._threads += 1
        except RuntimeError:
            # The process may have no more of them; those there are do.
            if not self._threads:
                raise
        finally:
            threading.stack_size(default)

    def _work(self):
        with new_http_session(self.address) as http:
            while (request := self._requests.get()) is not None:
                self._answers.append(ask(http, self.address, request))
                self._wake()
