"""``setup/i18n``: the terms of the addons, and what is translated of them.

Writes ``i18n/ADDON.pot`` anew from a database where the addons are installed, and brings
each ``.po`` in step: terms that went are dropped, new ones are added. What Odoo itself
translates (labels of the fields of mail, for example) is taken from there. Prints what is left.
"""

import tempfile
from pathlib import Path

import polib

from .bootstrap import REPO
from .process import run_logged
from .progress import step
from .suite import Suite, choose_addons, find_addons

ADDONS = (
    "queue_job",
    "queue_job_batch",
    "queue_job_cron",
    "queue_job_cron_jobrunner",
    "queue_job_prevent_duplicates",
    "queue_job_subscribe",
)
LANGUAGES = ("de", "es", "fr", "it", "nl", "pt_BR")
# Where Odoo has the terms that the addons inherit.
SOURCES = ("mail", "base", "web")


def main(options, cache):
    """Write what the addons have to translate; return 1 when terms are left."""
    suite = Suite.provision(cache, options)
    addons = choose_addons(find_addons([REPO]), ADDONS)
    left = 0
    with suite.database("terms", addons) as database:
        for addon in addons:
            with step("Terms of %s" % addon):
                template = _export(suite, database, addon)
            for language in LANGUAGES:
                left += _bring_in_step(suite.odoo.source, addon, language, template)
    print("%d terms to translate" % left)
    return 1 if left else 0


def _export(suite, database, addon):
    """Write the .pot of an addon; return it."""
    folder = REPO / addon / "i18n"
    folder.mkdir(exist_ok=True)
    path = folder / (addon + ".pot")
    python, launcher, option, config, *_rest = suite.odoo.command()
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / (addon + ".pot")
        # This command of Odoo takes the configuration file and the database only.
        run_logged(
            [python, launcher, "--addons-path=%s" % REPO, "i18n", "export"]
            + [option, config, "-d", database, "-o", written, addon],
            suite.cache.log(database),
            "Exporting the terms of %s" % addon,
            env=suite.odoo.environment(),
        )
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


def _bring_in_step(source, addon, language, template):
    """Write the .po of one language; return how many terms it leaves to translate."""
    path = REPO / addon / "i18n" / (language + ".po")
    known = _known(source, language)
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


def _known(odoo, language):
    """Return what Odoo itself translates."""
    known = {}
    for folder in (odoo.python_path / "odoo" / "addons", *odoo.addons_paths):
        for source in SOURCES:
            path = folder / source / "i18n" / (language + ".po")
            if path.exists():
                known.update(
                    (entry.msgid, entry.msgstr)
                    for entry in polib.pofile(str(path))
                    if entry.msgstr and "fuzzy" not in entry.flags
                )
    return known
