"""nginx before several nodes, with the very configuration that the readme advises."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import textwrap
from pathlib import Path

from .bootstrap import REPO
from .errors import SetupError
from .postgres import HOST, free_port
from .process import Guarded, tail
from .waiting import wait_until

README = REPO / "queue_job" / "readme" / "CONFIGURE.rst"
# Where Debian has it is not on everybody's path.
SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin"
START_TIMEOUT = 20
# All that nginx writes stays in its folder.
MAIN = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log info;
events {{ worker_connections 1024; }}
http {{
    log_format upstreams '$status $request_uri $upstream_addr';
    access_log {folder}/access.log upstreams;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{snippet}
}}
"""


def find_nginx():
    """Return the path of nginx, None where there is none."""
    path = os.pathsep.join((os.environ.get("PATH", ""), SYSTEM_FOLDERS))
    return shutil.which("nginx", path=path)


def snippet():
    """Return the configuration of nginx in the readme."""
    blocks = re.findall(
        r"\.\. code-block:: nginx\n\n((?: +.*\n|\n)+)", README.read_text()
    )
    if len(blocks) != 1:
        raise SetupError("%s shows %d times nginx, not once." % (README, len(blocks)))
    return textwrap.dedent(blocks[0])


class Proxy:
    """A running nginx; use as a context manager.

    :param ports: of the two nodes
    """

    def __init__(self, nginx, ports):
        self.port, self.world_port = free_port(), free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="queue-job-nginx-"))
        self._nginx = nginx
        self._process = None
        configuration = MAIN.format(folder=self.folder, snippet=self._adapted(ports))
        (self.folder / "nginx.conf").write_text(configuration)

    def _adapted(self, ports):
        """Return the readme's text with the addresses of this machine, and without TLS."""
        text = snippet()
        for number, port in enumerate(ports, 1):
            text = re.sub(
                r"node%d\.internal:\d+" % number, "%s:%d" % (HOST, port), text
            )
        for written, here in (
            ("listen 443 ssl;", "listen %s:%d;" % (HOST, self.world_port)),
            ("listen 8080;", "listen %s:%d;" % (HOST, self.port)),
            ("allow 10.0.0.0/8;", "allow %s;" % HOST),
        ):
            if text.count(written) != 1:
                raise SetupError("%s does not say '%s' once." % (README, written))
            text = text.replace(written, here)
        return re.sub(r"(?m)^ *ssl_certificate.*\n", "", text)

    def __enter__(self):
        with open(self.folder / "output", "w") as output:
            self._process = Guarded(
                [self._nginx, "-p", self.folder, "-c", self.folder / "nginx.conf"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc):
        self._process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait_until_ready(self):
        wait_until(self._accepts, START_TIMEOUT, self._failure, process=self._process)

    def _accepts(self):
        try:
            socket.create_connection((HOST, self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def _failure(self):
        return SetupError(
            "nginx does not start.\n%s\n%s"
            % (tail(self.folder / "output"), tail(self.folder / "error.log"))
        )

    def requests(self):
        """Return ``(status, path, [addresses of the nodes that were asked])`` of each request."""
        lines = (self.folder / "access.log").read_text().splitlines()
        found = (line.split(" ", 2) for line in lines)
        return [(int(status), path, asked.split(", ")) for status, path, asked in found]
