"""The one exception that the entry points show without a traceback, and errors as sentences."""

import socket
import ssl
import urllib.error


class SetupError(Exception):
    """Say what failed and what the reader can do about it.

    :param hint: one sentence that names the way out, printed below the message.
    """

    def __init__(self, message, hint=""):
        super().__init__(message)
        self.hint = hint


def sentence(error):
    """Return an OSError, such as one of urllib, as a sentence without its class and number."""
    if isinstance(error, urllib.error.HTTPError):
        return "The server answered %d (%s)." % (error.code, error.reason)
    # URLError hides the cause, or only its text.
    if isinstance(error, urllib.error.URLError):
        if not isinstance(error.reason, OSError):
            return "%s." % error.reason
        error = error.reason
    if isinstance(error, socket.gaierror):
        return "The name of the host is not known: no network, or no name server."
    if isinstance(error, ssl.SSLError):
        return "No trusted connection: %s." % (getattr(error, "reason", None) or error)
    if isinstance(error, TimeoutError):
        return "No answer in time."
    if isinstance(error, OSError) and error.strerror:
        place = "%s: " % error.filename if error.filename else ""
        return "%s%s." % (place, error.strerror)
    return str(error) or type(error).__name__
