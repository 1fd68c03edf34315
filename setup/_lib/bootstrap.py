"""The virtual environment, and the step into it. Standard library only, Python 3.10 or newer."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import progress
from .cache import Cache, digest
from .errors import SetupError
from .locks import exclusive
from .process import last_words, run_logged

REPO = Path(__file__).resolve().parents[2]
REQUIREMENTS = (
    REPO / "setup" / "requirements-odoo.txt",
    REPO / "requirements.txt",
)
OLDEST, NEWEST = (3, 10), (3, 13)
# The interpreter that the caller used, kept across the step into the venv.
CALLER_VARIABLE = "QUEUE_JOB_SUITE_CALLER_PYTHON"


def suitable_python():
    """Return an interpreter that Odoo 19 runs on: this one if it will do."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys.executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which("python3.%d" % minor)
        works = found and subprocess.run([found, "-c", "import venv"]).returncode == 0
        if works:
            return found
    raise SetupError(
        "Odoo 19 needs Python %s to %s; this is %s."
        % (
            ".".join(map(str, OLDEST)),
            ".".join(map(str, NEWEST)),
            sys.version.split()[0],
        ),
        "Install one of them and call again with it: python3.12 setup/run.py",
    )


def venv_folder(cache, python, requirements=REQUIREMENTS):
    """Return where the venv for this interpreter and these requirements belongs."""
    texts = [path.read_text() for path in requirements]
    return cache.root / ("venv-%s" % digest(os.path.realpath(python), *texts))


def make_venv(cache, python=None, requirements=REQUIREMENTS):
    """Return the Python of a complete venv, made now if there is none.

    A venv counts once its marker exists, which is written last: what an interrupted call
    left behind is removed and made again. The caller holds the cache's lock.
    """
    python = python or suitable_python()
    folder = venv_folder(cache, python, requirements)
    inside, marker = folder / "bin" / "python", folder / ".complete"
    # A venv is a link to an interpreter, and that may have been removed since.
    if marker.exists() and inside.exists():
        return inside
    shutil.rmtree(folder, ignore_errors=True)
    log = cache.log("venv")
    with progress.step(
        "Installing Python packages (about a minute, once)", lambda: last_words(log)
    ):
        run_logged(
            [python, "-m", "venv", folder],
            log,
            "Making a virtual environment",
            "On Debian and Ubuntu the package python3-venv is needed for that.",
        )
        files = [arg for path in requirements for arg in ("-r", path)]
        run_logged(
            [inside, "-m", "pip", "install", "--prefer-binary", *files],
            log,
            "Installing Python packages",
            "Is the package index reachable? Set PIP_INDEX_URL if you use another one. "
            "The whole output is in %s." % log,
        )
        marker.touch()
    return inside


def enter_venv(options):
    """Return when this process runs in the suite's venv, starting itself again to get there."""
    cache = Cache.locate(options.cache).make()
    python = os.environ.setdefault(CALLER_VARIABLE, suitable_python())
    with exclusive(cache.lock):
        inside = make_venv(cache, python)
    if Path(sys.prefix) != inside.parents[1]:
        # The entry point again, in the venv, in this same process: its id stays.
        os.execv(inside, [str(inside), *sys.argv])
    return cache
