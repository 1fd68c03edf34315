# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The source of the suite as text and syntax, for tests of its shape."""

import ast
from pathlib import Path

ADDON = Path(__file__).parents[1]
PACKAGE = "odoo.addons.queue_job"
# Where these addons are installed beside this one.
SATELLITES = [
    ADDON.parent / name
    for name in (
        "queue_job_cron_jobrunner",
        "queue_job_batch",
        "queue_job_cron",
        "queue_job_prevent_duplicates",
        "queue_job_subscribe",
    )
    if (ADDON.parent / name).is_dir()
]
NOT_PRODUCT = {"tests", "migrations", "__manifest__.py"}


def sources(*addons):
    """Yield the path of each file of product code of some addons."""
    for addon in addons:
        for path in sorted(addon.rglob("*.py")):
            if path.relative_to(addon).parts[0] not in NOT_PRODUCT:
                yield path


def name_of(path):
    """Return how a file is named in tables: from this addon, or with its addon."""
    if path.is_relative_to(ADDON):
        return str(path.relative_to(ADDON))
    return str(path.relative_to(ADDON.parent))


def imported(path):
    """Yield ``(module, names)`` of each import of a file, modules by absolute name.

    A module that is imported from a package of the suite by its own name is one entry.
    """
    addon = path.relative_to(ADDON.parent).parts[0]
    package = ["odoo", "addons", addon, *path.relative_to(ADDON.parent / addon).parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level] if node.level else []
            module = ".".join(filter(None, [*base, node.module]))
            names = [alias.name for alias in node.names]
            if module in ("odoo", "odoo.addons"):
                yield from ((f"{module}.{name}", ()) for name in names)
            else:
                modules = [name for name in names if _is_module(module, name)]
                yield from ((f"{module}.{name}", ()) for name in modules)
                rest = [name for name in names if name not in modules]
                if rest:
                    yield module, rest


def _is_module(module, name):
    folder = ADDON.parent.joinpath(*module.split(".")[2:])
    if not module.startswith("odoo.addons.") or not folder.is_dir():
        return False
    return (folder / name).is_dir() or (folder / f"{name}.py").is_file()


def functions(tree):
    """Yield ``(qualified name, node)`` of all nodes, by the function that they stand in."""

    def walk(node, name):
        for child in ast.iter_child_nodes(node):
            inner = name
            if isinstance(child, ast.ClassDef | ast.FunctionDef):
                inner = f"{name}.{child.name}".strip(".")
            yield inner, child
            yield from walk(child, inner)

    yield from walk(tree, "")


def strings(tree):
    """Yield ``(qualified name, text)`` of each text; what an f-string fills in is ``{}``."""
    parts = set()
    for name, node in functions(tree):
        if isinstance(node, ast.JoinedStr):
            parts.update(map(id, node.values))
            yield (
                name,
                "".join(
                    each.value if isinstance(each, ast.Constant) else "{}"
                    for each in node.values
                ),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in parts:
                yield name, node.value
