# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Every statement and database function of the suite, by subject.

A file holds named texts, each with a line of purpose::

    -- name: put_back
    -- Requeue enqueued jobs that no worker has claimed.
    UPDATE queue_job SET ...

Parameters are named as psycopg2 writes them, ``%(uuids)s``. A text under
``-- part: x`` is no statement: other texts include it as ``{x}``. A part in which
``{condition}`` is open is included as ``{x condition=y}``, with the part ``y`` there. Names
are unique in all files, so that a name leads to one place.
"""

import re
from pathlib import Path
from types import SimpleNamespace

_MARK = re.compile(r"^-- (name|part): (\w+)$", re.MULTILINE)
_PURPOSE = re.compile(r"\A\s*(--.*\n)+")
_INCLUDE = re.compile(r"\{([a-z_]+)((?: [a-z_]+=[a-z_]+)*)\}")


class Statements(SimpleNamespace):
    """Statements as attributes; ``parts`` are the texts that they include.

    ``part(name)`` is the text of a part with those that it includes.
    """


def load(folder, parts=()):
    """Return the statements of all files in a folder.

    :param parts: ``{name: text}`` of another folder's parts
    :raise ValueError: for a name that stands twice
    :raise KeyError: for a part that does not exist
    :raise RecursionError: for parts that include each other
    """
    texts = {"name": {}, "part": dict(parts)}
    for path in sorted(Path(folder).glob("*.sql")):
        _before, *found = _MARK.split(path.read_text())
        for kind, name, text in zip(found[::3], found[1::3], found[2::3], strict=True):
            if name in texts["name"] or name in texts["part"]:
                raise ValueError(f"{path.name}: {name} stands twice in sql/")
            texts[kind][name] = _PURPOSE.sub("", text).strip()
    included = texts["part"]

    def include(match):
        inner = dict(pair.split("=") for pair in match[2].split())
        text = included[match[1]]
        return _INCLUDE.sub(
            lambda found: f"{{{inner.get(found[1], found[1])}{found[2]}}}", text
        )

    def complete(text):
        return _INCLUDE.sub(lambda match: complete(include(match)), text)

    return Statements(
        parts=included,
        part=lambda name: complete(included[name]),
        **{name: complete(text) for name, text in texts["name"].items()},
    )


statements = load(Path(__file__).parent)
