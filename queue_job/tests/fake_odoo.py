# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A server that stands for Odoo's workers, which answers what a test tells it to."""

import ipaddress
import socket
import ssl
import tempfile
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from odoo.tests.common import _super_send

from ..jobrunner.runner import QueueJobRunner
from ..protocol import DONE, Report

REPORT = Report([["a", DONE, 0.5]], ["b"]).dumps()


def self_signed_certificate(address):
    """Return the path of a file with a key and its certificate for an IP address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    now = datetime.now(timezone.utc)
    alternative = x509.IPAddress(ipaddress.ip_address(address))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    with tempfile.NamedTemporaryFile(suffix=".pem", delete=False) as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
    return file.name


class FakeOdoo:
    """An HTTP server that answers what it is told to, and remembers what it was asked."""

    def __init__(self):
        self.status, self.body = 200, REPORT
        # Bytes of the answer that never come.
        self.missing = 0
        # Called with the path, returns the body.
        self.respond = None
        self.asked = []
        self.hold = threading.Event()
        self.hold.set()
        self.came = threading.Semaphore(0)
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                fake.asked.append((self.path, dict(self.headers)))
                fake.came.release()
                fake.hold.wait(20)
                if fake.status is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                body = (fake.respond(self.path) if fake.respond else fake.body).encode()
                self.send_response(fake.status)
                self.send_header("Location", "http://elsewhere.invalid/")
                self.send_header("Content-Length", str(len(body) + fake.missing))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # Who does not trust the certificate hangs up.
        self.server.handle_error = lambda *_args: None
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve_https(self):
        """Speak TLS from here on; return the path of the certificate, which is its own."""
        path = self_signed_certificate("127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        return path

    def close(self):
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()


class BesideFakeOdoo:
    """A test that has such a server."""

    @classmethod
    def _request_handler(cls, s, r, /, **kw):
        """Let requests through: Odoo's guard cannot read a pair of timeouts."""
        return _super_send(s, r, **kw)

    def setUp(self):
        super().setUp()
        self.odoo = FakeOdoo()
        self.addCleanup(self.odoo.close)


class LoopBesideFakeOdoo(BesideFakeOdoo):
    """A test that has such a server and a whole runner that asks it."""

    def new_runner(self, channels="root:4"):
        runner = QueueJobRunner(
            host="127.0.0.1", port=self.odoo.port, channel_config_string=channels
        )
        runner.get_db_names = lambda: [self.db_name]
        return runner

    def start(self, runner=None):
        """Start a runner, which is ``self.runner`` from then on; return its thread."""
        self.runner = runner or self.new_runner()
        thread = threading.Thread(target=self.runner.run)
        thread.start()
        self.addCleanup(thread.join, 20)
        self.addCleanup(self.runner.stop)
        self.wait_for_rounds(lambda: self.runner.db_by_name)
        return thread

    def wait_for_rounds(self, condition):
        """Wait for rounds of the runner until ``condition`` holds."""
        done = threading.Event()
        self.runner.on_round = lambda runner: condition() and done.set()
        self.runner._wakeup_pipe.wake()
        self.assertTrue(done.wait(20))
