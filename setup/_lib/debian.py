"""Odoo 19 from Debian's package, without root and without touching the system's apt."""

import shutil
import subprocess
from pathlib import Path

from .errors import SetupError
from .process import run_logged

SUITE = "sid"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Debian replaces web libraries and fonts inside Odoo by links to other packages:
# without these the web client and Odoo's HTTP tests miss files.
PACKAGES = (
    "odoo-19",
    "libjs-jquery",
    "libjs-jquery-form",
    "libjs-underscore",
    "fonts-font-awesome",
    "fonts-roboto-unhinted",
    "fonts-inconsolata",
    "fonts-ocr-b",
)
# fonts-font-awesome ships version 7 under other names than those that Odoo's style
# sheets and the links of the package ask for.
RENAMED_FONTS = {
    "fontawesome-webfont.ttf": "fa-solid-900.ttf",
    "fontawesome-webfont.woff2": "fa-solid-900.woff2",
}
FONT_FOLDER = Path("usr/share/fonts-font-awesome/fonts")


def mirror():
    """Return the address of the Debian mirror that this machine's apt uses.

    :raises SetupError: where there is no apt, or none that knows a Debian archive.
    """
    missing = [tool for tool in ("apt-get", "dpkg") if not shutil.which(tool)]
    if missing or not KEYRING.exists():
        raise SetupError("This is no Debian: %s" % (", ".join(missing) or KEYRING))
    listed = subprocess.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
            "Created-By: Packages",
        ],
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    for line in listed:
        origin, label, uri = line.split("|", 2)
        if origin == "Debian" and label == "Debian":
            return uri.rstrip("/")
    raise SetupError(
        "apt lists no Debian archive.", "Run 'apt-get update' once as root."
    )


def private_apt(folder, uri):
    """Return the apt options that keep lists, cache and sources in ``folder``."""
    for name in ("state/lists/partial", "cache/archives/partial", "parts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    sources = folder / "sources.list"
    sources.write_text("deb [signed-by=%s] %s/ %s main\n" % (KEYRING, uri, SUITE))
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": folder / "parts",
        "Dir::State": folder / "state",
        "Dir::Cache": folder / "cache",
        # apt would else try to become a user who cannot enter the cache folder.
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Debug::NoLocking": "true",
        # A list that cannot be fetched is only a warning else.
        "APT::Update::Error-Mode": "any",
    }
    return [arg for key, value in settings.items() for arg in ("-o", f"{key}={value}")]


def fetch(target, work, log):
    """Download and unpack the packages into ``target``; the signatures are checked by apt.

    :param work: folder for apt's own files and the archives, removed at the end.
    """
    apt = ["apt-get", "-q", *private_apt(work, mirror())]
    hint = "The whole output is in %s." % log
    run_logged([*apt, "update"], log, "Reading Debian's package list", hint)
    archives = work / "archives"
    shutil.rmtree(archives, ignore_errors=True)
    archives.mkdir()
    run_logged(
        [*apt, "download", *PACKAGES],
        log,
        "Downloading Odoo 19 from Debian",
        hint,
        cwd=archives,
    )
    for archive in sorted(archives.glob("*.deb")):
        run_logged(["dpkg", "-x", archive, target], log, "Unpacking %s" % archive.name)
    _mend_fonts(target / FONT_FOLDER)
    shutil.rmtree(work, ignore_errors=True)


def _mend_fonts(folder):
    for wanted, shipped in RENAMED_FONTS.items():
        if not (folder / wanted).exists() and (folder / shipped).exists():
            (folder / wanted).symlink_to(shipped)
