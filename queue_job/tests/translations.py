# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the tests of the translations share: each addon of the suite has such a test."""

import re
from collections import Counter

import polib

from odoo.tests import TransactionCase
from odoo.tools import file_path
from odoo.tools.translate import TRANSLATED_ATTRS, TranslationModuleReader

LANGUAGES = ("de", "es", "fr", "it", "nl", "pt_BR")
# Odoo's sms, which databases have or have not, adds it to whatever has messages.
OPTIONAL_FIELDS = ("message_has_sms_error",)

# What a translation repeats as it is: of a tag also the attributes that nobody reads.
_KEPT = re.compile(
    r"%(?:\(\w+\))?[#0+-]*\d*(?:\.\d+)?[a-zA-Z%]|\{[^{}]*\}|</?[a-zA-Z][^<>]*>"
)
_READ_ATTRIBUTE = re.compile(
    r'(\s(?:%s)=)"[^"]*"' % "|".join(map(re.escape, sorted(TRANSLATED_ATTRS)))
)
_FIELD_PLACE = re.compile(r"ir\.model\.fields,\w+:(.+)")


class TranslationsCase(TransactionCase):
    """The checks of one addon. Odoo runs no inherited tests, so each addon has its own."""

    addon = None
    maxDiff = None

    def check_template(self):
        """The .pot has the terms of the addon as it is now, each where it stands."""
        exported = self._exported_terms()
        written = self._written_terms()
        lines = [f"new: {term!r} at {place}" for place, term in exported - written]
        lines += [f"gone: {term!r} at {place}" for place, term in written - exported]
        if lines:
            self.fail(
                "The terms of the interface have changed. Run setup/i18n, and translate "
                "what it leaves.\n" + "\n".join(sorted(lines))
            )

    def check_completeness(self):
        terms = {entry.msgid for entry in self._template()}
        self.assertTrue(terms)
        for language in LANGUAGES:
            translated = {
                term for term, text in self._translations(language).items() if text
            }
            with self.subTest(language=language):
                self.assertEqual(sorted(terms - translated), [])

    def check_placeholders(self):
        for language in LANGUAGES:
            wrong = {
                term: text
                for term, text in self._translations(language).items()
                if text and _kept(term) != _kept(text)
            }
            with self.subTest(language=language):
                self.assertEqual(wrong, {})

    def check_web_client(self):
        """What Odoo sends to the web client are the translations of the terms used there."""
        terms = {
            entry.msgid
            for entry in self._template()
            if "odoo-javascript" in _code_places(entry.comment.split("\n"))
        }
        for language in LANGUAGES:
            sent, _parameters = self.env["ir.http"]._get_translations_for_webclient(
                [self.addon], language
            )
            messages = {it["id"]: it["string"] for it in sent[self.addon]["messages"]}
            texts = self._translations(language)
            with self.subTest(language=language):
                self.assertEqual(messages, {term: texts.get(term) for term in terms})

    # Files ------------------------------------------------------------------

    def _template(self):
        return polib.pofile(file_path(f"{self.addon}/i18n/{self.addon}.pot"))

    def _translations(self, language):
        """Return translation by term; as for Odoo, what is obsolete does not count."""
        catalogue = polib.pofile(file_path(f"{self.addon}/i18n/{language}.po"))
        return {entry.msgid: entry.msgstr for entry in catalogue if not entry.obsolete}

    # Terms ------------------------------------------------------------------

    def _exported_terms(self):
        """Return ``(place, term)`` of all that Odoo would write into the .pot now."""
        reader = TranslationModuleReader(self.env.cr, modules=[self.addon])
        terms = set()
        for _module, kind, name, xmlid, term, _translation, comments in reader:
            if kind == "code":
                terms.update((place, term) for place in _code_places(comments))
            elif self._is_expected(f"{name}:{xmlid}"):
                terms.add((f"{name}:{xmlid}", term))
        return terms

    def _written_terms(self):
        """Return ``(place, term)`` of all that the .pot has."""
        terms = set()
        for entry in self._template():
            places = _code_places(entry.comment.split("\n"))
            for occurrence, _line in entry.occurrences:
                kind, _colon, place = occurrence.partition(":")
                if kind != "code" and self._is_expected(place):
                    places.append(place)
            terms.update((place, entry.msgid) for place in places)
        return terms

    def _is_expected(self, place):
        """Return whether a term is there in each database, whatever else it has.

        Fields that other addons add to the mixins come and go with those.
        """
        match = _FIELD_PLACE.fullmatch(place)
        if not match:
            return True
        if match[1].endswith(OPTIONAL_FIELDS):
            return False
        record = self.env.ref(match[1], raise_if_not_found=False)
        field = record and self.env[record.model]._fields.get(record.name)
        if not field or not field._modules:
            return True
        return not self._needed_addons().isdisjoint(field._modules)

    def _needed_addons(self):
        addon = self.env["ir.module.module"].search([("name", "=", self.addon)])
        needed = addon | addon.upstream_dependencies(exclude_states=("uninstallable",))
        return set(needed.mapped("name"))


def _code_places(comments):
    """Return the kinds of code that have a term: Odoo looks for it by these."""
    return [comment for comment in comments if comment.startswith("odoo-")]


def _kept(text):
    """Return what a term has in common with its translations: marks, and blanks around it."""
    marks = Counter(_KEPT.findall(_READ_ATTRIBUTE.sub(r'\1""', text)))
    return marks, re.match(r"\s*", text)[0], re.search(r"\s*\Z", text)[0]
