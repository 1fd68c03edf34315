"""The one exception that the entry points show without a traceback."""


class SetupError(Exception):
    """Say what failed and what the reader can do about it.

    :param hint: one sentence that names the way out, printed below the message.
    """

    def __init__(self, message, hint=""):
        super().__init__(message)
        self.hint = hint
