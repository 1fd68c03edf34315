"""Find Odoo 19: named, importable, cached, the official archive, Debian's package."""

import os
import re
import shutil
import subprocess
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from . import debian, progress
from .bootstrap import CALLER_VARIABLE
from .errors import SetupError, sentence

SERIES = (19, 0)
SOURCE_VARIABLE = "ODOO_SOURCE"
ARCHIVE_VARIABLE = "ODOO_ARCHIVE"
# Seconds to find out that the archive cannot be reached from here.
ARCHIVE_TIMEOUT = 10
ARCHIVE = "https://github.com/odoo/odoo/archive/refs/heads/19.0.tar.gz"


@dataclass(frozen=True)
class OdooSource:
    """Odoo on disk.

    :param python_path: the folder that holds the package ``odoo``.
    :param addons_paths: folders of addons outside that package.
    """

    python_path: Path
    addons_paths: tuple


def release_of(python_path):
    """Return (major, minor) of the Odoo in a folder, or None when there is none."""
    try:
        text = (Path(python_path) / "odoo" / "release.py").read_text()
    except OSError:
        return None
    found = re.search(r"^version_info = \((\d+), (\d+)", text, re.MULTILINE)
    return tuple(map(int, found.groups())) if found else None


def inspect(folder):
    """Return the Odoo 19 below a folder (a checkout or an unpacked package), or None."""
    folder = Path(folder).expanduser().absolute()
    for python_path in (folder, folder / "usr/lib/python3/dist-packages"):
        if release_of(python_path) == SERIES:
            # A checkout keeps its addons beside the package, an installed Odoo inside.
            inside = (python_path / "odoo" / "addons" / "web").is_dir()
            addons = () if inside else (python_path / "addons",)
            return OdooSource(python_path, addons)
    return None


def named(folder):
    """Return the Odoo of a folder that somebody named: it must be one."""
    source = inspect(folder)
    if source is None:
        raise SetupError(
            "%s holds no Odoo %d.%d." % (folder, *SERIES),
            "Name the folder that has odoo/release.py, or leave it to be downloaded.",
        )
    return source


def importable(python):
    """Return the Odoo 19 that an interpreter finds without help, or None."""
    code = (
        "import importlib.util as u; s = u.find_spec('odoo');"
        "print(*(s.submodule_search_locations or ()), sep='\\n')"
    )
    found = subprocess.run(
        [python, "-c", code], cwd="/", capture_output=True, text=True
    )
    for line in found.stdout.splitlines():
        source = inspect(Path(line).parent)
        if source is not None:
            return source
    return None


def from_archive(target, address):
    """Download a source archive and unpack it; raise OSError when it cannot be had."""
    target.mkdir(parents=True)
    # Older patch releases of Python 3.10 and 3.11 have no extraction filters.
    checks = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    if "://" not in address:
        address = Path(address).expanduser().absolute().as_uri()
    with urllib.request.urlopen(address, timeout=ARCHIVE_TIMEOUT) as answer:
        with tarfile.open(fileobj=answer, mode="r|gz") as archive:
            for member in archive:
                # The archive has one folder at its top, named after the branch.
                member.name = member.name.partition("/")[2]
                if member.name:
                    archive.extract(member, target, **checks)


def locate(cache, option=None):
    """Return an OdooSource, downloaded if need be. The caller holds the cache's lock."""
    folder = option or os.environ.get(SOURCE_VARIABLE)
    if folder:
        return named(folder)
    caller = os.environ.get(CALLER_VARIABLE)
    found = (caller and importable(caller)) or inspect(cache.odoo)
    return found or _download(cache)


def _download(cache):
    """Fill the cache's Odoo folder: it appears complete or not at all."""
    failures = []
    partial = cache.root / "odoo.partial"
    for name, fetch in (
        ("the official source archive", _fetch_archive),
        ("Debian's package odoo-19", _fetch_debian),
    ):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            with progress.step(
                "Downloading Odoo 19: %s (some minutes, once)" % name,
                lambda: "%d MB" % _megabytes(partial, cache.downloads),
            ):
                fetch(cache, partial)
            if inspect(partial) is None:
                raise SetupError("it holds no Odoo 19")
        except (OSError, EOFError, tarfile.TarError, SetupError, ValueError) as error:
            failures.append("%s: %s" % (name, sentence(error)))
            progress.say("    not to be had: %s" % sentence(error).split("\n")[0])
            continue
        # What lies there is no Odoo 19, or it would have been used.
        shutil.rmtree(cache.odoo, ignore_errors=True)
        partial.rename(cache.odoo)
        return inspect(cache.odoo)
    raise SetupError(
        "Odoo 19 could not be downloaded.\n  - " + "\n  - ".join(failures),
        "Unpack Odoo 19 yourself and name its folder with --odoo or %s."
        % SOURCE_VARIABLE,
    )


def _megabytes(*folders):
    """Return how much lies in folders that are being filled."""
    paths = (path for folder in folders for path in folder.rglob("*"))
    return sum(path.lstat().st_size for path in paths) / 1e6


def _fetch_archive(_cache, target):
    from_archive(target, os.environ.get(ARCHIVE_VARIABLE) or ARCHIVE)


def _fetch_debian(cache, target):
    debian.fetch(target, cache.downloads, cache.log("debian"))
