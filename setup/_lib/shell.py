"""Scripts that run in ``odoo shell`` and give back a result."""

import json
import subprocess

from .errors import SetupError
from .process import Guarded, tail

MARK = "RESULT "
PRELUDE = (
    "import json\ndef result(value): print(%r + json.dumps(value), flush=True)\n" % MARK
)


def run_script(command, script, log, env):
    """Run a script; return what it gave to ``result(value)`` last, as JSON carries it.

    :param command: the whole command line of the shell
    :param log: file that Odoo's log is appended to
    """
    with (
        open(log, "a") as errors,
        Guarded(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=env,
        ) as shell,
    ):
        output = shell.popen.communicate(PRELUDE + script)[0]
    found = [line for line in output.splitlines() if line.startswith(MARK)]
    if not found:
        raise SetupError(
            "The script gave no result.\n%s\n%s" % (output, tail(log, 40)),
            "The whole log is in %s." % log,
        )
    return json.loads(found[-1][len(MARK) :])
