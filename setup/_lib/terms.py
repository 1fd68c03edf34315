"""``setup/i18n``: the terms of the addons, and what is translated of them.

Writes ``i18n/ADDON.pot`` anew from a database where the addons are installed, and brings
each ``.po`` in step: terms that went are dropped, new ones are added. What Odoo itself
translates (labels of the fields of mail, for example) is taken from there. Prints what is left.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import polib

REPO = Path(__file__).resolve().parents[2]
ADDONS = ("queue_job", "queue_job_cron_jobrunner", "queue_job_prevent_duplicates")
LANGUAGES = ("de", "es", "fr", "it", "nl", "pt_BR")
DATABASE = "queue_job_terms"
# Where Odoo has the terms that the addons inherit.
SOURCES = ("mail", "base", "web")


def main():
    argparse.ArgumentParser(
        prog="setup/i18n",
        description="Write the .pot of each addon anew, and bring the .po files in step.",
    ).parse_args()
    odoo = os.environ["ODOO"].split()
    addons = [name for name in ADDONS if (REPO / name / "__manifest__.py").exists()]
    _install(odoo, addons)
    left = 0
    for addon in addons:
        template = _export(odoo, addon)
        for language in LANGUAGES:
            left += _bring_in_step(addon, language, template)
    print("%d terms to translate" % left)
    return 1 if left else 0


def _install(odoo, addons):
    run = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["dropdb", "--if-exists", DATABASE], **run)
    subprocess.run(["createdb", "-T", os.environ["ODOO_TEMPLATE"], DATABASE], **run)
    options = ["-d", DATABASE, "-i", ",".join(addons), "--stop-after-init", "--no-http"]
    subprocess.run([*odoo, *options], **run)


def _export(odoo, addon):
    """Write the .pot of an addon; return it."""
    config = odoo[odoo.index("-c") + 1]
    folder = REPO / addon / "i18n"
    folder.mkdir(exist_ok=True)
    path = folder / (addon + ".pot")
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / (addon + ".pot")
        subprocess.run(
            [*odoo[:2], "--addons-path=%s" % REPO, "i18n", "export", "-c", config,
             "-d", DATABASE, "-o", str(written), addon],
            check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        template = polib.pofile(str(written))
    # The moment of the export would be a change in each run.
    for name in (
        "POT-Creation-Date",
        "PO-Revision-Date",
        "Last-Translator",
        "Language-Team",
    ):
        template.metadata.pop(name, None)
    template.save(str(path))
    return template


def _bring_in_step(addon, language, template):
    """Write the .po of one language; return how many terms it leaves to translate."""
    path = REPO / addon / "i18n" / (language + ".po")
    known = _known(language)
    if path.exists():
        known.update(
            (entry.msgid, entry.msgstr)
            for entry in polib.pofile(str(path))
            if entry.msgstr
        )
    catalogue = polib.POFile()
    catalogue.metadata = {**template.metadata, "Language": language}
    missing = 0
    for term in template:
        text = known.get(term.msgid, "")
        missing += not text
        entry = polib.POEntry(
            msgid=term.msgid,
            msgstr=text,
            comment=term.comment,
            occurrences=term.occurrences,
            flags=term.flags,
        )
        catalogue.append(entry)
    catalogue.save(str(path))
    return missing


def _known(language):
    """Return what Odoo itself translates."""
    import odoo.addons

    known = {}
    for folder in map(Path, odoo.addons.__path__):
        for source in SOURCES:
            path = folder / source / "i18n" / (language + ".po")
            if path.exists():
                known.update(
                    (entry.msgid, entry.msgstr)
                    for entry in polib.pofile(str(path))
                    if entry.msgstr and "fuzzy" not in entry.flags
                )
    return known


if __name__ == "__main__":
    sys.path.pop(0)
    sys.exit(main())
