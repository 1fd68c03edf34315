"""``setup/lint``: the checks of .pre-commit-config.yaml, without installing a git hook."""

import os
import shutil
import subprocess

from .bootstrap import CALLER_VARIABLE, REPO, make_venv
from .errors import SetupError
from .locks import exclusive
from .process import Guarded

REQUIREMENTS = (REPO / "setup" / "requirements-lint.txt",)


def main(options, cache):
    """Run the checks on all files of the repository; return pre-commit's exit code.

    The tools mend what they can; a file that one of them changed counts as a failure.
    """
    npm = shutil.which("npm")
    if not npm or subprocess.run([npm, "--version"], capture_output=True).returncode:
        raise SetupError("npm does not work.", "Install Node.js 20 or newer with npm.")
    with exclusive(cache.lock):
        python = make_venv(cache, os.environ[CALLER_VARIABLE], REQUIREMENTS)
    environment = {
        **os.environ,
        "PRE_COMMIT_HOME": str(cache.root / "pre-commit"),
        # The home may be closed to writes.
        "npm_config_cache": str(cache.root / "npm"),
    }
    # A hook's environment would be mixed up with this one.
    environment.pop("PYTHONPATH", None)
    selection = ["--files", *options.files] if options.files else ["--all-files"]
    # The hook first: whatever follows --files is a file.
    hook = [options.hook] if options.hook else []
    command = [python, "-m", "pre_commit", "run", *hook, "--color=never", *selection]
    with Guarded(
        command, cwd=REPO, env=environment, stdin=subprocess.DEVNULL
    ) as checks:
        return checks.wait()
