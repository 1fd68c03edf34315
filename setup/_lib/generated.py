"""``setup/readme``: write the files that are made from others, or say which are out of step."""

import difflib

from . import packages, readme
from .bootstrap import REPO
from .progress import say
from .suite import find_addons


def files(repo):
    """Return ``{path: text}`` of every generated file of a repository."""
    manifests = find_addons([repo])
    made = {}
    for name, manifest in sorted(manifests.items()):
        made.update(readme.files(repo / name, manifest))
        made[repo / name / "pyproject.toml"] = packages.pyproject(name, manifests)
    made[repo / "requirements.txt"] = packages.requirements(manifests)
    folder = repo / "setup" / "_metapackage"
    made[folder / "pyproject.toml"] = packages.metapackage(manifests)
    return made


def out_of_step(repo):
    """Return ``{path: difference}`` of the generated files that are not as they should be."""
    found = {}
    for path, text in files(repo).items():
        old = path.read_text() if path.exists() else ""
        if readme.comparable(old) != readme.comparable(text):
            lines = difflib.unified_diff(
                old.splitlines(),
                text.splitlines(),
                "as it is",
                "made anew",
                "",
                "",
                1,
                "",
            )
            found[path] = "\n".join(list(lines)[:40])
    return found


def main(options, _cache):
    """Write what is out of step, or only name it; return the exit code."""
    found = out_of_step(REPO)
    for path, difference in found.items():
        if options.check:
            say("%s is out of step:\n%s" % (path.relative_to(REPO), difference))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files(REPO)[path])
            say("wrote %s" % path.relative_to(REPO))
    if not found:
        say("Every generated file is in step.")
    return 1 if options.check and found else 0
