# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Labels of methods in the words of their authors: the first line of the docstring."""

import re
import textwrap

_NAME = re.compile(r"^<([^>]+)>\.(\w+)$")
# Letters of a label.
LONGEST = 80


def label_of(env, function):
    """Return the label of a job function, "" without a docstring.

    :param function: name such as ``<res.partner>.export``
    """
    match = _NAME.match(function or "")
    model = match and env.registry.get(match[1])
    if model is None:
        return ""
    for cls in model.__mro__:
        doc = getattr(vars(cls).get(match[2]), "__doc__", None)
        if doc and doc.strip():
            line = " ".join(doc.strip().split("\n\n")[0].split())
            line = line.split(". ")[0].removesuffix(".")
            return textwrap.shorten(line, LONGEST, placeholder="…")
    return ""
