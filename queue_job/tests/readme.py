# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the fragments of a readme hold, for the tests that compare it with the code."""

import ast
import textwrap
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.core import publish_doctree

from odoo.tools.misc import file_path

SETTINGS = {"syntax_highlight": "none", "report_level": 2, "halt_level": 2}


class Example(NamedTuple):
    """A block of code of a fragment, and what must be true after it."""

    language: str
    code: str
    check: str
    place: str

    @property
    def tree(self):
        return ast.parse(self.code if self.language == "python" else "")

    def is_class_of(self, *bases):
        """Return whether the example defines a class of one of these bases."""
        return any(
            isinstance(node, ast.ClassDef) and ast.unparse(node.bases[0]) in bases
            for node in self.tree.body
        )

    @property
    def is_model(self):
        return self.is_class_of("models.Model")

    @property
    def is_test(self):
        return self.is_class_of("TransactionCase")


def addon_folder(addon):
    return Path(file_path(addon))


def fragments(addon):
    """Return the paths of the fragments of an addon's readme."""
    return sorted((addon_folder(addon) / "readme").glob("*.rst"))


@lru_cache
def parsed(path):
    return publish_doctree(path.read_text(), settings_overrides=SETTINGS)


def examples(path):
    """Return the examples of a fragment, in order.

    A comment ``.. check`` says what must be true after the example before it. There
    may be several, for the sentences after an example too.
    """
    found = []
    for node in parsed(path).findall():
        if isinstance(node, nodes.literal_block) and "code" in node["classes"]:
            found.append([node["classes"][-1], node.astext(), ""])
        elif isinstance(node, nodes.comment) and node.astext().startswith("check\n"):
            found[-1][2] += (
                textwrap.dedent(node.astext().removeprefix("check\n")) + "\n"
            )
    return [
        Example(language, code, check, f"{path.name}, example {number}: {code[:60]!r}")
        for number, (language, code, check) in enumerate(found, 1)
    ]


def examples_in(addon, *languages):
    """Return the examples of all fragments of an addon in some languages."""
    return [
        example
        for path in fragments(addon)
        for example in examples(path)
        if example.language in languages
    ]


def sections(path):
    """Return ``(title, text, blocks of code)`` of each section of a fragment."""
    return [
        (
            node.next_node(nodes.title).astext(),
            " ".join(node.astext().split()),
            [block.astext() for block in node.findall(nodes.literal_block)],
        )
        for node in parsed(path).findall(nodes.section)
    ]


def literals(path):
    """Return the names and values that stand in the sentences of a fragment."""
    return {node.astext() for node in parsed(path).findall(nodes.literal)}


def labels(path, kind=nodes.emphasis):
    """Return what is emphasised in a fragment: names of menus, fields and buttons."""
    return {node.astext().replace("\n", " ") for node in parsed(path).findall(kind)}
